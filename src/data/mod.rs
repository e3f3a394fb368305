//! From files on disk to slices: cases, volumes, layouts, preparation, splits, phantoms.

pub mod case;
pub mod images;
