//! The networks that there are.

/// One network.
#[derive(Clone, Copy, Debug)]
pub struct BackboneEntry {
    /// Name in manifests.
    pub name: &'static str,
    /// One line.
    pub doc: &'static str,
    /// Where it comes from.
    pub reference: &'static str,
}

/// Every network.
pub const REGISTRY: &[BackboneEntry] = &[BackboneEntry {
    name: "unet",
    doc: "2D U-Net; width 64 and depth 4 are the paper's 31,036,481 parameters",
    reference: "Ronneberger et al., MICCAI 2015, arXiv 1505.04597",
}];
