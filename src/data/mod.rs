//! From files on disk to slices: cases, volumes, layouts, preparation, splits, phantoms.

pub mod augment;
pub mod case;
pub mod check;
pub mod images;
pub mod index;
pub mod layout;
pub mod phantom;
pub mod prepare;
pub mod split;
pub mod volume;
