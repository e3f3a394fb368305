//! Losses per epoch, and how much is masked.

use maud::{Markup, html};

use super::super::plot::{Lines, Point, Series};
use super::input::{ReportInput, ReportTable, Training, TrainingKind};
use super::tables::name;

/// Largest value over the smallest from which a loss is drawn with equal factors at equal distances.
const DECADES: f64 = 30.0;

pub(super) fn section(input: &ReportInput) -> Option<Markup> {
    let with: Vec<&ReportTable> = input
        .tables
        .iter()
        .filter(|t| !t.trainings.is_empty())
        .collect();
    if with.is_empty() {
        return None;
    }
    Some(html! {
        p.about {
            "Mean over seeds of the mean loss per image of an epoch; the band is from the least to the "
            "largest seed. Losses of different methods measure different things. Point at a name to see "
            "its line alone."
        }
        @for (i, table) in with.iter().enumerate() {
            details.plots open[i == 0] {
                summary { h3 { (name(&table.input.number)) ". " span.title { (table.input.title) } } }
                (legend(table, |_| true))
                @let pretrain = panels(table, TrainingKind::Pretrain, None);
                @if !pretrain.is_empty() {
                    h4 { "Pre-training" }
                    div.grid { @for plot in &pretrain { (plot.markup()) } }
                }
                @for &label in &table.input.labels {
                    @let finetune = panels(table, TrainingKind::Finetune, label);
                    @if !finetune.is_empty() {
                        h4 { "Fine-tuning" @if let Some(l) = label { ", " (l) " % labels" } }
                        div.grid { @for plot in &finetune { (plot.markup()) } }
                    }
                }
                @if let Some(ratio) = masked(table) {
                    h4 { "Share of patches that is masked" }
                    ul.legend {
                        @for series in &ratio.series { (key(&series.name, series.style)) }
                    }
                    div.grid { (ratio.markup()) }
                }
            }
        }
    })
}

/// Names of the rows of which a training is shown, with their colours.
pub(super) fn legend(table: &ReportTable, shown: impl Fn(&Training) -> bool) -> Markup {
    html! {
        ul.legend {
            @for (row, method) in table.input.methods.iter().enumerate() {
                @if table.trainings.iter().any(|t| t.row == row && shown(t)) {
                    (key(method, row))
                }
            }
        }
    }
}

/// A name with its line.
pub(super) fn key(name: &str, style: usize) -> Markup {
    html! {
        li.key tabindex="0" data-series=(style % 16) {
            svg viewBox="0 0 22 8" aria-hidden="true" {
                g class={ "series s" (style % 16) } { path.line d="M1 4H21" {} }
            }
            (name)
        }
    }
}

/// A plot of the loss for each column of the table.
fn panels(table: &ReportTable, kind: TrainingKind, label: Option<u32>) -> Vec<Lines> {
    let wanted: Vec<&Training> = table
        .trainings
        .iter()
        .filter(|t| t.kind == kind && t.label == label)
        .collect();
    (0..table.input.columns.len())
        .filter_map(|column| {
            let series = series(table, &wanted, column, &|t| t.scalars.get("loss").cloned());
            if series.is_empty() {
                return None;
            }
            let mut plot = Lines::new(&column_name(table, column), "epoch", "loss", series);
            let values = || plot.series.iter().flat_map(|s| &s.points).map(|p| p.y);
            let (low, high) =
                values().fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
            if low > 0.0 && high / low > DECADES {
                plot.y.low = low;
                plot.y.high = high;
                plot.y = plot.y.clone().logarithmic();
            }
            Some(plot)
        })
        .collect()
}

/// `phantom-hecktor CT`.
pub(super) fn column_name(table: &ReportTable, column: usize) -> String {
    table
        .input
        .columns
        .get(column)
        .map_or_else(String::new, |c| {
            format!("{} {}", table.input.shown(&c.dataset), c.modality)
        })
}

/// A line for each row, over its seeds.
pub(super) fn series(
    table: &ReportTable,
    trainings: &[&Training],
    column: usize,
    value: &impl Fn(&Training) -> Option<Vec<f64>>,
) -> Vec<Series> {
    table
        .input
        .methods
        .iter()
        .enumerate()
        .filter_map(|(row, method)| {
            let seeds: Vec<(&[f64], Vec<f64>)> = trainings
                .iter()
                .filter(|t| t.row == row && t.column == column)
                .filter_map(|t| Some((t.epochs.as_slice(), value(t)?)))
                .collect();
            let points = over_seeds(&seeds);
            (!points.is_empty()).then(|| Series {
                name: method.clone(),
                style: row,
                published: false,
                points,
            })
        })
        .collect()
}

/// Means over seeds with their extremes. Epochs are those of the first seed.
fn over_seeds(seeds: &[(&[f64], Vec<f64>)]) -> Vec<Point> {
    let Some((epochs, _)) = seeds.first() else {
        return Vec::new();
    };
    epochs
        .iter()
        .enumerate()
        .filter_map(|(i, &x)| {
            let values: Vec<f64> = seeds
                .iter()
                .filter_map(|(_, v)| v.get(i).copied())
                .filter(|v| v.is_finite())
                .collect();
            let n = values.len();
            if n == 0 {
                return None;
            }
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            Some(Point {
                x,
                y: values.iter().sum::<f64>() / n as f64,
                spread: (n > 1).then_some((low, high)),
            })
        })
        .collect()
}

/// The share of masked patches over epochs: the same for all columns, and for many rows.
fn masked(table: &ReportTable) -> Option<Lines> {
    let mut found: Vec<Series> = Vec::new();
    for (row, method) in table.input.methods.iter().enumerate() {
        let training = table
            .trainings
            .iter()
            .find(|t| t.row == row && t.scalars.contains_key("ratio"));
        let Some(training) = training else { continue };
        let values = (
            training.epochs.as_slice(),
            training.scalars["ratio"].clone(),
        );
        let points = over_seeds(&[values]);
        match found.iter_mut().find(|s| s.points == points) {
            Some(same) => {
                same.name.push_str(", ");
                same.name.push_str(method);
            }
            None => found.push(Series {
                name: method.clone(),
                style: row,
                published: false,
                points,
            }),
        }
    }
    (!found.is_empty()).then(|| {
        let mut plot = Lines::new("All columns", "epoch", "masked", found);
        plot.y.low = 0.0;
        plot.y.high = 1.0;
        plot
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_give_a_mean_and_a_band() {
        let epochs = [1.0, 2.0, 3.0];
        let points = over_seeds(&[
            (&epochs, vec![1.0, 2.0, f64::NAN]),
            (&epochs, vec![3.0, 2.0, 5.0]),
        ]);
        assert_eq!(points.len(), 3);
        assert_eq!((points[0].y, points[0].spread), (2.0, Some((1.0, 3.0))));
        assert_eq!((points[2].y, points[2].spread), (5.0, None));
        assert!(over_seeds(&[]).is_empty());
    }
}
