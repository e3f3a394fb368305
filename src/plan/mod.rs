//! Stages, their keys, and the graph: what would run, what is cached, and why.

mod build;
mod explain;
mod forecast;
mod graph;
mod key;
mod memo;
mod spec;
mod stage;

pub use build::{Compiled, DataFact, compile};
pub use explain::{Change, Difference, History, changes, nearest};
pub use forecast::{Basis, Cost, Costs, Forecast, KindForecast, Past};
pub use graph::Graph;
pub use key::{DeviceClass, Key, KeyError, canonical_json};
pub use spec::{
    ChoiceSpec, ClusterSpec, EvaluateSpec, FinetuneSpec, IndexSpec, InitSpec, MeasureSpec,
    PhantomSpec, PrepareSpec, PretrainSpec, SelectCandidate, SelectSpec, SliceSpec, SplitSpec,
    TableCell, TableColumn, TableData, TableRow, TableSearch, TabulateSpec, TokenizeSpec,
};
pub use stage::{Input, Plan, Stage, StageKind};
