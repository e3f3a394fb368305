//! The metrics by name: what `list`, the schema's names and the arrows in tables come from.

use std::str::FromStr;

/// A segmentation metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Dice similarity coefficient.
    Dsc,
    /// Sensitivity.
    Sensitivity,
    /// Positive predictive value.
    Ppv,
    /// Boundary intersection over union.
    Biou,
    /// 95 % Hausdorff distance.
    Hd95,
    /// Hausdorff distance.
    Hd100,
    /// Average symmetric surface distance.
    Assd,
}

/// Which end of a metric is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Larger is better.
    Up,
    /// Smaller is better.
    Down,
}

impl Direction {
    /// The arrow that tables print.
    #[must_use]
    pub fn arrow(self) -> &'static str {
        match self {
            Self::Up => "↑",
            Self::Down => "↓",
        }
    }

    /// Whether `a` is better than `b`.
    #[must_use]
    pub fn better(self, a: f64, b: f64) -> bool {
        match self {
            Self::Up => a > b,
            Self::Down => a < b,
        }
    }
}

/// A line of the registry.
#[derive(Clone, Copy, Debug)]
pub struct MetricEntry {
    /// Which.
    pub metric: Metric,
    /// Name in manifests, tables and the ledger.
    pub name: &'static str,
    /// What it is, in one line.
    pub doc: &'static str,
    /// Where the paper has it.
    pub reference: &'static str,
    /// Which end is good.
    pub direction: Direction,
    /// Unit; empty for ratios.
    pub unit: &'static str,
}

/// Every metric.
pub const METRICS: &[MetricEntry] = &[
    MetricEntry {
        metric: Metric::Dsc,
        name: "DSC",
        doc: "Dice similarity coefficient: twice the overlap over the sum of both sizes",
        reference: "equation 6",
        direction: Direction::Up,
        unit: "",
    },
    MetricEntry {
        metric: Metric::Sensitivity,
        name: "Sen",
        doc: "sensitivity: share of the reference that was found",
        reference: "equation 7",
        direction: Direction::Up,
        unit: "",
    },
    MetricEntry {
        metric: Metric::Ppv,
        name: "PPV",
        doc: "positive predictive value: share of the prediction that is right",
        reference: "not in the paper",
        direction: Direction::Up,
        unit: "",
    },
    MetricEntry {
        metric: Metric::Biou,
        name: "BIoU",
        doc: "boundary intersection over union, pooled over the axial slices of a volume",
        reference: "equation 8",
        direction: Direction::Up,
        unit: "",
    },
    MetricEntry {
        metric: Metric::Hd95,
        name: "HD95",
        doc: "95 % Hausdorff distance between the surfaces",
        reference: "equation 9",
        direction: Direction::Down,
        unit: "mm",
    },
    MetricEntry {
        metric: Metric::Hd100,
        name: "HD100",
        doc: "Hausdorff distance between the surfaces",
        reference: "not in the paper",
        direction: Direction::Down,
        unit: "mm",
    },
    MetricEntry {
        metric: Metric::Assd,
        name: "ASSD",
        doc: "average symmetric surface distance, both directions together",
        reference: "not in the paper",
        direction: Direction::Down,
        unit: "mm",
    },
];

impl MetricEntry {
    /// The entry with `name`, exactly as written in tables.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        METRICS.iter().find(|e| e.name == name)
    }
}

impl Metric {
    /// Name in manifests, tables and the ledger.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dsc => "DSC",
            Self::Sensitivity => "Sen",
            Self::Ppv => "PPV",
            Self::Biou => "BIoU",
            Self::Hd95 => "HD95",
            Self::Hd100 => "HD100",
            Self::Assd => "ASSD",
        }
    }
}

impl FromStr for Metric {
    type Err = String;

    /// The error is the name that is not a metric.
    fn from_str(name: &str) -> Result<Self, String> {
        MetricEntry::named(name)
            .map(|e| e.metric)
            .ok_or_else(|| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_registry_agree() {
        for entry in METRICS {
            assert_eq!(entry.metric.name(), entry.name);
            assert_eq!(entry.name.parse(), Ok(entry.metric));
            assert!(!entry.doc.is_empty() && !entry.reference.is_empty());
        }
        assert_eq!("dice".parse::<Metric>(), Err("dice".to_owned()));
        assert!(Direction::Down.better(1.0, 2.0));
    }
}
