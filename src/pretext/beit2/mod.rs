//! BEiT v2 (Peng et al. 2022) on the U-Net: a tokenizer that puts a teacher's features into codes,
//! and the prediction of the codes of masked blocks (`methods/masked.md` section 3.5).

mod codes;
mod task;
mod teacher;
mod tokenizer;

pub use codes::{CODES, read_codes, write_codes};
pub use task::{Beit2, Beit2Method, Beit2Network, ClassBranch, masked_cross_entropy};
pub use teacher::TokenizerTeacher;
pub use tokenizer::{Tokenizer, TokenizerNetwork, TokenizerTask, cosine_loss};
