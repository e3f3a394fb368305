//! Plots as inline SVG: axes with round ticks, lines with bands of spread, rows of dots and of
//! intervals. Colours come
//! from the style sheet of the page, by the number of a series.

mod axis;
mod dots;
mod forest;
mod lines;

pub use axis::{Axis, ticks};
pub use dots::{Dot, DotRow, Dots};
pub use forest::{Forest, ForestRow};
pub use lines::{Lines, Point, Series};
