//! Heads that sit on a backbone during pre-training and are dropped at the transfer.

mod category;

pub use category::CategoryHead;
