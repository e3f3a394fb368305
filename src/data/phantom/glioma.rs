//! Nested lesions of the head phantom: oedema around a core, an enhancing ring around necrosis.

use crate::random::{Purpose, Stream, hash};

use super::blob::Blob;
use super::brain::{Brain, Tissue};
use super::noise::{Lattice, smoothstep};

/// Label values of BraTS (`metrics-and-data.md` section 5).
pub(super) const NECROSIS: u8 = 1;
pub(super) const OEDEMA: u8 = 2;
pub(super) const ENHANCING: u8 = 4;

/// Every twelfth patient has no lesion.
const EMPTY_PERIOD: u64 = 12;

#[derive(Clone, Debug)]
struct Lesion {
    whole: Blob,
    core: Option<Blob>,
    /// Thickness of the enhancing shell as a share of the core's radius; 0 does not enhance.
    shell: f32,
    /// Level of patch noise below which the shell does not enhance.
    gaps: f32,
    /// How strongly the lesion differs from its surroundings.
    contrast: f32,
}

/// The lesions of one patient.
#[derive(Clone, Debug)]
pub(super) struct Gliomas {
    lesions: Vec<Lesion>,
    surface: Lattice,
    patches: Lattice,
    /// Edge of a voxel in units: the width over which tissues blend.
    voxel: f32,
}

/// What the lesions make of a point.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pathology {
    /// 0, [`NECROSIS`], [`OEDEMA`] or [`ENHANCING`].
    pub(super) label: u8,
    /// Share of oedema, necrosis and enhancing tumour in the voxel.
    pub(super) oedema: f32,
    pub(super) necrosis: f32,
    pub(super) enhancing: f32,
    /// Contrast of the lesion here.
    pub(super) contrast: f32,
}

/// Whether patient `case` has no lesion.
pub(super) fn is_empty(seed: u64, case: u64) -> bool {
    (case + hash(&[seed, 0x454D_5054]) % EMPTY_PERIOD) % EMPTY_PERIOD == EMPTY_PERIOD - 1
}

impl Gliomas {
    /// The lesions of patient `case`.
    pub(super) fn draw(seed: u64, case: u64, low_grade: bool, brain: &Brain, voxel: f32) -> Self {
        let mut stream = Stream::new(Purpose::Phantom, &[seed, case, 10]);
        let count = if is_empty(seed, case) {
            0
        } else {
            // One lesion in most patients.
            [1, 1, 1, 2, 2, 3][stream.below(6)]
        };
        let enhances = !low_grade || stream.uniform() < 0.4;
        let lesions = (0..count)
            .map(|i| Lesion::draw(&mut stream, brain, i == 0, low_grade, enhances))
            .collect();
        Self {
            lesions,
            surface: Lattice::new(&[seed, case, 11]),
            patches: Lattice::new(&[seed, case, 12]),
            voxel,
        }
    }

    /// Number of lesions.
    pub(super) fn count(&self) -> usize {
        self.lesions.len()
    }

    /// What the lesions make of the brain at `p`.
    pub(super) fn at(&self, p: [f32; 3], tissue: &Tissue) -> Pathology {
        let mut result = Pathology::default();
        let mut strongest = 0.0;
        for lesion in &self.lesions {
            let found = self.one(lesion, p, tissue);
            let share = found.oedema + found.necrosis + found.enhancing;
            let tumour = found.necrosis + found.enhancing;
            // Where two lesions overlap, the one with more tumour wins.
            if share + tumour > strongest {
                strongest = share + tumour;
                result = found;
            }
        }
        result
    }

    fn one(&self, lesion: &Lesion, p: [f32; 3], tissue: &Tissue) -> Pathology {
        let level = lesion.whole.level(p, &self.surface);
        if level < -0.6 {
            return Pathology::default();
        }
        // Share of the voxel above a level, given how wide a voxel is in that blob's radii.
        let share = |level: f32, radius: f32| {
            let half = (0.8 * self.voxel / radius).min(0.4);
            smoothstep(-half, half, level)
        };
        // Oedema follows white matter and spares cortex and fluid.
        let spread = level - 0.35 * tissue.grey - 1.2 * (tissue.csf - 0.3).max(0.0);
        let mut whole = share(spread, lesion.whole.radius);
        let mut core = 0.0;
        let mut enhancing = 0.0;
        if let Some(blob) = &lesion.core {
            let level = blob.level(p, &self.surface);
            core = share(level, blob.radius);
            whole = whole.max(core);
            if lesion.shell > 0.0 && core > 0.0 {
                let patch = self.patches.at(p.map(|v| 9.0 * v + 8.0));
                let ring = share(lesion.shell * (1.0 + 0.5 * patch) - level, blob.radius);
                let fills = smoothstep(lesion.gaps - 0.1, lesion.gaps + 0.1, patch);
                enhancing = core * ring * fills;
            }
        }
        let label = if whole < 0.5 {
            0
        } else if core < 0.5 {
            OEDEMA
        } else if enhancing < 0.5 * core {
            NECROSIS
        } else {
            ENHANCING
        };
        Pathology {
            label,
            oedema: whole - core,
            necrosis: core - enhancing,
            enhancing,
            contrast: lesion.contrast,
        }
    }
}

impl Lesion {
    fn draw(
        stream: &mut Stream,
        brain: &Brain,
        first: bool,
        low_grade: bool,
        enhances: bool,
    ) -> Self {
        let radius = if first {
            stream.range(0.24, 0.44)
        } else {
            stream.range(0.10, 0.20)
        } as f32;
        let centre = place(stream, brain, radius);
        let whole = Blob::draw(stream, centre, radius, 0.28, 0.42);
        let ratio = if low_grade {
            stream.range(0.55, 0.85)
        } else {
            stream.range(0.42, 0.68)
        } as f32;
        let shift = [(); 3].map(|()| radius * (1.0 - ratio) * stream.range(-0.4, 0.4) as f32);
        let roughness = stream.range(0.15, 0.35) as f32;
        let core = (first || stream.uniform() < 0.7).then(|| whole.within(ratio, shift, roughness));
        let shell = stream.range(0.25, 0.6) as f32;
        let gaps = if low_grade {
            stream.range(-0.1, 0.3)
        } else {
            stream.range(-0.9, -0.3)
        } as f32;
        Self {
            whole,
            core,
            shell: if enhances { shell } else { 0.0 },
            gaps,
            contrast: stream.range(0.65, 1.1) as f32,
        }
    }
}

/// A point of the cerebrum, deep enough for most of a lesion of `radius` to lie inside.
fn place(stream: &mut Stream, brain: &Brain, radius: f32) -> [f32; 3] {
    let mut best = [0.3, 0.0, 0.2];
    let mut deepest = f32::NEG_INFINITY;
    for _ in 0..24 {
        let side = if stream.uniform() < 0.5 { -1.0 } else { 1.0 };
        let p = [
            side * stream.range(0.18, 0.62) as f32,
            stream.range(-0.70, 0.70) as f32,
            stream.range(-0.20, 0.58) as f32,
        ];
        let depth = brain.depth(p);
        if depth > 0.55 * radius {
            return p;
        }
        if depth > deepest {
            deepest = depth;
            best = p;
        }
    }
    best
}
