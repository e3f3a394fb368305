//! What other programs read, made from the events of a run.

mod crc;
pub mod tensorboard;
pub mod trace;
