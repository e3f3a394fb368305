//! Rows of dots: measured values of rows, their seeds, and the published number beside them.

use maud::{Markup, html};

use super::axis::{Axis, short, tick_text};

/// Width of a plot in its own units.
const WIDTH: f64 = 320.0;
/// Height of a row.
const ROW: f64 = 15.0;
/// Room for the names of rows, and on the right.
const ROOM: [f64; 2] = [124.0, 10.0];
/// Letters of a name that fit.
const LETTERS: usize = 20;

/// The numbers of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dot {
    /// Mean.
    pub mean: Option<f64>,
    /// One per seed.
    pub seeds: Vec<f64>,
    /// What the paper prints.
    pub published: Option<f64>,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub struct DotRow {
    /// Name.
    pub name: String,
    /// Its numbers.
    pub dot: Dot,
}

/// A dot plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Dots {
    /// Above the plot.
    pub title: String,
    /// What the axis shows.
    pub label: String,
    /// From top to bottom.
    pub rows: Vec<DotRow>,
}

impl Dots {
    /// The plot as a figure with its title.
    #[must_use]
    pub fn markup(&self) -> Markup {
        let values = self.rows.iter().flat_map(|r| {
            let d = &r.dot;
            d.seeds.iter().copied().chain(d.mean).chain(d.published)
        });
        let axis = Axis::around(&self.label, values);
        let x = |v: f64| ROOM[0] + axis.share(v) * (WIDTH - ROOM[0] - ROOM[1]);
        let ticks = axis.ticks();
        let bottom = 6.0 + ROW * self.rows.len() as f64;
        let height = bottom + 30.0;
        html! {
            figure.plot.dots {
                figcaption { (self.title) }
                svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img"
                    aria-label={ (self.title) ": " (self.label) " of " (self.rows.len()) " rows" } {
                    @for &tick in &ticks {
                        path.grid d={ "M" (fixed(x(tick))) " 2V" (bottom) } {}
                        text.tick x=(fixed(x(tick))) y=(bottom + 11.0) text-anchor="middle" {
                            (tick_text(tick, &ticks))
                        }
                    }
                    text.label x=((ROOM[0] + WIDTH - ROOM[1]) / 2.0) y=(bottom + 25.0)
                        text-anchor="middle" { (self.label) }
                    @for (i, row) in self.rows.iter().enumerate() {
                        (self.row(row, 6.0 + ROW * (i as f64 + 0.5), &x))
                    }
                }
            }
        }
    }

    fn row(&self, row: &DotRow, y: f64, x: &impl Fn(f64) -> f64) -> Markup {
        let dot = &row.dot;
        let mean = dot.mean.map_or_else(|| "no value".to_owned(), short);
        let published = dot
            .published
            .map_or_else(String::new, |p| format!(", published {}", short(p)));
        html! {
            g.row {
                title { (row.name) ": " (mean) (published) }
                text.name x=(ROOM[0] - 8.0) y=(fixed(y + 3.4)) text-anchor="end" { (cut(&row.name)) }
                rect.reach x="0" y=(fixed(y - ROW / 2.0)) width=(WIDTH) height=(ROW) {}
                @if let (Some(m), Some(p)) = (dot.mean, dot.published) {
                    path.gap d={ "M" (fixed(x(m))) " " (fixed(y)) "H" (fixed(x(p))) } {}
                }
                @if dot.seeds.len() > 1 {
                    @for &seed in &dot.seeds {
                        circle.seed cx=(fixed(x(seed))) cy=(fixed(y)) r="1.6" {}
                    }
                }
                @if let Some(p) = dot.published {
                    path.paper d={ "M" (fixed(x(p))) " " (fixed(y - 3.8)) "l3.8 3.8-3.8 3.8-3.8-3.8z" } {}
                }
                @if let Some(m) = dot.mean {
                    circle.mean cx=(fixed(x(m))) cy=(fixed(y)) r="3.2" {}
                }
            }
        }
    }
}

fn fixed(value: f64) -> String {
    format!("{value:.1}")
}

/// A name that fits in front of its row.
fn cut(name: &str) -> String {
    if name.chars().count() <= LETTERS {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(LETTERS - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_has_a_name_and_no_dot() {
        let rows = vec![
            DotRow {
                name: "AMLP".to_owned(),
                dot: Dot {
                    mean: Some(0.5),
                    seeds: vec![0.4, 0.6],
                    published: Some(0.7),
                },
            },
            DotRow {
                name: "MAE".to_owned(),
                dot: Dot::default(),
            },
        ];
        let svg = Dots {
            title: "t".to_owned(),
            label: "DSC".to_owned(),
            rows,
        }
        .markup()
        .into_string();
        assert_eq!(svg.matches("class=\"mean\"").count(), 1);
        assert_eq!(svg.matches("class=\"seed\"").count(), 2);
        assert_eq!(svg.matches("class=\"paper\"").count(), 1);
        assert!(svg.contains("MAE: no value"));
        assert!(svg.contains("AMLP: 0.5, published 0.7"));
    }

    #[test]
    fn long_names_are_cut_at_letters() {
        assert_eq!(cut("ÄÖÜ"), "ÄÖÜ");
        assert_eq!(cut(&"ä".repeat(40)).chars().count(), LETTERS);
    }
}
