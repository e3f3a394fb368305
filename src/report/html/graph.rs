//! The graph of stages, collapsed by kind: how many there are, how many are done, what reads what.

use std::collections::{BTreeMap, HashMap};

use maud::{Markup, html};

use super::input::{ReportInput, StageFact, StageState};
use super::timings::duration;

/// Size of a box.
const BOX: [f64; 2] = [124.0, 46.0];
/// Room between boxes.
const GAP: [f64; 2] = [28.0, 26.0];

/// All stages of a kind.
struct Node<'a> {
    kind: &'a str,
    count: usize,
    done: usize,
    failed: usize,
    seconds: f64,
    /// Column and row of its box.
    at: [usize; 2],
}

pub(super) fn section(input: &ReportInput) -> Option<Markup> {
    if input.stages.is_empty() {
        return None;
    }
    let (nodes, edges) = collapse(&input.stages);
    let extent = |axis: usize| 1 + nodes.iter().map(|n| n.at[axis]).max().unwrap_or(0);
    let width = extent(0) as f64 * (BOX[0] + GAP[0]) - GAP[0] + 4.0;
    let height = extent(1) as f64 * (BOX[1] + GAP[1]) - GAP[1] + 4.0;
    let place: HashMap<&str, [f64; 2]> = nodes.iter().map(|n| (n.kind, corner(n))).collect();
    Some(html! {
        p.about {
            (input.stages.len()) " stages, equal ones merged across rows, tables and manifests; an arrow "
            "says how many artifacts of one kind are read by stages of another."
        }
        div.scroll tabindex="0" role="region" aria-label="Graph of stages" {
            svg.graph viewBox={ "0 0 " (width) " " (height) } style={ "min-width:" (width * 0.9) "px" }
                role="img" aria-label="Stages by kind" {
                defs {
                    marker id="tip" viewBox="0 0 6 6" refX="5.5" refY="3" markerWidth="6" markerHeight="6"
                        orient="auto" { path.tip d="M0 0L6 3 0 6z" {} }
                }
                @for ((from, to), n) in &edges {
                    @if let (Some(a), Some(b)) = (place.get(from), place.get(to)) {
                        g.link {
                            title { (n) " × " (from) " → " (to) }
                            path d=(curve(*a, *b)) marker-end="url(#tip)" {}
                        }
                    }
                }
                @for node in &nodes { (draw(node)) }
            }
        }
    })
}

fn corner(node: &Node<'_>) -> [f64; 2] {
    [0, 1].map(|axis| 2.0 + node.at[axis] as f64 * (BOX[axis] + GAP[axis]))
}

fn draw(node: &Node<'_>) -> Markup {
    let [x, y] = corner(node);
    let share = node.done as f64 / node.count.max(1) as f64;
    html! {
        g.node.failed[node.failed > 0] {
            title {
                (node.kind) ": " (node.done) " of " (node.count) " done"
                @if node.failed > 0 { ", " (node.failed) " failed" }
                ", " (duration(node.seconds))
            }
            rect.box x=(x) y=(y) width=(BOX[0]) height=(BOX[1]) rx="5" {}
            rect.done x=(x) y=(y + BOX[1] - 4.0) width=(format!("{:.1}", BOX[0] * share)) height="4" {}
            text.kind x=(x + 9.0) y=(y + 18.0) { (node.kind) }
            text.count x=(x + 9.0) y=(y + 34.0) {
                (node.done) @if node.done != node.count { " of " (node.count) }
                " · " (duration(node.seconds))
            }
        }
    }
}

/// From the right side of a box to the left side of another.
fn curve(a: [f64; 2], b: [f64; 2]) -> String {
    let (x0, y0) = (a[0] + BOX[0], a[1] + BOX[1] / 2.0);
    let (x1, y1) = (b[0], b[1] + BOX[1] / 2.0);
    let bend = ((x1 - x0) / 2.0).max(GAP[0] / 2.0);
    format!(
        "M{x0} {y0}C{:.1} {y0} {:.1} {y1} {x1} {y1}",
        x0 + bend,
        x1 - bend
    )
}

type Edges<'a> = BTreeMap<(&'a str, &'a str), usize>;

/// Kinds with the places of their boxes, and how many edges there are between two kinds.
fn collapse(stages: &[StageFact]) -> (Vec<Node<'_>>, Edges<'_>) {
    let kinds: HashMap<&str, &str> = stages.iter().map(|s| (s.key.as_str(), s.kind)).collect();
    let mut nodes: Vec<Node<'_>> = Vec::new();
    let mut edges = Edges::new();
    for stage in stages {
        let node = match nodes.iter().position(|n| n.kind == stage.kind) {
            Some(i) => &mut nodes[i],
            None => {
                nodes.push(Node {
                    kind: stage.kind,
                    count: 0,
                    done: 0,
                    failed: 0,
                    seconds: 0.0,
                    at: [0, 0],
                });
                let last = nodes.len() - 1;
                &mut nodes[last]
            }
        };
        node.count += 1;
        node.done += usize::from(stage.state == StageState::Done);
        node.failed += usize::from(stage.state == StageState::Failed);
        node.seconds += stage.wall_s.unwrap_or(0.0);
        for from in stage.inputs.iter().filter_map(|i| kinds.get(i.as_str())) {
            if *from != stage.kind {
                *edges.entry((from, stage.kind)).or_default() += 1;
            }
        }
    }
    let columns = columns(&nodes, &edges);
    let mut used: BTreeMap<usize, usize> = BTreeMap::new();
    for (node, column) in nodes.iter_mut().zip(columns) {
        let row = used.entry(column).or_default();
        node.at = [column, *row];
        *row += 1;
    }
    (nodes, edges)
}

/// The longest way to each kind. Kinds that read each other in a circle stay within their number.
fn columns(nodes: &[Node<'_>], edges: &Edges<'_>) -> Vec<usize> {
    let place: HashMap<&str, usize> = nodes.iter().map(|n| n.kind).zip(0..).collect();
    let mut columns = vec![0; nodes.len()];
    for _ in 0..nodes.len() {
        for (from, to) in edges.keys() {
            let (a, b) = (place[from], place[to]);
            columns[b] = columns[b].max((columns[a] + 1).min(nodes.len() - 1));
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(kind: &'static str, key: &str, inputs: &[&str]) -> StageFact {
        StageFact {
            key: key.to_owned(),
            kind,
            label: key.to_owned(),
            state: StageState::Done,
            reason: None,
            inputs: inputs.iter().map(|&i| i.to_owned()).collect(),
            wall_s: Some(1.0),
            started: String::new(),
            host: String::new(),
            device: None,
            version: String::new(),
            commit: None,
            threads: 1,
            peak_memory: None,
            attempts: 1,
            bytes: 0,
        }
    }

    #[test]
    fn kinds_stand_behind_what_they_read() {
        let stages = [
            stage("index", "a", &[]),
            stage("split", "b", &["a"]),
            stage("prepare", "c", &["a"]),
            stage("cluster", "d", &["b", "c"]),
            stage("cluster", "e", &["b", "c"]),
        ];
        let (nodes, edges) = collapse(&stages);
        let at: Vec<_> = nodes.iter().map(|n| (n.kind, n.at, n.count)).collect();
        assert_eq!(
            at,
            [
                ("index", [0, 0], 1),
                ("split", [1, 0], 1),
                ("prepare", [1, 1], 1),
                ("cluster", [2, 0], 2),
            ]
        );
        assert_eq!(edges[&("split", "cluster")], 2);
    }

    #[test]
    fn a_circle_ends() {
        let stages = [
            stage("pretrain", "a", &["b"]),
            stage("tokenize", "b", &["a"]),
        ];
        let (nodes, _) = collapse(&stages);
        assert!(nodes.iter().all(|n| n.at[0] < 2));
    }
}
