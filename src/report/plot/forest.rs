//! Differences with their intervals, one row below the other, around the least that is claimed.

use maud::{Markup, html};

use super::axis::{Axis, short, tick_text};

/// Width of a plot in its own units.
const WIDTH: f64 = 360.0;
/// Height of a row.
const ROW: f64 = 14.0;
/// Room for the names of rows, and on the right.
const ROOM: [f64; 2] = [150.0, 10.0];
/// Letters of a name that fit.
const LETTERS: usize = 30;

/// A difference.
#[derive(Clone, Debug, PartialEq)]
pub struct ForestRow {
    /// Name.
    pub name: String,
    /// Difference with its interval, where there is one.
    pub measured: Option<(f64, [f64; 2])>,
    /// The published difference.
    pub published: Option<f64>,
}

/// A forest plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    /// What the axis shows.
    pub label: String,
    /// The line that decides.
    pub least: f64,
    /// From top to bottom.
    pub rows: Vec<ForestRow>,
}

impl Forest {
    /// The plot.
    #[must_use]
    pub fn markup(&self) -> Markup {
        let values = self.rows.iter().flat_map(|r| {
            let measured = r.measured.iter().flat_map(|(e, [l, h])| [*e, *l, *h]);
            measured.chain(r.published)
        });
        let axis = Axis::around(&self.label, values.chain([self.least]));
        let x = |v: f64| ROOM[0] + axis.share(v) * (WIDTH - ROOM[0] - ROOM[1]);
        let ticks = axis.ticks();
        let bottom = 4.0 + ROW * self.rows.len() as f64;
        html! {
            svg.forest viewBox={ "0 0 " (WIDTH) " " (bottom + 28.0) } role="img"
                aria-label={ (self.label) " in " (self.rows.len()) " comparisons" } {
                @for &tick in &ticks {
                    path.grid d=(format!("M{:.1} 2V{bottom}", x(tick))) {}
                    text.tick x=(format!("{:.1}", x(tick))) y=(bottom + 11.0) text-anchor="middle" {
                        (tick_text(tick, &ticks))
                    }
                }
                path.least d=(format!("M{:.1} 0V{bottom}", x(self.least))) {}
                text.label x=((ROOM[0] + WIDTH - ROOM[1]) / 2.0) y=(bottom + 24.0)
                    text-anchor="middle" { (self.label) }
                @for (i, row) in self.rows.iter().enumerate() {
                    (one(row, 4.0 + ROW * (i as f64 + 0.5), &x))
                }
            }
        }
    }
}

fn one(row: &ForestRow, y: f64, x: &impl Fn(f64) -> f64) -> Markup {
    let measured = row.measured.map_or_else(
        || "no result".to_owned(),
        |(e, [l, h])| format!("{} ({} to {})", short(e), short(l), short(h)),
    );
    let published = row
        .published
        .map_or_else(String::new, |p| format!(", published {}", short(p)));
    let name: String = if row.name.chars().count() <= LETTERS {
        row.name.clone()
    } else {
        let cut = row.name.chars().take(LETTERS - 1);
        cut.chain(['…']).collect()
    };
    html! {
        g.row {
            title { (row.name) ": " (measured) (published) }
            rect.reach x="0" y=(format!("{:.1}", y - ROW / 2.0)) width=(WIDTH) height=(ROW) {}
            text.name x=(ROOM[0] - 8.0) y=(format!("{:.1}", y + 3.2)) text-anchor="end" { (name) }
            @if let Some(p) = row.published {
                path.paper d=(format!("M{:.1} {:.1}l3.4 3.4-3.4 3.4-3.4-3.4z", x(p), y - 3.4)) {}
            }
            @if let Some((effect, [low, high])) = row.measured {
                path.interval d=(format!("M{:.1} {y:.1}H{:.1}", x(low), x(high))) {}
                circle.mean cx=(format!("{:.1}", x(effect))) cy=(format!("{y:.1}")) r="2.8" {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_results_keep_their_place() {
        let row = |measured, published| ForestRow {
            name: "a".to_owned(),
            measured,
            published,
        };
        let svg = Forest {
            label: "DSC".to_owned(),
            least: 0.0,
            rows: vec![row(Some((0.1, [-0.1, 0.3])), Some(0.2)), row(None, None)],
        }
        .markup()
        .into_string();
        assert_eq!(svg.matches("class=\"interval\"").count(), 1);
        assert_eq!(svg.matches("class=\"row\"").count(), 2);
        assert!(svg.contains("a: 0.1 (-0.1 to 0.3), published 0.2"));
        assert!(svg.contains("a: no result"));
    }
}
