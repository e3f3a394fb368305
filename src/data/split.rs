//! Patient-level folds and nested label subsets (`metrics-and-data.md` section 10).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use crate::options::SplitOptions;
use crate::random::{Purpose, Stream};

/// Part of a data set that a patient belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fold {
    /// Pre-training without labels, fine-tuning with the labelled subset.
    Train,
    /// Choice of the epoch, where asked for.
    Val,
    /// Scores.
    Test,
}

/// One patient of a split: a line of `split.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRow {
    /// Case.
    pub case: String,
    /// Stratum; empty where there is none.
    pub stratum: String,
    /// Fold.
    pub fold: Fold,
    /// Place in the order in which training cases get labels, from 0; `None` outside of training.
    pub label_rank: Option<usize>,
}

/// Which patients train, validate and test, and in which order the training ones get labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    rows: Vec<SplitRow>,
}

/// A split that cannot be drawn or read.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Percentages that are no partition.
    #[error("split: train {train} + val {val} + test {test} must be 100 percent")]
    Percent {
        /// Percent of training.
        train: u32,
        /// Percent of validation.
        val: u32,
        /// Percent of testing.
        test: u32,
    },
    /// A case that occurs twice.
    #[error("split: case '{0}' occurs twice")]
    Duplicate(String),
    /// Too few cases.
    #[error("split: {cases} cases leave no case for {fold:?}, which should get {percent} percent")]
    EmptyFold {
        /// Fold that stays empty.
        fold: Fold,
        /// Its percent.
        percent: u32,
        /// Number of cases.
        cases: usize,
    },
    /// A table that is not a split.
    #[error("split.csv: {0}")]
    Table(String),
    /// A table that cannot be read or written.
    #[error("split.csv: {0}")]
    Csv(#[from] csv::Error),
}

impl Split {
    /// Draws folds by `options.seed` and the label order by `label_seed`.
    ///
    /// `cases` are `(case, stratum)` in any order. Each stratum is shuffled by itself and divided
    /// by largest remainders in integer arithmetic, ties to the earlier fold, so that a stratum's
    /// folds do not depend on the other strata.
    ///
    /// # Errors
    /// Where the percentages are no partition, a case occurs twice, or training or testing stays
    /// empty.
    pub fn draw<'a>(
        cases: impl IntoIterator<Item = (&'a str, &'a str)>,
        options: &SplitOptions,
        label_seed: u64,
    ) -> Result<Self, SplitError> {
        let percents = percents(options)?;
        let strata = strata_of(cases, options.max_cases)?;
        let mut rows = Vec::new();
        for (stratum, mut members) in strata {
            Stream::new(Purpose::Split, &[options.seed, name_key(stratum)]).shuffle(&mut members);
            let sizes = largest_remainders(members.len(), percents);
            let folds = [Fold::Train, Fold::Val, Fold::Test]
                .into_iter()
                .zip(sizes)
                .flat_map(|(fold, size)| std::iter::repeat_n(fold, size));
            rows.extend(members.into_iter().zip(folds).map(|(case, fold)| SplitRow {
                case: case.to_owned(),
                stratum: stratum.to_owned(),
                fold,
                label_rank: None,
            }));
        }
        rows.sort_by(|a, b| a.case.cmp(&b.case));
        for (fold, percent) in [(Fold::Train, options.train), (Fold::Test, options.test)] {
            if percent > 0 && !rows.iter().any(|row| row.fold == fold) {
                return Err(SplitError::EmptyFold {
                    fold,
                    percent,
                    cases: rows.len(),
                });
            }
        }
        let mut split = Self { rows };
        split.rank_labels(label_seed);
        Ok(split)
    }

    /// One permutation of the training cases per seed: each stratum is shuffled by itself, then the
    /// strata are interleaved so that every prefix holds them in proportion.
    fn rank_labels(&mut self, seed: u64) {
        let mut strata: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, row) in self.rows.iter().enumerate() {
            if row.fold == Fold::Train {
                strata.entry(row.stratum.clone()).or_default().push(at);
            }
        }
        // Member `j` of `n` stands at (2j + 1) / 2n of the order. Its numerator and denominator,
        // then the stratum's place in name order.
        let mut order = Vec::new();
        for (place, (stratum, mut members)) in strata.into_iter().enumerate() {
            let keys = [LABEL_ORDER, seed, name_key(&stratum)];
            Stream::new(Purpose::Split, &keys).shuffle(&mut members);
            let n = members.len() as u128;
            for (j, at) in members.into_iter().enumerate() {
                order.push((2 * j as u128 + 1, n, place, at));
            }
        }
        order.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.2.cmp(&b.2)));
        for (rank, (_, _, _, at)) in order.into_iter().enumerate() {
            if let Some(row) = self.rows.get_mut(at) {
                row.label_rank = Some(rank);
            }
        }
    }

    /// Every patient, in name order.
    #[must_use]
    pub fn rows(&self) -> &[SplitRow] {
        &self.rows
    }

    /// Cases of `fold`, in name order.
    #[must_use]
    pub fn cases(&self, fold: Fold) -> Vec<&str> {
        let of_fold = self.rows.iter().filter(|row| row.fold == fold);
        of_fold.map(|row| row.case.as_str()).collect()
    }

    /// Number of patients in `[train, val, test]`.
    #[must_use]
    pub fn sizes(&self) -> [usize; 3] {
        [Fold::Train, Fold::Val, Fold::Test].map(|fold| self.cases(fold).len())
    }

    /// Number of labelled cases among `train` training cases: `max(1, round(percent / 100 * N))`,
    /// halves away from zero; never more than there are.
    #[must_use]
    pub fn labelled_count(train: usize, percent: f64) -> usize {
        // The product is exact for whole percents, so that a half is seen as a half.
        let share = (percent.max(0.0) * train as f64 / 100.0).round();
        (share as usize).max(1).min(train)
    }

    /// Training cases that have labels at `percent`, in label order. Nested: those of a smaller
    /// percentage are a prefix.
    #[must_use]
    pub fn labelled(&self, percent: f64) -> Vec<&str> {
        let mut ranked: Vec<(usize, &str)> = self
            .rows
            .iter()
            .filter_map(|row| Some((row.label_rank?, row.case.as_str())))
            .collect();
        ranked.sort_unstable();
        let count = Self::labelled_count(ranked.len(), percent);
        ranked
            .into_iter()
            .take(count)
            .map(|(_, case)| case)
            .collect()
    }

    /// Writes `case,stratum,fold,label_rank`.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn write_csv(&self, to: impl Write) -> Result<(), SplitError> {
        let mut writer = csv::Writer::from_writer(to);
        for row in &self.rows {
            writer.serialize(row)?;
        }
        writer.flush().map_err(csv::Error::from)?;
        Ok(())
    }

    /// Reads what [`Self::write_csv`] wrote.
    ///
    /// # Errors
    /// Where a line is not valid, a case occurs twice, or the label ranks of the training cases are
    /// not `0, 1, 2, ...`.
    pub fn read_csv(from: impl Read) -> Result<Self, SplitError> {
        let mut rows: Vec<SplitRow> = csv::Reader::from_reader(from)
            .into_deserialize()
            .collect::<Result<_, _>>()?;
        rows.sort_by(|a, b| a.case.cmp(&b.case));
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].case == pair[1].case) {
            return Err(SplitError::Duplicate(pair[0].case.clone()));
        }
        if let Some(row) = rows
            .iter()
            .find(|row| (row.fold == Fold::Train) != row.label_rank.is_some())
        {
            return Err(SplitError::Table(format!(
                "case '{}': training cases, and only they, have a label rank",
                row.case
            )));
        }
        let ranks: BTreeSet<usize> = rows.iter().filter_map(|row| row.label_rank).collect();
        let train = rows.iter().filter(|row| row.fold == Fold::Train).count();
        if !ranks.into_iter().eq(0..train) {
            return Err(SplitError::Table(
                "the label ranks are not 0, 1, 2, ... once each".to_owned(),
            ));
        }
        Ok(Self { rows })
    }
}

/// Tells the label order's streams from those of the folds.
const LABEL_ORDER: u64 = 0x4C41_4245_4C53;

fn percents(options: &SplitOptions) -> Result<[u32; 3], SplitError> {
    let percents = [options.train, options.val, options.test];
    let sum = percents.iter().map(|&p| u64::from(p)).sum::<u64>();
    if sum == 100 {
        Ok(percents)
    } else {
        Err(SplitError::Percent {
            train: options.train,
            val: options.val,
            test: options.test,
        })
    }
}

/// Cases by stratum, in name order; at most `max_cases` of all, the first in name order.
fn strata_of<'a>(
    cases: impl IntoIterator<Item = (&'a str, &'a str)>,
    max_cases: usize,
) -> Result<BTreeMap<&'a str, Vec<&'a str>>, SplitError> {
    let mut by_name = BTreeMap::new();
    for (case, stratum) in cases {
        if by_name.insert(case, stratum).is_some() {
            return Err(SplitError::Duplicate(case.to_owned()));
        }
    }
    let limit = if max_cases == 0 {
        usize::MAX
    } else {
        max_cases
    };
    let mut strata: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (case, stratum) in by_name.into_iter().take(limit) {
        strata.entry(stratum).or_default().push(case);
    }
    Ok(strata)
}

/// A stratum's name as a coordinate of randomness.
fn name_key(name: &str) -> u64 {
    let digest = blake3::hash(name.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// Sizes of the three folds of `n` cases: floors, then one more to the largest remainders, ties to
/// the earlier fold. `percents` sum to 100.
fn largest_remainders(n: usize, percents: [u32; 3]) -> [usize; 3] {
    let shares = percents.map(|percent| n as u128 * u128::from(percent));
    let mut sizes = shares.map(|share| (share / 100) as usize);
    let mut order = [0, 1, 2];
    // The sort is stable, so that equal remainders stay in fold order.
    order.sort_by_key(|&fold: &usize| std::cmp::Reverse(shares[fold] % 100));
    let left = n - sizes.iter().sum::<usize>();
    for fold in order.into_iter().take(left) {
        sizes[fold] += 1;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cases(strata: &[(&str, usize)]) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for &(stratum, n) in strata {
            all.extend((0..n).map(|i| (format!("{stratum}{i:03}"), stratum.to_owned())));
        }
        all
    }

    fn draw(all: &[(String, String)], seed: u64, label_seed: u64) -> Split {
        let options = SplitOptions {
            seed,
            ..SplitOptions::default()
        };
        let pairs = all.iter().map(|(c, s)| (c.as_str(), s.as_str()));
        Split::draw(pairs, &options, label_seed).unwrap()
    }

    fn sizes_of(split: &Split, stratum: &str) -> [usize; 3] {
        [Fold::Train, Fold::Val, Fold::Test].map(|fold| {
            let rows = split.rows().iter();
            rows.filter(|r| r.stratum == stratum && r.fold == fold)
                .count()
        })
    }

    #[test]
    fn spec_numbers_of_brats() {
        let split = draw(&cases(&[("HGG", 210), ("LGG", 75)]), 0, 1);
        assert_eq!(split.sizes(), [200, 28, 57]);
        assert_eq!(sizes_of(&split, "HGG"), [147, 21, 42]);
        assert_eq!(sizes_of(&split, "LGG"), [53, 7, 15]);
        let counts = [5.0, 10.0, 50.0].map(|p| split.labelled(p).len());
        assert_eq!(counts, [10, 20, 100]);
    }

    #[test]
    fn spec_numbers_of_hecktor() {
        let centres = [("CHGJ", 55), ("CHMR", 18), ("CHUM", 56), ("CHUS", 72)];
        let split = draw(&cases(&centres), 0, 1);
        assert_eq!(split.sizes(), [142, 20, 39]);
        assert_eq!(sizes_of(&split, "CHGJ"), [39, 5, 11]);
        assert_eq!(sizes_of(&split, "CHMR"), [13, 2, 3]);
        assert_eq!(sizes_of(&split, "CHUM"), [39, 6, 11]);
        assert_eq!(sizes_of(&split, "CHUS"), [51, 7, 14]);
        let counts = [5.0, 10.0, 50.0].map(|p| split.labelled(p).len());
        assert_eq!(counts, [7, 14, 71]);
    }

    #[test]
    fn one_label_at_least_and_all_at_most() {
        assert_eq!(Split::labelled_count(3, 5.0), 1);
        assert_eq!(Split::labelled_count(3, 100.0), 3);
        assert_eq!(Split::labelled_count(130, 5.0), 7);
        assert_eq!(Split::labelled_count(0, 5.0), 0);
    }

    #[test]
    fn prefixes_hold_the_strata_in_proportion() {
        let split = draw(&cases(&[("HGG", 210), ("LGG", 75)]), 0, 1);
        // 53 of 200 training cases are LGG: 2.65 of 10, 5.3 of 20, 26.5 of 100.
        for (percent, low, high) in [(5.0, 2, 3), (10.0, 5, 6), (50.0, 26, 27)] {
            let labelled = split.labelled(percent);
            let lgg = labelled
                .iter()
                .filter(|case| case.starts_with("LGG"))
                .count();
            assert!((low..=high).contains(&lgg), "{lgg} of {}", labelled.len());
        }
    }

    #[test]
    fn the_label_seed_redraws_labels_and_keeps_folds() {
        let all = cases(&[("A", 40), ("B", 20)]);
        let (a, b) = (draw(&all, 0, 1), draw(&all, 0, 2));
        assert_eq!(a.cases(Fold::Test), b.cases(Fold::Test));
        assert_ne!(a.labelled(20.0), b.labelled(20.0));
        assert_ne!(a.cases(Fold::Test), draw(&all, 1, 1).cases(Fold::Test));
    }

    #[test]
    fn bad_options_are_refused() {
        let all = cases(&[("A", 2)]);
        let pairs = || all.iter().map(|(c, s)| (c.as_str(), s.as_str()));
        let wrong = SplitOptions {
            test: 30,
            ..SplitOptions::default()
        };
        assert!(matches!(
            Split::draw(pairs(), &wrong, 0),
            Err(SplitError::Percent { .. })
        ));
        let few = Split::draw(pairs(), &SplitOptions::default(), 0);
        assert!(matches!(
            few,
            Err(SplitError::EmptyFold {
                fold: Fold::Test,
                ..
            })
        ));
        let twice = Split::draw(pairs().chain(pairs()), &SplitOptions::default(), 0);
        assert!(matches!(twice, Err(SplitError::Duplicate(_))));
    }

    #[test]
    fn max_cases_takes_the_first_in_name_order() {
        let all = cases(&[("A", 20)]);
        let options = SplitOptions {
            max_cases: 10,
            ..SplitOptions::default()
        };
        let pairs = all.iter().rev().map(|(c, s)| (c.as_str(), s.as_str()));
        let split = Split::draw(pairs, &options, 0).unwrap();
        assert_eq!(split.sizes(), [7, 1, 2]);
        assert!(split.rows().iter().all(|row| row.case.as_str() < "A010"));
    }

    #[test]
    fn bad_tables_are_refused() {
        let read = |text: &str| Split::read_csv(text.as_bytes());
        let head = "case,stratum,fold,label_rank\n";
        assert!(read(&format!("{head}a,,train,0\nb,,test,\n")).is_ok());
        for rows in [
            "a,,train,0\na,,test,\n",
            "a,,train,1\n",
            "a,,train,\n",
            "a,,test,0\n",
            "a,,train,0\nb,,train,0\n",
            "a,,other,0\n",
        ] {
            assert!(read(&format!("{head}{rows}")).is_err(), "{rows}");
        }
    }

    proptest! {
        #[test]
        fn every_case_once_nested_and_round_trip(
            sizes in proptest::collection::vec(5usize..60, 1..5),
            seed: u64,
            label_seed: u64,
        ) {
            let names = ["p", "q", "r", "s"];
            let strata: Vec<_> = names.into_iter().zip(sizes).collect();
            let all = cases(&strata);
            let split = draw(&all, seed, label_seed);
            let mut seen: Vec<&str> = [Fold::Train, Fold::Val, Fold::Test]
                .iter()
                .flat_map(|&fold| split.cases(fold))
                .collect();
            seen.sort_unstable();
            let mut expected: Vec<&str> = all.iter().map(|(case, _)| case.as_str()).collect();
            expected.sort_unstable();
            prop_assert_eq!(seen, expected);
            let train = split.cases(Fold::Train);
            let mut before: Vec<&str> = Vec::new();
            for percent in [1.0, 5.0, 10.0, 50.0, 100.0] {
                let now = split.labelled(percent);
                prop_assert!(now.starts_with(&before));
                prop_assert!(now.iter().all(|case| train.contains(case)));
                before = now;
            }
            prop_assert_eq!(before.len(), train.len());
            let mut bytes = Vec::new();
            split.write_csv(&mut bytes).unwrap();
            prop_assert_eq!(Split::read_csv(bytes.as_slice()).unwrap(), split);
        }

        #[test]
        fn remainders_partition(n in 0usize..5000, train in 0u32..=100, rest in 0u32..=100) {
            let val = (100 - train) * rest / 100;
            let sizes = largest_remainders(n, [train, val, 100 - train - val]);
            prop_assert_eq!(sizes.iter().sum::<usize>(), n);
        }
    }
}
