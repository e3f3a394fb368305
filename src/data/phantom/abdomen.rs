//! Abdominal phantoms: CT with eleven organs in the layout `abd110` (`metrics-and-data.md` section
//! 6.3).

use rayon::prelude::*;

use crate::random::{Purpose, Stream, hash};

use super::grid::Grid;
use super::noise::{Lattice, smoothstep, voxel_noise};

const SHAPE: [usize; 3] = [448, 448, 100];
const SPACING: [f64; 3] = [0.9, 0.9, 3.0];
/// Half axes of the body in mm.
const BODY: [f32; 2] = [165.0, 115.0];
/// Thickness of the fat under the skin in mm.
const FAT: f32 = 18.0;

/// An organ or a part of one: label, density in HU, centre and half axes in mm (to the left, to the
/// back, up). Earlier ones lie over later ones.
const PARTS: [(u8, f32, [f32; 3], [f32; 3]); 12] = [
    (11, 10.0, [-52.0, -52.0, 20.0], [15.0, 15.0, 27.0]),
    (3, 40.0, [0.0, 92.0, 0.0], [9.0, 8.0, 400.0]),
    (2, 60.0, [-36.0, -4.0, 0.0], [20.0, 17.0, 38.0]),
    (7, 95.0, [12.0, -6.0, 18.0], [58.0, 14.0, 16.0]),
    (8, 170.0, [74.0, 52.0, 0.0], [29.0, 25.0, 50.0]),
    (9, 170.0, [-74.0, 52.0, -12.0], [29.0, 25.0, 50.0]),
    (5, 120.0, [106.0, 36.0, 60.0], [34.0, 30.0, 46.0]),
    (10, 40.0, [52.0, -42.0, 62.0], [50.0, 40.0, 44.0]),
    (4, 110.0, [-78.0, -14.0, 58.0], [74.0, 72.0, 66.0]),
    (1, 20.0, [-108.0, -18.0, -60.0], [26.0, 26.0, 64.0]),
    (1, 20.0, [112.0, -4.0, -60.0], [23.0, 23.0, 72.0]),
    (6, 50.0, [6.0, -42.0, -70.0], [76.0, 44.0, 46.0]),
];

/// One synthetic patient.
pub(super) struct AbdomenCase {
    pub(super) grid: Grid,
    /// HU, whole numbers.
    pub(super) ct: Vec<f32>,
    pub(super) labels: Vec<u8>,
    /// Organs that are in the volume.
    pub(super) organs: usize,
}

/// A part of this patient.
struct Part {
    label: u8,
    hu: f32,
    centre: [f32; 3],
    axes: [f32; 3],
    offset: [f32; 3],
}

/// Makes patient `case`.
pub(super) fn generate(seed: u64, case: u64, scale: f64) -> AbdomenCase {
    let mut stream = Stream::new(Purpose::Phantom, &[seed, case, 60]);
    let size = stream.range(0.9, 1.1) as f32;
    let mut around = |value: f32, by: f64| value + stream.range(-by, by) as f32;
    let parts = PARTS.map(|(label, hu, centre, axes)| Part {
        label,
        hu: around(hu, 12.0),
        centre: centre.map(|c| around(c * size, 6.0)),
        axes: axes.map(|a| a * size * around(1.0, 0.12)),
        offset: [(); 3].map(|()| around(8.0, 8.0)),
    });
    let patient = Patient {
        parts,
        body: BODY.map(|b| b * size),
        surface: Lattice::new(&[seed, case, 61]),
        scale: scale as f32,
    };
    let shape = SHAPE.map(|n| Grid::scaled(n, scale));
    let origin = std::array::from_fn(|a| -SPACING[a] * (shape[a] as f64 - 1.0) / 2.0);
    let grid = Grid::lps(shape, SPACING, origin);
    let noise = stream.range(9.0, 16.0) as f32;
    let key = hash(&[Purpose::Phantom as u64, seed, case, 62]);
    let (ct, labels) = patient.scan(shape, noise, key);
    let organs = (1..=11).filter(|label| labels.contains(label)).count();
    AbdomenCase {
        grid,
        ct,
        labels,
        organs,
    }
}

struct Patient {
    parts: [Part; 12],
    body: [f32; 2],
    surface: Lattice,
    scale: f32,
}

impl Patient {
    fn scan(&self, shape: [usize; 3], noise: f32, key: u64) -> (Vec<f32>, Vec<u8>) {
        let [nx, ny, nz] = shape;
        let mut ct = vec![0.0; nx * ny * nz];
        let mut labels = vec![0; nx * ny * nz];
        let slices = ct
            .par_chunks_mut(nx * ny)
            .zip(labels.par_chunks_mut(nx * ny));
        slices.enumerate().for_each(|(k, (ct, labels))| {
            for j in 0..ny {
                for i in 0..nx {
                    let p: [f32; 3] = std::array::from_fn(|a| {
                        let middle = (shape[a] as f32 - 1.0) / 2.0;
                        ([i, j, k][a] as f32 - middle) * SPACING[a] as f32 / self.scale
                    });
                    let at = j * nx + i;
                    let (hu, label) = self.at(p);
                    let noise = noise * voxel_noise(key, k * nx * ny + at);
                    ct[at] = (hu + noise).round().clamp(-1024.0, 3071.0);
                    labels[at] = label;
                }
            }
        });
        (ct, labels)
    }

    /// Density and label at a point, in mm at scale 1 from the middle of the body.
    fn at(&self, p: [f32; 3]) -> (f32, u8) {
        let [x, y, _] = p;
        let rim = 1.0 - (x / self.body[0]).hypot(y / self.body[1]);
        if rim < 0.0 {
            return (-1000.0, 0);
        }
        for part in &self.parts {
            let unit: [f32; 3] = std::array::from_fn(|a| (p[a] - part.centre[a]) / part.axes[a]);
            let far = unit.iter().map(|u| u * u).sum::<f32>().sqrt();
            if far > 1.2 {
                continue;
            }
            let rough = std::array::from_fn(|a| 1.6 * unit[a] + part.offset[a]);
            if 1.0 - far + 0.12 * self.surface.rough(rough) > 0.0 {
                let patch = self.surface.rough(p.map(|v| v / 13.0));
                return (part.hu + 8.0 * patch, part.label);
            }
        }
        let spine = (x / 23.0).hypot((y - 66.0) / 19.0);
        if spine < 1.0 {
            return (260.0 + 160.0 * smoothstep(0.75, 0.95, spine), 0);
        }
        // Muscle, then fat under the skin, and fat between the organs.
        let depth = rim * self.body[1];
        let wall = smoothstep(FAT - 2.0, FAT + 2.0, depth) * (1.0 - smoothstep(30.0, 34.0, depth));
        (-95.0 + 150.0 * wall, 0)
    }
}
