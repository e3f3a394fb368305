//! Slices: segmentations (Figure 4), categories of patches (Figure 3), reconstructions.

use maud::{Markup, html};

use super::super::picture::{Agreement, Grey, fill, outline};
use super::input::{
    Categories, CategorySlice, Gallery, GalleryRow, Prediction, Reconstruction, ReportInput,
};
use super::page::{short_key, stage_link};
use super::tables::name;

/// Segmentations of test slices.
pub(super) fn segmentations(input: &ReportInput) -> Option<Markup> {
    let pictures = &input.pictures;
    if pictures.galleries.is_empty() && pictures.notes.is_empty() {
        return None;
    }
    Some(html! {
        @if !pictures.galleries.is_empty() {
            p.about {
                "Of each data set and modality the test slice with the largest lesion of the first test "
                "case that has one. The line is the outline of the reference, the colour what the model "
                "says; where they agree, the line is filled exactly. Below each picture the Dice of the "
                "slice, mean over its regions."
            }
        }
        @for (i, gallery) in pictures.galleries.iter().enumerate() { (one(gallery, i)) }
        @if !pictures.notes.is_empty() {
            ul.notes { @for note in &pictures.notes { li { (note) } } }
        }
    })
}

fn one(gallery: &Gallery, index: usize) -> Markup {
    html! {
        details.gallery open[index == 0] {
            summary {
                h3 {
                    (name(&gallery.table)) ", " (gallery.label) " % labels, seed " (gallery.seed)
                }
            }
            @for (i, row) in gallery.rows.iter().enumerate() {
                div.strip {
                    h4 { (row.column) span.slice { (row.slice) } }
                    ul.regions {
                        @for (r, region) in row.regions.iter().enumerate() {
                            li { span class={ "swatch r" (r % 6) } {} (region) }
                        }
                    }
                    (slices(row, &format!("g{index}-{i}")))
                }
            }
        }
    }
}

fn slices(row: &GalleryRow, id: &str) -> Markup {
    let size = (row.image.width, row.image.height);
    html! {
        div.slices {
            figure.slice {
                (frame(size, &row.slice, &html! {
                    image id=(id) href=(row.image.uri()) width=(size.0) height=(size.1) {}
                    (outlines(row))
                }))
                figcaption { "reference" }
            }
            @for prediction in &row.predictions {
                figure.slice {
                    @match &prediction.masks {
                        Ok(masks) => {
                            (frame(size, &format!("{}: {}", prediction.method, row.slice), &html! {
                                use href={ "#" (id) } {}
                                @for (r, mask) in masks.iter().enumerate() {
                                    path class={ "said r" (r % 6) } d=(fill(mask, size.0)) {}
                                }
                                (outlines(row))
                            }))
                            figcaption { (method(prediction)) (score(row, masks)) }
                        }
                        Err(reason) => {
                            div.none { (reason) }
                            figcaption { (prediction.method) }
                        }
                    }
                }
            }
        }
    }
}

/// Name of a row, which leads to the record of its model.
fn method(prediction: &Prediction) -> Markup {
    html! { a href={ "#s-" (short_key(&prediction.key)) } { (prediction.method) } }
}

fn outlines(row: &GalleryRow) -> Markup {
    html! {
        @for (r, mask) in row.reference.iter().enumerate() {
            @let d = outline(mask, row.image.width);
            path.edge-back d=(d) {}
            path class={ "edge r" (r % 6) } d=(d) {}
        }
    }
}

/// A picture of `size` pixels.
fn frame(size: (usize, usize), title: &str, content: &Markup) -> Markup {
    html! {
        svg.picture viewBox={ "0 0 " (size.0) " " (size.1) } role="img" {
            title { (title) }
            (content)
        }
    }
}

/// Mean Dice over regions; regions that are neither there nor predicted count 1.
fn score(row: &GalleryRow, masks: &[Vec<u8>]) -> Markup {
    let regions = row.reference.len().min(masks.len());
    let dice: f64 = row
        .reference
        .iter()
        .zip(masks)
        .map(|(a, b)| dice(a, b))
        .sum();
    html! {
        @if regions > 0 { span.dice { (format!("{:.2}", dice / regions as f64)) } }
    }
}

fn dice(a: &[u8], b: &[u8]) -> f64 {
    let both = a
        .iter()
        .zip(b)
        .filter(|(x, y)| **x != 0 && **y != 0)
        .count();
    let size = |m: &[u8]| m.iter().filter(|v| **v != 0).count();
    match size(a) + size(b) {
        0 => 1.0,
        total => 2.0 * both as f64 / total as f64,
    }
}

/// Categories of patches before and after pre-training.
pub(super) fn categories(input: &ReportInput) -> Option<Markup> {
    let all = &input.pictures.categories;
    if all.is_empty() {
        return None;
    }
    Some(html! {
        p.about {
            "Patches of training slices in the lesion category (1) and the background category (0), by "
            "the clustering before the first epoch and in the label table after the last one. A patch is "
            "lesion where a pixel of it is, which neither clustering nor training is told. Filled: "
            "category 1. "
            span.right-key { "■" } " right, " span.wrong-key { "⊠" } " wrong, with a cross."
        }
        (agreement(all))
        div.pairs {
            @for (i, of) in all.iter().enumerate() {
                div.strip {
                    h4 { (of.column) span.slice { (of.method) ", " (stage_link(&of.key)) } }
                    @for (j, slice) in of.slices.iter().enumerate() {
                        (category_slice(slice, &format!("k{i}-{j}")))
                    }
                }
            }
        }
    })
}

fn category_slice(slice: &CategorySlice, id: &str) -> Markup {
    let size = (slice.image.width, slice.image.height);
    let count = |labels: &[u8]| {
        let wrong = labels.iter().zip(&slice.truth).filter(|(a, b)| a != b);
        wrong.count()
    };
    html! {
        div.slices.three {
            figure.slice {
                (frame(size, &slice.slice, &html! {
                    image id=(id) href=(slice.image.uri()) width=(size.0) height=(size.1) {}
                    path.edge-back d=(outline(&slice.lesion, size.0)) {}
                    path.edge.r0 d=(outline(&slice.lesion, size.0)) {}
                }))
                figcaption { (slice.slice) }
            }
            @for (labels, title) in [(&slice.first, "clustering"), (&slice.last, "after training")] {
                figure.slice {
                    (frame(size, &format!("{title}: {}", slice.slice), &html! {
                        use href={ "#" (id) } {}
                        (patches(slice, labels))
                    }))
                    figcaption { (title) span.dice { (count(labels)) " wrong" } }
                }
            }
        }
    }
}

fn patches(slice: &CategorySlice, labels: &[u8]) -> Markup {
    let is = |label: bool, right: bool| {
        let n = labels.len().min(slice.truth.len());
        slice.grid.squares(n, |p| {
            (labels[p] != 0) == label && (labels[p] == slice.truth[p]) == right
        })
    };
    let crosses = slice
        .grid
        .crosses(labels.len().min(slice.truth.len()), |p| {
            labels[p] != slice.truth[p]
        });
    html! {
        path.patch.right d=(is(false, true)) {}
        path.patch.right.lesion d=(is(true, true)) {}
        path.patch.wrong d=(is(false, false)) {}
        path.patch.wrong.lesion d=(is(true, false)) {}
        path.cross d=(crosses) {}
        path.edge-back d=(outline(&slice.lesion, slice.image.width)) {}
        path.edge.r0 d=(outline(&slice.lesion, slice.image.width)) {}
    }
}

/// How well categories and lesions agree over all training slices.
fn agreement(all: &[Categories]) -> Markup {
    let percent =
        |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| format!("{:.1} %", 100.0 * v));
    let pair = |of: &Categories, f: fn(&Agreement) -> Option<f64>| {
        html! {
            td.num { (percent(f(&of.first))) }
            td.num { (percent(f(&of.last))) }
        }
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Categories against lesions" {
            table.plain {
                thead {
                    tr {
                        th rowspan="2" scope="col" { "Over all training slices" }
                        th.num colspan="2" scope="colgroup" { "wrong" }
                        th.num colspan="2" scope="colgroup" { "of category 1, lesion" }
                        th.num colspan="2" scope="colgroup" { "of lesion, category 1" }
                    }
                    tr { @for _ in 0..3 { th.num scope="col" { "before" } th.num scope="col" { "after" } } }
                }
                tbody {
                    @for of in all {
                        tr {
                            th scope="row" { (of.column) ", " (of.method) }
                            (pair(of, Agreement::wrong))
                            (pair(of, Agreement::precision))
                            (pair(of, Agreement::recall))
                        }
                    }
                }
            }
        }
    }
}

/// Masked slices and what the network makes of them.
pub(super) fn reconstructions(input: &ReportInput) -> Option<Markup> {
    let all = &input.pictures.reconstructions;
    let masked = input
        .tables
        .iter()
        .flat_map(|t| &t.trainings)
        .any(|t| t.scalars.contains_key("ratio"));
    if all.is_empty() && !masked {
        return None;
    }
    Some(html! {
        @if all.is_empty() {
            p.about {
                "None: pre-training hands on its encoder and drops the rest of its network. With "
                code { "--set pretrain.keep_network=true" }
                " it keeps the whole network, and this section shows masked slices and what becomes of them."
            }
        } @else {
            p.about {
                "A training slice as the network saw it in the last epoch, what it made of it, and the "
                "slice. Below it the mean squared error inside masked patches, of the normalised image."
            }
        }
        div.pairs { @for one in all { (reconstruction(one)) } }
    })
}

fn reconstruction(one: &Reconstruction) -> Markup {
    let picture = |image: &Grey, title: &str| {
        let size = (image.width, image.height);
        frame(
            size,
            &format!("{title}: {}", one.slice),
            &html! { image href=(image.uri()) width=(size.0) height=(size.1) {} },
        )
    };
    html! {
        div.strip {
            h4 { (one.column) span.slice { (one.method) ", " (one.slice) ", " (stage_link(&one.key)) } }
            div.slices.three {
                figure.slice {
                    (picture(&one.input, "masked"))
                    figcaption { "masked " (format!("{:.0} %", 100.0 * one.ratio)) }
                }
                figure.slice {
                    (picture(&one.output, "reconstruction"))
                    figcaption { "reconstruction" span.dice { (format!("{:.3}", one.error)) } }
                }
                figure.slice {
                    (picture(&one.target, "slice"))
                    figcaption { "slice" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_of_masks() {
        assert_eq!(dice(&[1, 1, 0], &[1, 0, 0]), 2.0 / 3.0);
        assert_eq!(dice(&[0, 0], &[0, 0]), 1.0);
        assert_eq!(dice(&[1, 0], &[0, 1]), 0.0);
    }
}
