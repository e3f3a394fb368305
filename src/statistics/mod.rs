//! Paired comparisons over seeds and cases: a bootstrap interval, a signed-rank test, and how many
//! seeds it takes. Plain numbers; nothing here knows tables or claims.

mod distribution;
mod holm;
mod paired;
mod wilcoxon;

pub use distribution::{normal_quantile, normal_tail, student_quantile};
pub use holm::holm;
pub use paired::{Block, Paired, REPLICATES};
pub use wilcoxon::wilcoxon;
