//! Claims: sentences of the paper, judged on per-case scores. What is decided when is in
//! `docs/claims.md`.

mod csv;
mod decide;
mod gather;
mod judge;
mod judgement;
mod text;

pub use csv::{CLAIM_COLUMNS, claims_csv};
pub use gather::{CaseScore, Results, SeedScores};
pub use judge::{Sentence, judge};
pub use judgement::{
    Comparison, Evidence, Judgement, Pair, Published, PublishedPair, Side, Verdict,
};
pub use text::claims_text;
