//! HECKTOR 2020 phantoms: CT and PET on different grids, a primary tumour that is bright on PET
//! and faint on CT (`metrics-and-data.md` section 6.2).

use rayon::prelude::*;

use crate::random::{Purpose, Stream, hash};

use super::blob::Blob;
use super::glioma::is_empty;
use super::grid::Grid;
use super::neck::{Neck, Tissue, blend};
use super::noise::{Lattice, smoothstep, voxel_noise};

const CT_SHAPE: [usize; 3] = [512, 512, 100];
const CT_SPACING: [f64; 3] = [0.976_562_5, 0.976_562_5, 3.0];
const PET_SHAPE: [usize; 3] = [128, 128, 92];
const PET_SPACING: [f64; 3] = [4.072_83, 4.072_83, 3.27];
/// Edge of the bounding box in mm, at scale 1.
const BOX_MM: f64 = 144.0;

/// Centres and their share of the 201 training cases.
const CENTRES: [(&str, u64); 4] = [("CHGJ", 55), ("CHMR", 18), ("CHUM", 56), ("CHUS", 72)];
const TOTAL: u64 = 201;

/// One synthetic patient.
pub(super) struct HecktorCase {
    pub(super) ct_grid: Grid,
    /// HU, whole numbers.
    pub(super) ct: Vec<f32>,
    pub(super) pet_grid: Grid,
    /// SUV.
    pub(super) pet: Vec<f32>,
    /// On the grid of the CT.
    pub(super) mask: Vec<u8>,
    /// `x1, x2, y1, y2, z1, z2` in mm, LPS.
    pub(super) bbox: [f64; 6],
    pub(super) lesions: usize,
}

/// Name of patient `case`: a centre, in the proportion of the data set, and a number.
pub(super) fn id(case: u64) -> String {
    // The patient's place within a period of the data set, scattered so that a small set holds
    // every centre: 76 has no factor in common with 201.
    let place = (case % TOTAL) * 76 % TOTAL;
    let mut below = 0;
    let mut centre = CENTRES[0].0;
    for (name, count) in CENTRES {
        if place >= below {
            centre = name;
        }
        below += count;
    }
    format!("{centre}{:03}", case + 1)
}

/// The primary tumour: one part or more.
struct Tumour {
    parts: Vec<Blob>,
    suv: f32,
    hu: f32,
    necrosis: f32,
    surface: Lattice,
}

impl Tumour {
    fn draw(seed: u64, case: u64) -> Self {
        let mut stream = Stream::new(Purpose::Phantom, &[seed, case, 40]);
        let count = if is_empty(seed, case) {
            0
        } else {
            [1, 1, 1, 1, 2, 3][stream.below(6)]
        };
        let side = if stream.uniform() < 0.5 { -1.0 } else { 1.0 };
        let mut parts: Vec<Blob> = Vec::new();
        for i in 0..count {
            let (centre, radius) = match parts.first() {
                None => {
                    let centre = [
                        side * stream.range(4.0, 24.0) as f32,
                        stream.range(-28.0, 10.0) as f32,
                        stream.range(-34.0, 6.0) as f32,
                    ];
                    (centre, stream.range(12.0, 25.0) as f32)
                }
                // Further parts lie on the surface of the first.
                Some(first) => {
                    let away = [(); 3].map(|()| stream.normal() as f32);
                    let norm = away.iter().map(|v| v * v).sum::<f32>().sqrt().max(0.1);
                    let reach = first.radius * stream.range(1.0, 1.5) as f32 / norm;
                    let centre = std::array::from_fn(|a| first.centre[a] + reach * away[a]);
                    (centre, stream.range(7.0, 12.0) as f32)
                }
            };
            let roughness = if i == 0 { 0.35 } else { 0.2 };
            parts.push(Blob::draw(&mut stream, centre, radius, 0.25, roughness));
        }
        Self {
            parts,
            suv: stream.range(5.0, 15.0) as f32,
            hu: stream.range(60.0, 78.0) as f32,
            necrosis: stream.range(-0.2, 0.8) as f32,
            surface: Lattice::new(&[seed, case, 41]),
        }
    }

    /// The highest level of any part: positive inside the tumour.
    fn level(&self, p: [f32; 3]) -> f32 {
        self.parts
            .iter()
            .map(|part| part.level(p, &self.surface))
            .fold(f32::NEG_INFINITY, f32::max)
    }

    /// The tissue with tumour in it, and whether the point belongs to the tumour.
    fn put(&self, p: [f32; 3], tissue: Tissue) -> (Tissue, bool) {
        let level = self.level(p);
        // The tumour does not grow into bone.
        let soft = 1.0 - smoothstep(200.0, 320.0, tissue.hu);
        let share = soft * smoothstep(-0.08, 0.08, level);
        if share <= 0.0 {
            return (tissue, false);
        }
        let patch = self.surface.rough(p.map(|v| v / 11.0));
        // The middle of a large tumour takes up less.
        let dead = self.necrosis.max(0.0) * smoothstep(0.3, 0.8, level);
        let tumour = Tissue {
            hu: self.hu - 18.0 * dead + 9.0 * patch,
            suv: self.suv * (1.0 + 0.3 * patch) * (1.0 - 0.6 * dead),
        };
        (blend(tissue, tumour, share), share > 0.5)
    }
}

/// Makes patient `case`.
pub(super) fn generate(seed: u64, case: u64, scale: f64) -> HecktorCase {
    let mut stream = Stream::new(Purpose::Phantom, &[seed, case, 42]);
    // The throat's place in the scanner's world, in mm.
    let throat = [
        stream.range(-12.0, 12.0) * scale,
        stream.range(-180.0, -120.0) * scale,
        stream.range(-600.0, -400.0),
    ];
    let patient = Patient {
        neck: Neck::draw(seed, case),
        tumour: Tumour::draw(seed, case),
        throat,
        scale,
    };
    let ct_grid = grid(CT_SHAPE, CT_SPACING, scale, throat, [0.0; 3]);
    // The two scans share the world, but not the first voxel.
    let shift = [(); 3].map(|()| stream.range(-2.0, 2.0));
    let pet_grid = grid(PET_SHAPE, PET_SPACING, scale, throat, shift);
    let key = |tag| hash(&[Purpose::Phantom as u64, seed, case, tag]);
    let (ct, mask) = patient.scan_ct(&ct_grid, stream.range(11.0, 20.0) as f32, key(43));
    let pet = patient.scan_pet(&pet_grid, stream.range(0.04, 0.08) as f32, key(44));
    let half = (BOX_MM * scale).round().max(8.0) / 2.0;
    let mut bbox = [0.0; 6];
    for axis in 0..3 {
        // The organisers place the box below the brain; tables hold whole and half millimetres.
        let below_brain = if axis == 2 { -28.0 } else { 0.0 };
        let shift = (below_brain + stream.range(-5.0, 5.0)) * scale;
        let low = ((throat[axis] + shift - half) * 2.0).round() / 2.0;
        bbox[2 * axis] = low;
        bbox[2 * axis + 1] = low + 2.0 * half;
    }
    HecktorCase {
        ct_grid,
        ct,
        pet_grid,
        pet,
        mask,
        bbox,
        lesions: patient.tumour.parts.len(),
    }
}

/// A grid whose middle is the throat, but for `shift` in mm.
fn grid(
    shape: [usize; 3],
    spacing: [f64; 3],
    scale: f64,
    throat: [f64; 3],
    shift: [f64; 3],
) -> Grid {
    let shape = shape.map(|n| Grid::scaled(n, scale));
    let origin =
        std::array::from_fn(|a| throat[a] + shift[a] - spacing[a] * (shape[a] as f64 - 1.0) / 2.0);
    Grid::lps(shape, spacing, origin)
}

struct Patient {
    neck: Neck,
    tumour: Tumour,
    throat: [f64; 3],
    scale: f64,
}

impl Patient {
    /// Anatomical coordinates (mm at scale 1) of a voxel index, which need not be whole.
    fn anatomy(&self, grid: &Grid, voxel: [f64; 3]) -> [f32; 3] {
        let sign = [-1.0, -1.0, 1.0];
        std::array::from_fn(|a| {
            let ras = grid.affine[a][a] * voxel[a] + grid.affine[a][3];
            ((sign[a] * ras - self.throat[a]) / self.scale) as f32
        })
    }

    /// The CT in HU and the mask on its grid.
    fn scan_ct(&self, grid: &Grid, noise: f32, key: u64) -> (Vec<f32>, Vec<u8>) {
        let [nx, ny, nz] = grid.shape;
        let mut ct = vec![0.0; nx * ny * nz];
        let mut mask = vec![0; nx * ny * nz];
        let slices = ct.par_chunks_mut(nx * ny).zip(mask.par_chunks_mut(nx * ny));
        slices.enumerate().for_each(|(k, (ct, mask))| {
            for j in 0..ny {
                for i in 0..nx {
                    let p = self.anatomy(grid, [i, j, k].map(|v| v as f64));
                    let at = j * nx + i;
                    let noise = noise * voxel_noise(key, k * nx * ny + at);
                    let hu = if let Some(tissue) = self.neck.tissue(p) {
                        let (tissue, tumour) = self.tumour.put(p, tissue);
                        mask[at] = u8::from(tumour);
                        tissue.hu
                    } else {
                        couch(p)
                    };
                    ct[at] = (hu + noise).round().clamp(-1024.0, 3071.0);
                }
            }
        });
        (ct, mask)
    }

    /// The PET in SUV.
    fn scan_pet(&self, grid: &Grid, noise: f32, key: u64) -> Vec<f32> {
        let [nx, ny, nz] = grid.shape;
        let mut pet = vec![0.0; nx * ny * nz];
        pet.par_chunks_mut(nx * ny)
            .enumerate()
            .for_each(|(k, slice)| {
                for j in 0..ny {
                    for i in 0..nx {
                        let middle = self.anatomy(grid, [i, j, k].map(|v| v as f64));
                        if self.neck.far_outside(middle, 3.0 / self.scale as f32) {
                            continue;
                        }
                        // A voxel holds several millimetres of tissue.
                        let mut sum = 0.0;
                        for corner in 0..8 {
                            let offset = |bit: usize| 0.5 * (corner >> bit & 1) as f64 - 0.25;
                            let voxel = [
                                i as f64 + offset(0),
                                j as f64 + offset(1),
                                k as f64 + offset(2),
                            ];
                            let p = self.anatomy(grid, voxel);
                            if let Some(tissue) = self.neck.tissue(p) {
                                sum += self.tumour.put(p, tissue).0.suv;
                            }
                        }
                        slice[j * nx + i] = sum / 8.0;
                    }
                }
            });
        blur(&mut pet, grid.shape);
        for (voxel, value) in pet.iter_mut().enumerate() {
            // Counting noise grows with the square root of the counts.
            let sigma = noise * (*value + 0.05).sqrt() * 2.0;
            *value = (*value + sigma * voxel_noise(key, voxel)).max(0.0);
        }
        pet
    }
}

/// HU outside of the body: air, and the couch below the patient.
fn couch(p: [f32; 3]) -> f32 {
    let below = p[1] - 132.0 - 0.0012 * p[0] * p[0];
    if (0.0..14.0).contains(&below) && p[0].abs() < 205.0 {
        let rim = !(2.0..12.0).contains(&below);
        if rim { -620.0 } else { -890.0 }
    } else {
        -1000.0
    }
}

/// The scanner's resolution: `1/4, 1/2, 1/4` along each axis, a deviation of 0.7 voxels.
fn blur(data: &mut [f32], shape: [usize; 3]) {
    let mut stride = 1;
    for n in shape {
        let before = data.to_vec();
        for (at, value) in data.iter_mut().enumerate() {
            let position = at / stride % n;
            let low = if position > 0 { at - stride } else { at };
            let high = if position + 1 < n { at + stride } else { at };
            *value = 0.25 * before[low] + 0.5 * before[at] + 0.25 * before[high];
        }
        stride *= n;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn centres_are_in_the_proportion_of_the_data_set() {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let ids: BTreeSet<String> = (0..TOTAL).map(id).collect();
        assert_eq!(ids.len(), 201);
        for id in ids {
            *counts.entry(id[..4].to_owned()).or_default() += 1;
        }
        let expected = CENTRES.map(|(centre, count)| (centre.to_owned(), count));
        assert_eq!(counts, BTreeMap::from(expected));
    }

    #[test]
    fn the_blur_keeps_the_sum_inside() {
        let mut data = vec![0.0; 7 * 7 * 7];
        data[3 * 49 + 3 * 7 + 3] = 8.0;
        blur(&mut data, [7; 3]);
        assert!((data.iter().sum::<f32>() - 8.0).abs() < 1e-5);
        assert!((data[3 * 49 + 3 * 7 + 3] - 1.0).abs() < 1e-6);
        assert!((data[3 * 49 + 3 * 7 + 2] - 0.5).abs() < 1e-6);
    }

    #[test]
    fn the_tumour_lies_in_the_box() {
        for case in 0..6 {
            let phantom = generate(1, case, 0.2);
            let [nx, ny, _] = phantom.ct_grid.shape;
            let [x1, x2, y1, y2, z1, z2] = phantom.bbox;
            for at in (0..phantom.mask.len()).filter(|&at| phantom.mask[at] > 0) {
                let voxel = [at % nx, at / nx % ny, at / (nx * ny)];
                let ras: [f64; 3] = std::array::from_fn(|a| {
                    phantom.ct_grid.affine[a][a] * voxel[a] as f64 + phantom.ct_grid.affine[a][3]
                });
                assert!((x1..=x2).contains(&-ras[0]), "{ras:?} {:?}", phantom.bbox);
                assert!((y1..=y2).contains(&-ras[1]), "{ras:?} {:?}", phantom.bbox);
                assert!((z1..=z2).contains(&ras[2]), "{ras:?} {:?}", phantom.bbox);
            }
        }
    }
}
