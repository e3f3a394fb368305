//! What was found of a claim.

use serde::{Deserialize, Serialize};

use crate::metric::Direction;
use crate::options::{ClaimKind, ClaimOver};

/// One side of a comparison: a place in the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Side {
    /// Row.
    pub row: String,
    /// Data set as tables show it; synthetic data carry the word phantom.
    pub dataset: String,
    /// Modality.
    pub modality: String,
    /// Percent of labelled training cases.
    pub label: u32,
    /// One region; `None` is the mean of all.
    pub region: Option<String>,
}

/// Two places of which the claim says that the first is better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Claimed to be better.
    pub better: Side,
    /// Claimed to be worse.
    pub worse: Side,
}

/// What the scores say of one comparison. Differences are oriented: positive is in favour of the
/// row that is claimed to be better, whatever the direction of the metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Mean of the row that is claimed to be better, in the metric's unit.
    pub better: f64,
    /// Mean of the other.
    pub worse: f64,
    /// Mean paired difference.
    pub effect: f64,
    /// 95 % interval of it, over seeds and cases.
    pub interval: [f64; 2],
    /// Wilcoxon signed-rank test of the differences of cases against the margin, two-sided.
    pub p: f64,
    /// The same after Holm's correction for the comparisons of the claim.
    pub p_holm: f64,
    /// Seeds that both sides have.
    pub seeds: Vec<u64>,
    /// Cases that both sides have in all of these seeds.
    pub cases: usize,
    /// Cases left out because a score is undefined in one of them.
    pub undefined: usize,
}

/// One comparison of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The places that enter: one pair, or those whose mean is taken.
    pub pairs: Vec<Pair>,
    /// What the scores say; `None` where they are missing.
    pub evidence: Option<Evidence>,
    /// How it came out.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What the published numbers say.
    pub published: Option<PublishedPair>,
}

/// The published numbers of a comparison, means where it takes means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishedPair {
    /// Of the row that is claimed to be better.
    pub better: f64,
    /// Of the other.
    pub worse: f64,
    /// Difference, positive in favour.
    pub effect: f64,
    /// Whether it is larger than the margin.
    pub holds: bool,
}

/// What the published numbers themselves say of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Comparisons whose numbers are published.
    pub compared: usize,
    /// Of these, where the claim holds.
    pub held: usize,
}

impl Published {
    /// Whether the claim holds for the published numbers; `None` where none are.
    #[must_use]
    pub fn holds(self) -> Option<bool> {
        (self.compared > 0).then_some(self.held == self.compared)
    }
}

/// How a comparison or a claim came out. A claim is supported if each of its comparisons is, and
/// contradicted if any is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// The difference is larger than the least that is claimed.
    Supported,
    /// The difference is smaller than the least that is claimed.
    Contradicted,
    /// The results do not tell.
    Undecided {
        /// Seeds to add until they are expected to tell, where that can be said.
        more_seeds: Option<u32>,
        /// Why they do not.
        reason: String,
    },
    /// Results are missing.
    Missing {
        /// Which, and why.
        reason: String,
    },
}

impl Verdict {
    /// The verdict in one word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Contradicted => "contradicted",
            Self::Undecided { .. } => "undecided",
            Self::Missing { .. } => "missing",
        }
    }

    /// Why the results do not tell, where they do not.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Supported | Self::Contradicted => None,
            Self::Undecided { reason, .. } | Self::Missing { reason } => Some(reason),
        }
    }

    /// Seeds to add until the results are expected to tell, where that can be said.
    #[must_use]
    pub fn more_seeds(&self) -> Option<u32> {
        match self {
            Self::Undecided { more_seeds, .. } => *more_seeds,
            _ => None,
        }
    }
}

/// A claim and what was found of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Experiment.
    pub experiment: String,
    /// Profile.
    pub profile: String,
    /// Number or name of the table.
    pub table: String,
    /// The sentence.
    pub text: String,
    /// What it says of its rows.
    pub kind: ClaimKind,
    /// Its rows from best to worst; where one is best or worst, the others as they come.
    pub rows: Vec<String>,
    /// Metric.
    pub metric: String,
    /// Which end of it is good.
    #[serde(with = "arrow")]
    pub direction: Direction,
    /// Least difference, in the metric's unit: 0, the margin, or minus what a row may be worse.
    pub least: f64,
    /// How its columns enter.
    pub over: ClaimOver,
    /// Whether any result is of synthetic images: then it says nothing about the paper.
    pub phantom: bool,
    /// How it came out.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What it rests on.
    pub comparisons: Vec<Comparison>,
    /// What the published numbers themselves say.
    pub published: Published,
}

impl Pair {
    /// Where the comparison takes place, as far as both sides agree: `hecktor/CT, 5 %`, and what
    /// they differ in: `10 % against 50 %`.
    #[must_use]
    pub fn place(&self) -> String {
        let both = |a: String, b: String| {
            if a == b {
                a
            } else {
                format!("{a} against {b}")
            }
        };
        let label = |s: &Side| format!("{} %", s.label);
        let mut place = both(self.better.column(), self.worse.column());
        if let Some(region) = &self.better.region {
            place.push_str(&format!(" {region}"));
        }
        place.push_str(&format!(
            ", {}",
            both(label(&self.better), label(&self.worse))
        ));
        place
    }
}

impl Judgement {
    /// What the claim says of its rows: `AMLP > BASE on DSC`.
    #[must_use]
    pub fn says(&self) -> String {
        let rows = match (self.kind, self.rows.as_slice()) {
            (ClaimKind::Best, [row]) => {
                let column = self.comparisons.first().and_then(|c| c.pairs.first());
                let column = column.map_or_else(String::new, |p| p.better.column());
                format!("{row} in {column} > in each other column")
            }
            (ClaimKind::Best, [best, others @ ..]) => {
                format!("{best} > each of {}", others.join(", "))
            }
            (ClaimKind::Worst, [others @ .., worst]) => {
                format!("each of {} > {worst}", others.join(", "))
            }
            (ClaimKind::Within, rows) => {
                rows.join(&format!(" no more than {} worse than ", -self.least))
            }
            (_, rows) => rows.join(" > "),
        };
        let by = if self.least > 0.0 {
            format!(", by more than {}", self.least)
        } else {
            String::new()
        };
        let over = match (self.over, self.comparisons.len()) {
            (ClaimOver::Mean, _) => ", on average".to_owned(),
            (ClaimOver::Every, 1) => String::new(),
            (ClaimOver::Every, n) => format!(", in each of {n} comparisons"),
        };
        format!("{rows} on {}{by}{over}", self.metric)
    }
}

impl Published {
    /// In words.
    #[must_use]
    pub fn in_words(self) -> String {
        match (self.compared, self.held) {
            (0, _) => "no published numbers to compare".to_owned(),
            (1, 1) => "the published numbers agree".to_owned(),
            (1, _) => "the published numbers do not agree".to_owned(),
            (n, held) => format!("holds for the published numbers in {held} of {n}"),
        }
    }
}

impl Side {
    /// `hecktor/CT`.
    #[must_use]
    pub fn column(&self) -> String {
        format!("{}/{}", self.dataset, self.modality)
    }
}

impl Comparison {
    /// Row that is claimed to be better.
    #[must_use]
    pub fn better(&self) -> &str {
        self.pairs.first().map_or("", |p| &p.better.row)
    }

    /// The other row.
    #[must_use]
    pub fn worse(&self) -> &str {
        self.pairs.first().map_or("", |p| &p.worse.row)
    }

    /// Where it takes place: a column with its label ratio, or `mean of 12 columns`.
    #[must_use]
    pub fn place(&self) -> String {
        match self.pairs.as_slice() {
            [one] => one.place(),
            more => format!("mean of {} columns", more.len()),
        }
    }
}

/// A direction as `up` or `down`.
mod arrow {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::metric::Direction;

    // serde's `with` hands over references.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(super) fn serialize<S: Serializer>(of: &Direction, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match of {
            Direction::Up => "up",
            Direction::Down => "down",
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Direction, D::Error> {
        match String::deserialize(from)?.as_str() {
            "up" => Ok(Direction::Up),
            "down" => Ok(Direction::Down),
            other => Err(D::Error::custom(format!(
                "'{other}' is neither up nor down"
            ))),
        }
    }
}
