//! BraTS 2018 phantoms: four MR contrasts of one head with nested lesions
//! (`metrics-and-data.md` section 6.1).

use rayon::prelude::*;

use crate::random::{Purpose, Stream, hash, mix};

use super::brain::{Brain, Tissue, UNIT_MM};
use super::glioma::{Gliomas, Pathology};
use super::grid::Grid;
use super::noise::{Lattice, smoothstep, voxel_noise};

/// Voxels of the data set, x, y, z; 1 mm each.
const SHAPE: [usize; 3] = [240, 240, 155];

/// Suffixes on disk, in the order of [`CONTRASTS`].
pub(super) const SUFFIXES: [&str; 4] = ["flair", "t1", "t1ce", "t2"];

/// Signal of each tissue in one contrast; white matter of T1 is about 1.
struct Contrast {
    csf: f32,
    grey: f32,
    white: f32,
    oedema: f32,
    necrosis: f32,
    enhancing: f32,
    vessel: f32,
}

const CONTRASTS: [Contrast; 4] = [
    // FLAIR: fluid is dark, oedema is the brightest.
    Contrast {
        csf: 0.22,
        grey: 0.80,
        white: 0.66,
        oedema: 1.22,
        necrosis: 0.80,
        enhancing: 1.02,
        vessel: 0.70,
    },
    // T1: everything of the lesion is a little darker than white matter, close to grey matter.
    Contrast {
        csf: 0.32,
        grey: 0.70,
        white: 0.95,
        oedema: 0.78,
        necrosis: 0.58,
        enhancing: 0.76,
        vessel: 0.80,
    },
    // T1 with contrast agent: the ring is bright, and so are vessels.
    Contrast {
        csf: 0.32,
        grey: 0.71,
        white: 0.93,
        oedema: 0.78,
        necrosis: 0.48,
        enhancing: 1.50,
        vessel: 1.45,
    },
    // T2: oedema is bright, and so is fluid.
    Contrast {
        csf: 1.40,
        grey: 0.74,
        white: 0.54,
        oedema: 1.08,
        necrosis: 1.20,
        enhancing: 0.86,
        vessel: 0.45,
    },
];

/// One synthetic patient.
pub(super) struct BratsCase {
    pub(super) grid: Grid,
    /// Signal by contrast, whole numbers of at least 1 in the brain and 0 outside.
    pub(super) images: [Vec<f32>; 4],
    pub(super) labels: Vec<u8>,
    pub(super) lesions: usize,
}

/// Grid at `scale`.
pub(super) fn grid(scale: f64) -> Grid {
    let shape = SHAPE.map(|n| Grid::scaled(n, scale));
    // RAS+: x and y run against the world's axes, the first voxel at y = n - 1 mm.
    Grid {
        shape,
        affine: [
            [-1.0, 0.0, 0.0, 0.0],
            [0.0, -1.0, 0.0, shape[1] as f64 - 1.0],
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ],
    }
}

/// Whether patient `case` is of low grade: 75 of 285, evenly spread.
pub(super) fn is_low_grade(case: u64) -> bool {
    (case + 1) * 75 / 285 > case * 75 / 285
}

/// One contrast's receiver: gain, bias field and noise.
struct Receiver {
    gain: f32,
    bias: [f32; 6],
    noise: f32,
    noise_key: u64,
    /// Multiplies what the lesion adds to or takes from the signal.
    lesion: f32,
}

impl Receiver {
    fn draw(seed: u64, case: u64, contrast: usize) -> Self {
        let mut stream = Stream::new(Purpose::Phantom, &[seed, case, 20, contrast as u64]);
        Self {
            gain: (400.0 * (0.35 * stream.normal()).clamp(-0.8, 0.8).exp()) as f32,
            bias: [(); 6].map(|()| stream.range(-0.13, 0.13) as f32),
            noise: stream.range(0.03, 0.06) as f32,
            noise_key: hash(&[Purpose::Phantom as u64, seed, case, 21, contrast as u64]),
            lesion: stream.range(0.75, 1.1) as f32,
        }
    }

    /// Multiplicative field, smooth, about 1.
    fn bias(&self, p: [f32; 3]) -> f32 {
        let b = &self.bias;
        let linear = b[0] * p[0] + b[1] * p[1] + b[2] * p[2];
        let square = b[3] * p[0] * p[1] + b[4] * p[1] * p[2] + b[5] * (p[2] * p[2] - p[0] * p[0]);
        1.0 + linear + square
    }
}

/// Texture shared by the contrasts of one patient.
struct Textures {
    tissue: Lattice,
    vessels: [Lattice; 2],
    frequency: f32,
}

/// Makes patient `case`.
pub(super) fn generate(seed: u64, case: u64, scale: f64) -> BratsCase {
    let grid = grid(scale);
    let unit = UNIT_MM * scale;
    let voxel = (1.0 / unit) as f32;
    let brain = Brain::draw(seed, case, voxel);
    let gliomas = Gliomas::draw(seed, case, is_low_grade(case), &brain, voxel);
    let receivers: [Receiver; 4] = std::array::from_fn(|i| Receiver::draw(seed, case, i));
    let textures = Textures {
        tissue: Lattice::new(&[seed, case, 22]),
        vessels: [23, 24].map(|tag| Lattice::new(&[seed, case, tag])),
        frequency: 14.0_f32.min(0.3 / voxel),
    };
    let [nx, ny, nz] = grid.shape;
    let middle = grid.shape.map(|n| (n as f64 - 1.0) / 2.0);
    let mut labels = vec![0u8; nx * ny * nz];
    let slices: Vec<[Vec<f32>; 4]> = labels
        .par_chunks_mut(nx * ny)
        .enumerate()
        .map(|(k, labels)| {
            let mut slice: [Vec<f32>; 4] = std::array::from_fn(|_| vec![0.0; nx * ny]);
            for j in 0..ny {
                for i in 0..nx {
                    let at = [i, j, k];
                    let p = std::array::from_fn(|a| ((at[a] as f64 - middle[a]) / unit) as f32);
                    let Some(tissue) = brain.tissue(p) else {
                        continue;
                    };
                    let pathology = gliomas.at(p, &tissue);
                    let inside = j * nx + i;
                    labels[inside] = pathology.label;
                    let signals = textures.signals(p, &tissue, &pathology, &receivers);
                    for ((image, receiver), signal) in slice.iter_mut().zip(&receivers).zip(signals)
                    {
                        image[inside] = receiver.measure(signal, p, k * nx * ny + inside);
                    }
                }
            }
            slice
        })
        .collect();
    let mut images: [Vec<f32>; 4] = std::array::from_fn(|_| Vec::with_capacity(nx * ny * nz));
    for slice in slices {
        for (image, part) in images.iter_mut().zip(slice) {
            image.extend(part);
        }
    }
    BratsCase {
        grid,
        images,
        labels,
        lesions: gliomas.count(),
    }
}

impl Receiver {
    /// What the scanner stores: Rician noise on the signal, a whole number of at least 1.
    fn measure(&self, signal: f32, p: [f32; 3], voxel: usize) -> f32 {
        let real = signal + self.noise * voxel_noise(self.noise_key, voxel);
        let imaginary = self.noise * voxel_noise(mix(self.noise_key), voxel);
        let magnitude = (real * real + imaginary * imaginary).sqrt();
        (self.gain * self.bias(p) * magnitude)
            .round()
            .clamp(1.0, 32_000.0)
    }
}

impl Textures {
    /// Signal of the four contrasts at `p`, without noise and bias.
    fn signals(
        &self,
        p: [f32; 3],
        tissue: &Tissue,
        pathology: &Pathology,
        receivers: &[Receiver; 4],
    ) -> [f32; 4] {
        let texture = self.tissue.rough(p.map(|v| v * self.frequency));
        // Vessels run where two noise fields are both near 0, close to the surface.
        let at = p.map(|v| 4.5 * v + 8.0);
        let (a, b) = (self.vessels[0].at(at), self.vessels[1].at(at));
        let near = 1.0 - smoothstep(0.10, 0.35, tissue.depth);
        let vessel = smoothstep(0.16, 0.06, (a * a + b * b).sqrt()) * near;
        // White-matter hyperintensities: bright spots that are no lesion.
        let spots = smoothstep(0.42, 0.55, a * 0.6 - b * 0.6) * tissue.white * 0.5;
        let share = pathology.oedema + pathology.necrosis + pathology.enhancing;
        std::array::from_fn(|i| {
            let c = &CONTRASTS[i];
            let mut healthy = tissue.csf * c.csf + tissue.grey * c.grey + tissue.white * c.white;
            healthy += vessel * (c.vessel - healthy);
            healthy += spots * 0.6 * (c.oedema - healthy);
            let sick = pathology.oedema * c.oedema
                + pathology.necrosis * c.necrosis
                + pathology.enhancing * c.enhancing;
            let change = (sick - share * healthy) * pathology.contrast * receivers[i].lesion;
            // Lesions are less even than healthy tissue.
            (healthy + change * (1.0 + 0.35 * texture)) * (1.0 + 0.05 * texture)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_scale_is_the_grid_of_the_data_set() {
        let grid = grid(1.0);
        assert_eq!(grid.shape, [240, 240, 155]);
        assert_eq!(grid.affine[0], [-1.0, 0.0, 0.0, 0.0]);
        assert_eq!(grid.affine[1], [0.0, -1.0, 0.0, 239.0]);
        assert_eq!(grid.affine[2], [0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn grades_are_in_the_proportion_of_the_data_set() {
        assert_eq!((0..285).filter(|&case| is_low_grade(case)).count(), 75);
        assert_eq!((0..20).filter(|&case| is_low_grade(case)).count(), 5);
    }

    #[test]
    fn labels_are_nested_in_the_brain() {
        for case in 0..4 {
            let phantom = generate(1, case, 0.2);
            for (at, &label) in phantom.labels.iter().enumerate() {
                assert!([0, 1, 2, 4].contains(&label));
                let inside = phantom.images[0][at] > 0.0;
                assert!(inside || label == 0, "a lesion outside of the brain");
            }
        }
    }
}
