//! The manifest as written: files, spans, merging, diagnostics, and the JSON Schema.

mod de;
mod diagnostic;
mod document;
mod include;
mod load;
mod misplaced;
mod reference;
mod schema;
mod source;
mod tree;

pub use de::from_node;
pub use diagnostic::{Diagnostic, Diagnostics, did_you_mean};
pub use document::{
    Claim, DataSet, Document, MatrixValue, Preset, Profile, SETTING_KEYS, Settings, Study, Variant,
    When,
};
pub use include::load_all;
pub(crate) use load::MAX_KEY_PARTS;
pub use load::{Loaded, load, parse_override};
pub use reference::reference_text;
pub use schema::{json_schema, schema_text};
pub use source::{SourceFile, Sources};
pub use tree::{Entry, Node, Origin, Table, Value};
