//! The head of the page: what was run, with what, and how far it got.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::input::{Origin, ReportInput, StageState};
use super::tables::name;
use super::timings::duration;

/// Title of the page.
pub(super) fn title(input: &ReportInput) -> String {
    let names: Vec<String> = input
        .origins
        .iter()
        .map(|o| format!("{}, profile {}", o.experiment, o.profile))
        .collect();
    if names.is_empty() {
        "Report".to_owned()
    } else {
        names.join("; ")
    }
}

/// Whether any number comes from synthetic images.
pub(super) fn has_phantoms(input: &ReportInput) -> bool {
    let mut data = input.tables.iter().flat_map(|t| &t.input.facts.data);
    data.any(|d| d.phantom)
}

pub(super) fn section(input: &ReportInput) -> Markup {
    let phantom = has_phantoms(input);
    html! {
        section.summary aria-labelledby="title" {
            p.kicker { "Report of an experiment" }
            h1 #title {
                @for (i, origin) in input.origins.iter().enumerate() {
                    @if i > 0 { ", " }
                    (origin.experiment)
                }
                @if input.origins.is_empty() { "Nothing" }
            }
            @for table in &input.tables {
                p.lead { (name(&table.input.number)) ". " (table.input.title) }
            }
            @for origin in &input.origins { (about(origin)) }
            @if phantom { (warning()) }
            (figures(input))
            (facts(input))
        }
    }
}

fn about(origin: &Origin) -> Markup {
    html! {
        p.command {
            code { "amlp-run " (origin.manifest) (origin.arguments) }
        }
    }
}

fn warning() -> Markup {
    html! {
        p.warning role="note" {
            strong { "Synthetic images. " }
            "Data sets whose names begin with phantom are drawn by a program. Their numbers show that "
            "everything runs. They say nothing about the paper, and no claim of it is judged by them; "
            "published values stand beside them only to show where real ones would."
        }
    }
}

/// The few large numbers.
fn figures(input: &ReportInput) -> Markup {
    let cells: Vec<_> = input.tables.iter().flat_map(|t| &t.input.cells).collect();
    let filled = cells.iter().filter(|c| c.mean.is_some()).count();
    let done = count(input, StageState::Done);
    let trainings = input
        .stages
        .iter()
        .filter(|s| s.state == StageState::Done && is_training(s.kind))
        .count();
    let seconds: f64 = input.stages.iter().filter_map(|s| s.wall_s).sum();
    html! {
        dl.figures {
            div { dt { "tables" } dd { (input.tables.len()) } }
            div { dt { "cells with a value" } dd { (filled) small { " of " (cells.len()) } } }
            div { dt { "stages done" } dd { (done) small { " of " (input.stages.len()) } } }
            div { dt { "trainings" } dd { (trainings) } }
            div { dt { "time of all stages" } dd { (duration(seconds)) } }
        }
    }
}

pub(super) fn is_training(kind: &str) -> bool {
    matches!(kind, "pretrain" | "finetune" | "tokenize")
}

fn count(input: &ReportInput, state: StageState) -> usize {
    input.stages.iter().filter(|s| s.state == state).count()
}

/// Who, where, when.
fn facts(input: &ReportInput) -> Markup {
    let made = || input.stages.iter().filter(|s| s.state == StageState::Done);
    let set = |values: BTreeSet<String>| {
        let all: Vec<String> = values.into_iter().filter(|v| !v.is_empty()).collect();
        match all.len() {
            0 => "–".to_owned(),
            n if n > 4 => format!("{} and {} more", all[..4].join(", "), n - 4),
            _ => all.join(", "),
        }
    };
    let started: Vec<&str> = made()
        .map(|s| s.started.as_str())
        .filter(|s| !s.is_empty())
        .collect();
    let first = started.iter().min().copied().unwrap_or("–");
    let last = started.iter().max().copied().unwrap_or("–");
    let versions = made()
        .map(|s| match &s.commit {
            Some(commit) => format!("{} ({})", s.version, commit.get(..10).unwrap_or(commit)),
            None => s.version.clone(),
        })
        .collect();
    let seeds: BTreeSet<u64> = input
        .tables
        .iter()
        .flat_map(|t| t.input.facts.seeds.iter().copied())
        .collect();
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let data: BTreeSet<String> = input
        .tables
        .iter()
        .flat_map(|t| t.input.facts.data.iter().map(|d| (&t.input, d)))
        .map(|(table, d)| {
            let split = if d.split.is_empty() {
                String::new()
            } else {
                format!(": {}", d.split)
            };
            format!("{}{split}", table.shown(&d.name))
        })
        .collect();
    html! {
        dl.facts {
            dt { "Profile" }
            dd { (set(input.origins.iter().map(|o| o.profile.clone()).collect())) }
            dt { "Data" }
            dd { @for (i, d) in data.iter().enumerate() { @if i > 0 { br; } (d) } }
            dt { "Seeds" }
            dd { (seeds.join(", ")) @if seeds.len() == 1 { " (one seed: no spread)" } }
            dt { "Devices" }
            dd { (set(made().filter_map(|s| s.device.clone()).collect())) }
            dt { "Machines" }
            dd { (set(made().map(|s| s.host.clone()).collect())) }
            dt { "Program" }
            dd { (set(versions)) }
            dt { "Stages started" }
            dd { (first) " to " (last) }
            @let failed = count(input, StageState::Failed);
            @let running = count(input, StageState::Running);
            @let missing = count(input, StageState::Missing);
            @if failed + running + missing > 0 {
                dt { "Not there" }
                dd { (failed) " failed, " (running) " running, " (missing) " not run" }
            }
        }
    }
}
