//! The page around the sections: head, contents, footer. Style and script are part of it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::input::ReportInput;
use super::{
    claims, curves, figures, gallery, graph, labels, provenance, summary, tables, timings,
};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// What the page may do: nothing but show what is in it.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// A section: anchor, title, content. Sections without content are left out.
struct Section {
    id: &'static str,
    title: &'static str,
    content: Option<Markup>,
}

/// The report as one page that needs nothing beside it. Equal input gives equal bytes.
#[must_use]
pub fn html(input: &ReportInput) -> String {
    let sections = [
        ("tables", "Tables", tables::section(input)),
        ("claims", "Claims", claims::section(input)),
        ("figures", "Figures", figures::section(input)),
        ("pictures", "Segmentations", gallery::segmentations(input)),
        ("categories", "Patch categories", gallery::categories(input)),
        ("labels", "Label table over epochs", labels::section(input)),
        (
            "reconstructions",
            "Reconstructions",
            gallery::reconstructions(input),
        ),
        ("curves", "Training curves", curves::section(input)),
        ("graph", "Graph", graph::section(input)),
        ("timings", "Timings", timings::section(input)),
        ("provenance", "Provenance", provenance::section(input)),
    ]
    .map(|(id, title, content)| Section { id, title, content });
    let sections: Vec<Section> = sections
        .into_iter()
        .filter(|s| s.content.is_some())
        .collect();
    let title = summary::title(input);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "amlp-run " (env!("CARGO_PKG_VERSION")) };
                title { (title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#tables" { "Skip to the tables" }
                header.top {
                    nav aria-label="Contents" {
                        @for section in &sections {
                            a href={ "#" (section.id) } { (section.title) }
                        }
                    }
                    button.theme type="button" hidden aria-label="Switch between light and dark" {
                        "◐"
                    }
                }
                main {
                    (summary::section(input))
                    @for section in &sections {
                        section id=(section.id) aria-labelledby={ "h-" (section.id) } {
                            h2 id={ "h-" (section.id) } { (section.title) }
                            @if let Some(content) = &section.content { (content) }
                        }
                    }
                }
                footer {
                    p {
                        "Written by amlp-run " (env!("CARGO_PKG_VERSION"))
                        " from artifacts of its store alone. Nothing was run for this page, and it "
                        "loads nothing."
                    }
                }
                dialog #lineage aria-labelledby="lineage-title" {}
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// First eight digits of a key.
pub(super) fn short_key(key: &str) -> &str {
    key.get(..8).unwrap_or(key)
}

/// A stage as a link to where the page lists it.
pub(super) fn stage_link(key: &str) -> Markup {
    html! { a.key href={ "#s-" (short_key(key)) } { (short_key(key)) } }
}
