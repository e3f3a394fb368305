//! The plan as a graph: order, neighbours, drawing.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Key, Plan, StageKind};

/// A plan as a directed acyclic graph; edges run from an artifact to what reads it.
#[derive(Clone, Debug)]
pub struct Graph {
    graph: DiGraph<usize, ()>,
    nodes: HashMap<Key, NodeIndex>,
}

impl Graph {
    /// The graph of a plan. Inputs that the plan does not hold are left out.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let mut graph = DiGraph::with_capacity(plan.stages.len(), plan.stages.len() * 3);
        let mut nodes = HashMap::with_capacity(plan.stages.len());
        for (i, stage) in plan.stages.iter().enumerate() {
            nodes.insert(stage.key.clone(), graph.add_node(i));
        }
        for stage in &plan.stages {
            for input in &stage.inputs {
                if let Some(&from) = nodes.get(&input.key) {
                    graph.add_edge(from, nodes[&stage.key], ());
                }
            }
        }
        Self { graph, nodes }
    }

    /// Positions of the stages in an order in which inputs come first; `None` for a cycle, which
    /// content-addressed keys rule out.
    #[must_use]
    pub fn order(&self) -> Option<Vec<usize>> {
        petgraph::algo::toposort(&self.graph, None)
            .ok()
            .map(|nodes| nodes.into_iter().map(|n| self.graph[n]).collect())
    }

    /// Positions of all stages that read `key`, directly or not.
    #[must_use]
    pub fn descendants(&self, key: &Key) -> Vec<usize> {
        self.reach(key, Direction::Outgoing)
    }

    /// Positions of all stages that `key` reads, directly or not.
    #[must_use]
    pub fn ancestors(&self, key: &Key) -> Vec<usize> {
        self.reach(key, Direction::Incoming)
    }

    fn reach(&self, key: &Key, direction: Direction) -> Vec<usize> {
        let Some(&start) = self.nodes.get(key) else {
            return Vec::new();
        };
        let mut seen = vec![false; self.graph.node_count()];
        let mut stack = vec![start];
        let mut found = Vec::new();
        while let Some(node) = stack.pop() {
            for next in self.graph.neighbors_directed(node, direction) {
                if !std::mem::replace(&mut seen[next.index()], true) {
                    found.push(self.graph[next]);
                    stack.push(next);
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// The graph collapsed by kind, in Graphviz's language.
    #[must_use]
    pub fn dot(&self, plan: &Plan) -> String {
        let mut counts: BTreeMap<StageKind, usize> = BTreeMap::new();
        let mut edges: BTreeMap<(StageKind, StageKind), usize> = BTreeMap::new();
        for stage in &plan.stages {
            *counts.entry(stage.kind).or_default() += 1;
        }
        for edge in self.graph.raw_edges() {
            let kind = |n: NodeIndex| plan.stages[self.graph[n]].kind;
            *edges
                .entry((kind(edge.source()), kind(edge.target())))
                .or_default() += 1;
        }
        let mut out = String::from("digraph plan {\n  rankdir=LR;\n  node [shape=box];\n");
        for (kind, n) in &counts {
            let _ = writeln!(out, "  {kind} [label=\"{kind}\\n{n}\"];");
        }
        for ((from, to), n) in &edges {
            let _ = writeln!(out, "  {from} -> {to} [label=\"{n}\"];");
        }
        out.push_str("}\n");
        out
    }
}
