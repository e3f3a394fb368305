//! Tables with their lineage as one file that verifies itself.
//!
//! The file is a plain tar whose first entry lists all others with sizes and digests, and carries
//! its own. It has one spelling only: every header follows from the list, and a reader compares it
//! byte by byte instead of parsing it. So there is nothing to trust but the list: no links, no
//! paths that leave a folder, no size that the file does not have.

mod contents;
mod error;
mod import;
mod lineage;
mod read;
mod write;

pub use contents::{Contents, TableEntry};
pub use error::BundleError;
pub use import::Imported;
pub use read::{Bundle, Extract};
pub use write::Draft;
