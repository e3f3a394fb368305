//! What can be wrong with the input of a metric.

/// A mask, a label volume or a set of scores that no metric can be computed from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// The grid has more voxels than the machine can address.
    #[error("grid of {shape:?} voxels is too large")]
    TooLarge {
        /// Voxels along z, y, x.
        shape: [usize; 3],
    },
    /// The spacing is not positive and finite.
    #[error("spacing {spacing:?} mm is not positive and finite")]
    Spacing {
        /// Spacing along z, y, x in mm.
        spacing: [f64; 3],
    },
    /// The data do not fill the grid.
    #[error("{what} has {found} voxels, its grid {expected}")]
    Length {
        /// Which mask or volume.
        what: &'static str,
        /// Voxels given.
        found: usize,
        /// Voxels of the grid.
        expected: usize,
    },
    /// Prediction and reference lie on different grids.
    #[error("prediction has shape {prediction:?}, reference {reference:?}")]
    Shapes {
        /// Shape of the prediction.
        prediction: [usize; 3],
        /// Shape of the reference.
        reference: [usize; 3],
    },
    /// A label value that the data set does not have.
    #[error("{what} holds label {label}, expected one of {expected:?}")]
    Label {
        /// Which volume.
        what: &'static str,
        /// The label found.
        label: u8,
        /// Labels of the data set.
        expected: Vec<u8>,
    },
    /// The options of the metric are out of range.
    #[error("metric option {field} = {value} is out of range")]
    Option {
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// A case lacks a region that the table asks for.
    #[error("scores of case '{case}' have no region '{region}'")]
    Region {
        /// The case.
        case: String,
        /// The region.
        region: String,
    },
}
