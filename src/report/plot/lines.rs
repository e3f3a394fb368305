//! A line plot: series over a common axis, each with a band of its spread.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use super::axis::{Axis, px, short, tick_text};

/// Size of a plot in its own units.
const SIZE: [f64; 2] = [300.0, 190.0];
/// Room for ticks and labels: left, right, top, bottom.
const ROOM: [f64; 4] = [54.0, 16.0, 10.0, 36.0];
/// Lines with no more points than this show them.
const MARKED: usize = 16;
/// Points of a line at most; longer ones are thinned evenly, their last point kept.
const POINTS: usize = 100;

/// A point of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Place on the horizontal axis.
    pub x: f64,
    /// Value.
    pub y: f64,
    /// Least and largest of what `y` is the mean of, where there are several.
    pub spread: Option<(f64, f64)>,
}

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name in the legend and when pointed at.
    pub name: String,
    /// Number of its colour and dash.
    pub style: usize,
    /// Whether it shows published numbers: hollow marks, thin line.
    pub published: bool,
    /// From left to right.
    pub points: Vec<Point>,
}

/// A line plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// Above the plot.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Ticks of the horizontal axis, where they are not the axis's own.
    pub at: Vec<f64>,
    /// Lines.
    pub series: Vec<Series>,
}

impl Lines {
    /// A plot that holds all of `series`.
    #[must_use]
    pub fn new(title: &str, x: &str, y: &str, series: Vec<Series>) -> Self {
        let points = || series.iter().flat_map(|s| &s.points);
        let values = points().flat_map(|p| {
            let (low, high) = p.spread.unwrap_or((p.y, p.y));
            [p.y, low, high]
        });
        Self {
            title: title.to_owned(),
            x: Axis::exactly(x, points().map(|p| p.x)),
            y: Axis::around(y, values),
            at: Vec::new(),
            series,
        }
    }

    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let [left, right, top, bottom] = ROOM;
        (
            left + self.x.share(x) * (SIZE[0] - left - right),
            SIZE[1] - bottom - self.y.share(y) * (SIZE[1] - top - bottom),
        )
    }

    /// The plot as a figure with its title.
    #[must_use]
    pub fn markup(&self) -> Markup {
        let named: Vec<&str> = self.series.iter().map(|s| s.name.as_str()).collect();
        let about = format!(
            "{}: {} against {}, {}",
            self.title,
            self.y.label,
            self.x.label,
            named.join(", ")
        );
        html! {
            figure.plot {
                figcaption { (self.title) }
                svg viewBox={ "0 0 " (SIZE[0]) " " (SIZE[1]) } role="img" aria-label=(about) {
                    (self.axes())
                    @for series in &self.series { (band(self, series)) }
                    @for series in &self.series { (line(self, series)) }
                }
            }
        }
    }

    fn axes(&self) -> Markup {
        let [left, right, top, bottom] = ROOM;
        let (x0, x1, y0, y1) = (left, SIZE[0] - right, SIZE[1] - bottom, top);
        let vertical = self.y.ticks();
        let horizontal = if self.at.is_empty() {
            self.x.ticks()
        } else {
            self.at.clone()
        };
        let mut out = String::new();
        for &value in &vertical {
            let (_, y) = self.place(self.x.low, value);
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{x0} {y:.1}H{x1}\"/><text class=\"tick\" x=\"{:.1}\" \
                 y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                x0 - 5.0,
                y + 3.2,
                tick_text(value, &vertical)
            );
        }
        for &value in &horizontal {
            let (x, _) = self.place(value, self.y.low);
            let text = if self.at.is_empty() {
                tick_text(value, &horizontal)
            } else {
                short(value)
            };
            let _ = write!(
                out,
                "<path class=\"mark\" d=\"M{x:.1} {y0}v3\"/><text class=\"tick\" x=\"{x:.1}\" \
                 y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                y0 + 13.0
            );
        }
        html! {
            (PreEscaped(out))
            path.axis d={ "M" (x0) " " (y0) "H" (x1) } {}
            text.label x=((x0 + x1) / 2.0) y=(SIZE[1] - 6.0) text-anchor="middle" { (self.x.label) }
            text.label transform={ "translate(9 " ((y0 + y1) / 2.0) ") rotate(-90)" }
                text-anchor="middle" { (self.y.label) }
        }
    }
}

/// The points to draw.
fn thinned(points: &[Point]) -> Vec<Point> {
    let n = points.len();
    if n <= POINTS {
        return points.to_vec();
    }
    (0..POINTS)
        .map(|i| points[i * (n - 1) / (POINTS - 1)])
        .collect()
}

fn band(plot: &Lines, series: &Series) -> Markup {
    let points = thinned(&series.points);
    let edges: Vec<(f64, f64, f64)> = points
        .iter()
        .filter_map(|p| p.spread.map(|(low, high)| (p.x, low, high)))
        .collect();
    if edges.len() < 2 {
        return html! {};
    }
    let upper = edges.iter().map(|&(x, _, high)| (x, high));
    let lower = edges.iter().rev().map(|&(x, low, _)| (x, low));
    let d = path(plot, upper.chain(lower));
    html! { path class={ "band s" (series.style % 16) } d={ (d) "Z" } {} }
}

fn line(plot: &Lines, series: &Series) -> Markup {
    let points = thinned(&series.points);
    let Some((first, last)) = points.first().zip(points.last()) else {
        return html! {};
    };
    let kind = if series.published { "published " } else { "" };
    let about = format!(
        "{}{}: {} at {}, {} at {}",
        series.name,
        if series.published { " (published)" } else { "" },
        short(first.y),
        short(first.x),
        short(last.y),
        short(last.x)
    );
    let marked = points.len() <= MARKED;
    html! {
        g class={ (kind) "series s" (series.style % 16) } {
            title { (about) }
            @if points.len() > 1 {
                path.line d=(path(plot, points.iter().map(|p| (p.x, p.y)))) {}
                path.near d=(path(plot, points.iter().map(|p| (p.x, p.y)))) {}
            }
            @if marked {
                @for point in &points { (dot(plot, series, point)) }
            }
        }
    }
}

fn dot(plot: &Lines, series: &Series, point: &Point) -> Markup {
    let (x, y) = plot.place(point.x, point.y);
    let spread = point.spread.map_or_else(String::new, |(low, high)| {
        format!(" ({} to {} over seeds)", short(low), short(high))
    });
    let (mut cx, mut cy) = (String::new(), String::new());
    px(&mut cx, x);
    px(&mut cy, y);
    html! {
        circle.dot cx=(cx) cy=(cy) r="2.2" {
            title { (series.name) ", " (short(point.x)) ": " (short(point.y)) (spread) }
        }
    }
}

fn path(plot: &Lines, points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut out = String::new();
    for (i, (x, y)) in points.enumerate() {
        let (x, y) = plot.place(x, y);
        out.push(if i == 0 { 'M' } else { 'L' });
        px(&mut out, x);
        out.push(' ');
        px(&mut out, y);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        Series {
            name: name.to_owned(),
            style: 0,
            published: false,
            points: points
                .iter()
                .map(|&(x, y)| Point { x, y, spread: None })
                .collect(),
        }
    }

    #[test]
    fn a_line_runs_from_corner_to_corner() {
        let plot = Lines::new(
            "t",
            "epoch",
            "loss",
            vec![series("a", &[(1.0, 0.0), (3.0, 1.0)])],
        );
        let svg = plot.markup().into_string();
        let [left, right, top, bottom] = ROOM;
        let expected = format!("M{left} {}L{} {top}", SIZE[1] - bottom, SIZE[0] - right);
        assert!(svg.contains(&expected), "{svg}");
        assert!(svg.contains("a: 0 at 1, 1 at 3"), "{svg}");
    }

    #[test]
    fn names_are_escaped_and_nothing_is_drawn_of_nothing() {
        let plot = Lines::new("<t>", "x", "y", vec![series("<b>", &[])]);
        let svg = plot.markup().into_string();
        assert!(!svg.contains("<b>") && svg.contains("&lt;t&gt;"));
        assert!(!svg.contains("class=\"line\"") && !svg.contains("NaN"));
    }

    #[test]
    fn long_lines_keep_their_ends() {
        let points: Vec<(f64, f64)> = (0..800).map(|i| (f64::from(i), f64::from(i))).collect();
        let thin = thinned(&series("a", &points).points);
        assert_eq!(thin.len(), POINTS);
        assert!((thin[0].x - 0.0).abs() < 1e-12 && (thin[POINTS - 1].x - 799.0).abs() < 1e-12);
    }
}
