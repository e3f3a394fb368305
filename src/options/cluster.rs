//! Options of the patch clustering (`methods/masked.md` sections 2.3 and 2.11, Table VIII).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the patches of one image become two categories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClusterMethod {
    /// Lloyd's k-means with k = 2 (the paper).
    #[default]
    Kmeans,
    /// Agglomerative, Ward linkage, cut at two.
    Hierarchical,
    /// 2-means in a t-SNE embedding.
    Tsne,
    /// DBSCAN; the largest cluster is background, all else foreground.
    Dbscan,
}

/// Initial centres of k-means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KmeansInit {
    /// Two random patches, redrawn until they differ.
    #[default]
    #[serde(rename = "random_distinct")]
    RandomDistinct,
    /// k-means++.
    #[serde(rename = "kmeans++")]
    PlusPlus,
}

/// Which of the two clusters is the foreground.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Foreground {
    /// The smaller one (the paper).
    #[default]
    Smaller,
    /// The larger one, for lesions that fill the image.
    Larger,
}

/// Clustering of the patches of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterOptions {
    /// Algorithm.
    pub method: ClusterMethod,
    /// Initial centres (k-means, and the 2-means of t-SNE).
    pub init: KmeansInit,
    /// Restarts of k-means; the best inertia wins.
    pub n_init: usize,
    /// Which cluster is the foreground.
    pub foreground: Foreground,
    /// t-SNE: upper bound of the perplexity (`min(perplexity, (N-1)/3)`).
    pub perplexity: f64,
    /// t-SNE: iterations of gradient descent.
    pub iterations: usize,
    /// DBSCAN: neighbours that make a core patch.
    pub min_points: usize,
    /// DBSCAN: quantile of the `min_points`-th neighbour distances that gives eps.
    pub eps_quantile: f64,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            method: ClusterMethod::default(),
            init: KmeansInit::default(),
            n_init: 1,
            foreground: Foreground::default(),
            perplexity: 20.0,
            iterations: 500,
            min_points: 4,
            eps_quantile: 0.90,
        }
    }
}

impl ClusterOptions {
    /// The same clustering with options that the method does not read at their defaults.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let d = Self::default();
        let mut o = self.clone();
        if o.method != ClusterMethod::Tsne {
            o.perplexity = d.perplexity;
            o.iterations = d.iterations;
        }
        if o.method != ClusterMethod::Dbscan {
            o.min_points = d.min_points;
            o.eps_quantile = d.eps_quantile;
        }
        if o.method == ClusterMethod::Hierarchical {
            o.init = d.init;
            o.n_init = d.n_init;
        }
        o
    }
}
