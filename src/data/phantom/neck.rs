//! Anatomy of the head-and-neck phantom: density and uptake at a point.
//!
//! Coordinates are mm at scale 1 about the throat: x to the left, y to the back, z up.

use crate::random::{Purpose, Stream};

use super::blob::Blob;
use super::noise::{Lattice, lerp, smoothstep};

/// What a point is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tissue {
    /// Density in HU.
    pub(super) hu: f32,
    /// Uptake (SUV).
    pub(super) suv: f32,
}

const AIR: Tissue = Tissue {
    hu: -1000.0,
    suv: 0.02,
};

/// Outline of the body by height: z, half width, half depth, middle in y.
const OUTLINE: [[f32; 4]; 10] = [
    [-160.0, 228.0, 100.0, 22.0],
    [-120.0, 212.0, 94.0, 22.0],
    [-95.0, 150.0, 86.0, 20.0],
    [-78.0, 82.0, 72.0, 16.0],
    [-55.0, 62.0, 62.0, 10.0],
    [-25.0, 66.0, 74.0, 2.0],
    [15.0, 73.0, 92.0, 2.0],
    [70.0, 78.0, 100.0, 8.0],
    [120.0, 70.0, 90.0, 12.0],
    [168.0, 20.0, 30.0, 14.0],
];

/// One patient's head and neck.
#[derive(Clone, Debug)]
pub(super) struct Neck {
    width: f32,
    depth: f32,
    fat: f32,
    /// Sideways bend of the neck, mm per mm of height.
    lean: f32,
    jaw: f32,
    brain_suv: f32,
    gland_suv: f32,
    tonsil_suv: f32,
    larynx_suv: f32,
    nodes: Vec<(Blob, f32)>,
    fine: Lattice,
    coarse: Lattice,
}

impl Neck {
    /// Patient `case`.
    pub(super) fn draw(seed: u64, case: u64) -> Self {
        let mut stream = Stream::new(Purpose::Phantom, &[seed, case, 30]);
        let nodes = (0..[0, 1, 1, 2, 3][stream.below(5)])
            .map(|_| {
                let side = if stream.uniform() < 0.5 { -1.0 } else { 1.0 };
                let centre = [
                    side * stream.range(34.0, 46.0) as f32,
                    stream.range(2.0, 24.0) as f32,
                    stream.range(-55.0, 8.0) as f32,
                ];
                let radius = stream.range(6.0, 12.0) as f32;
                let suv = stream.range(2.5, 7.0) as f32;
                (Blob::draw(&mut stream, centre, radius, 0.2, 0.15), suv)
            })
            .collect();
        let mut draw = |low: f64, high: f64| stream.range(low, high) as f32;
        Self {
            width: draw(0.93, 1.08),
            depth: draw(0.93, 1.08),
            fat: draw(3.0, 11.0),
            lean: draw(-0.06, 0.06),
            jaw: draw(-6.0, 6.0),
            brain_suv: draw(6.0, 10.0),
            gland_suv: draw(1.6, 3.0),
            tonsil_suv: draw(2.0, 4.5),
            larynx_suv: draw(1.2, 2.8),
            nodes,
            fine: Lattice::new(&[seed, case, 31]),
            coarse: Lattice::new(&[seed, case, 32]),
        }
    }

    /// Depth below the skin in mm, negative outside.
    fn below_skin(&self, q: [f32; 3]) -> f32 {
        let [_, a, b, middle] = outline(q[2]);
        let (a, b) = (a * self.width, b * self.depth);
        let u = (q[0] / a).powi(2);
        let v = ((q[1] - middle) / b).powi(2);
        // Between an ellipse and a rounder box.
        let r = 0.5 * (u + v).sqrt() + 0.5 * (u * u + v * v).sqrt().sqrt();
        (1.0 - r) * a.min(b)
    }

    /// Whether `p` is farther than `margin` mm outside of the body; cheap, and no for some points
    /// that are.
    pub(super) fn far_outside(&self, p: [f32; 3], margin: f32) -> bool {
        // The bend moves a point by at most 15 mm.
        self.below_skin(p) < -margin - 15.0
    }

    fn unbend(&self, p: [f32; 3]) -> [f32; 3] {
        let at = p.map(|v| v / 70.0 + 8.0);
        let wave = 5.0 * self.coarse.at(at);
        [p[0] - self.lean * (p[2] + 60.0) + wave, p[1] + wave, p[2]]
    }

    /// Tissue at `p` without tumour; `None` outside of the body.
    pub(super) fn tissue(&self, p: [f32; 3]) -> Option<Tissue> {
        if self.far_outside(p, 0.0) {
            return None;
        }
        let q = self.unbend(p);
        let depth = self.below_skin(q);
        if depth <= 0.0 {
            return None;
        }
        let fine = self.fine.rough(p.map(|v| v / 9.0));
        let coarse = self.coarse.rough(p.map(|v| v / 26.0));
        let mut t = self.soft(q, depth, fine, coarse);
        self.organs(q, fine, &mut t);
        self.bones(q, depth, fine, &mut t);
        self.airways(q, depth, fine, &mut t);
        Some(t)
    }

    /// Skin, fat and muscle; brain inside the skull.
    fn soft(&self, q: [f32; 3], depth: f32, fine: f32, coarse: f32) -> Tissue {
        let muscle = Tissue {
            hu: 54.0 + 7.0 * fine,
            suv: 0.75 + 0.15 * coarse,
        };
        let fat = Tissue {
            hu: -98.0 + 8.0 * fine,
            suv: 0.3,
        };
        let skin = 1.0 - smoothstep(1.2, 2.4, depth);
        let layer = 1.0 - smoothstep(self.fat - 1.0, self.fat + 1.5, depth + 2.0 * coarse);
        // Fat planes between muscles follow the zero set of a noise field.
        let plane = smoothstep(0.10, 0.03, coarse.abs()) * 0.75;
        let mut t = blend(muscle, fat, layer.max(plane) * (1.0 - skin));
        let skull = self.in_skull(q, depth);
        if skull > 0.0 {
            let brain = Tissue {
                hu: 35.0 + 5.0 * coarse + 3.0 * fine,
                suv: self.brain_suv * (0.75 + 0.5 * coarse.abs() + 0.2 * fine),
            };
            t = blend(t, brain, skull);
        }
        t
    }

    /// Height of the base of the skull: higher in front, with a pit on each side.
    fn skull_base(&self, q: [f32; 3]) -> f32 {
        let front = 14.0 * smoothstep(20.0, -50.0, q[1]);
        let pit = 9.0 * smoothstep(12.0, 34.0, q[0].abs()) * smoothstep(-52.0, -20.0, q[1]);
        34.0 + front - pit + 5.0 * self.coarse.at(q.map(|v| v / 24.0))
    }

    /// Share of the inside of the skull.
    fn in_skull(&self, q: [f32; 3], depth: f32) -> f32 {
        let base = self.skull_base(q);
        smoothstep(base, base + 3.0, q[2]) * smoothstep(14.5, 16.0, depth)
    }

    /// Glands, tonsils, larynx, vessels and nodes.
    fn organs(&self, q: [f32; 3], fine: f32, t: &mut Tissue) {
        let side = [q[0].abs(), q[1], q[2]];
        let gland = |suv: f32, hu: f32| Tissue {
            hu: hu + 6.0 * fine,
            suv: suv * (1.0 + 0.2 * fine),
        };
        let mut put = |share: f32, tissue: Tissue| {
            if share > 0.0 {
                *t = blend(*t, tissue, share);
            }
        };
        let parotid = soft_ball(side, [55.0, 12.0, 6.0], [12.0, 18.0, 24.0], 3.0);
        put(parotid, gland(self.gland_suv, 8.0));
        let below_jaw = soft_ball(side, [30.0, -16.0, -34.0], [10.0, 14.0, 11.0], 2.0);
        put(below_jaw, gland(self.gland_suv * 1.1, 42.0));
        let tonsil = soft_ball(side, [17.0, -2.0, 4.0], [6.0, 7.0, 11.0], 2.0);
        put(tonsil, gland(self.tonsil_suv, 56.0));
        let larynx = soft_ball(q, [0.0, -12.0, -62.0], [16.0, 14.0, 9.0], 3.0);
        put(larynx, gland(self.larynx_suv, 58.0));
        for (y, radius) in [(14.0, 4.5), (22.0, 6.0)] {
            let vessel = smoothstep(
                1.0,
                -1.0,
                ((side[0] - 30.0).powi(2) + (q[1] - y).powi(2)).sqrt() - radius,
            );
            put(
                vessel * smoothstep(28.0, 20.0, q[2]),
                Tissue { hu: 44.0, suv: 1.5 },
            );
        }
        for (node, suv) in &self.nodes {
            let level = node.level(q, &self.fine);
            let share = smoothstep(-0.15, 0.15, level);
            put(
                share,
                Tissue {
                    hu: 52.0 + 5.0 * fine,
                    suv: *suv * (0.8 + 0.3 * level),
                },
            );
        }
    }

    /// Skull, jaws with teeth, spine, shoulders.
    fn bones(&self, q: [f32; 3], depth: f32, fine: f32, t: &mut Tissue) {
        let mut put = |share: f32, hu: f32, suv: f32| {
            if share > 0.0 {
                *t = blend(*t, Tissue { hu, suv }, share);
            }
        };
        let base = self.skull_base(q);
        // Vault: two plates with marrow between them.
        let vault = smoothstep(base - 8.0, base, q[2])
            * smoothstep(6.5, 8.0, depth)
            * smoothstep(16.0, 14.5, depth);
        let marrow = smoothstep(9.5, 10.5, depth) * smoothstep(13.5, 12.5, depth);
        put(vault, lerp(950.0, 420.0 + 120.0 * fine, marrow), 0.8);
        // Base of the skull, with gaps.
        let floor = smoothstep(base - 6.0, base - 4.0, q[2])
            * smoothstep(base + 3.0, base, q[2])
            * smoothstep(10.0, 13.0, depth)
            * smoothstep(-0.55, -0.25, fine);
        put(floor, 620.0 + 200.0 * fine, 0.8);

        // Lower and upper jaw: horseshoes open to the back, a row of teeth between.
        for (low, high, a, b) in [(-42.0, -10.0, 45.0, 62.0), (0.0, 20.0, 37.0, 56.0)] {
            let height = smoothstep(low + self.jaw - 2.0, low + self.jaw + 2.0, q[2])
                * smoothstep(high + self.jaw + 2.0, high + self.jaw - 2.0, q[2]);
            let front = smoothstep(12.0, 6.0, q[1]);
            let u = ((q[0] / a).powi(2) + ((q[1] + 8.0) / b).powi(2)).sqrt();
            let wall = smoothstep(8.0, 5.5, (u - 1.0).abs() * 45.0);
            let cortex = smoothstep(2.0, 4.5, (u - 1.0).abs() * 45.0);
            put(height * front * wall, lerp(380.0, 1250.0, cortex), 0.7);
        }
        let teeth =
            smoothstep(-10.0, -8.0, q[2] - self.jaw) * smoothstep(2.0, 0.0, q[2] - self.jaw);
        let u = ((q[0] / 41.0).powi(2) + ((q[1] + 8.0) / 58.0).powi(2)).sqrt();
        let row = smoothstep(5.0, 4.0, (u - 1.0).abs() * 45.0) * smoothstep(-16.0, -20.0, q[1]);
        let gaps = smoothstep(-0.5, 0.1, (q[0].atan2(q[1] + 60.0) * 26.0).sin());
        put(teeth * row * gaps, 1900.0, 0.4);

        // Spine: bodies and discs in front of the canal, an arch and spines behind it.
        let below_skull = smoothstep(base - 4.0, base - 8.0, q[2]);
        let y = q[1] - 0.06 * (q[2] + 40.0).abs().min(80.0) - 32.0;
        let period = (q[2] / 17.0).rem_euclid(1.0);
        let disc = smoothstep(0.80, 0.86, period);
        let body = ((q[0] / 14.0).powi(2) + (y / 10.0).powi(2)).sqrt();
        let shell = smoothstep(0.72, 0.88, body).max(smoothstep(0.12, 0.04, period));
        let bone = lerp(240.0 + 60.0 * fine, 720.0, shell);
        put(
            below_skull * smoothstep(1.06, 0.96, body),
            lerp(bone, 85.0, disc),
            lerp(1.3, 0.6, disc),
        );
        let ring = ((q[0] / 1.15).powi(2) + (y - 19.0).powi(2)).sqrt();
        let arch = smoothstep(13.5, 12.0, ring) * smoothstep(0.75, 0.65, period);
        put(below_skull * arch, 560.0 + 120.0 * fine, 0.9);
        let spine = smoothstep(4.0, 2.5, q[0].abs())
            * smoothstep(30.0, 31.0, y)
            * smoothstep(50.0, 47.0, y)
            * smoothstep(0.60, 0.50, (period - 0.3).abs() * 2.0);
        put(below_skull * spine, 520.0, 0.8);
        put(below_skull * smoothstep(8.5, 7.0, ring), 34.0, 1.4);
        // Wings at the sides of the bodies.
        let wing = smoothstep(34.0, 30.0, q[0].abs())
            * smoothstep(5.0, 3.5, (y - 6.0).abs())
            * smoothstep(0.30, 0.20, (period - 0.35).abs());
        put(
            below_skull * wing * smoothstep(12.0, 14.0, q[0].abs()),
            430.0,
            0.8,
        );

        // Shoulders: heads of the upper arms and collar bones.
        let side = [q[0].abs(), q[1], q[2]];
        let head = soft_ball(side, [170.0, 18.0, -142.0], [25.0, 25.0, 26.0], 2.0);
        put(head, 320.0 + 90.0 * fine, 0.9);
        let x = side[0];
        let dy = q[1] - (-32.0 + 0.22 * x);
        let dz = q[2] - (-128.0 + 0.10 * x);
        let collar = smoothstep(7.5, 6.0, (dy * dy + dz * dz).sqrt())
            * smoothstep(12.0, 18.0, x)
            * smoothstep(150.0, 140.0, x);
        put(collar, 620.0, 0.8);
    }

    /// Throat, windpipe, nose, sinuses, tops of the lungs.
    fn airways(&self, q: [f32; 3], depth: f32, fine: f32, t: &mut Tissue) {
        let share = self.airway(q, fine);
        let mut put = |share: f32, tissue: Tissue| {
            if share > 0.0 && depth > 3.0 {
                *t = blend(*t, tissue, share);
            }
        };
        put(share, AIR);
        let side = [q[0].abs(), q[1], q[2]];
        let lung = soft_ball(side, [68.0, 22.0, -178.0], [44.0, 48.0, 52.0], 3.0);
        let lung_tissue = Tissue {
            hu: -850.0 + 60.0 * fine,
            suv: 0.4,
        };
        put(lung, lung_tissue);
        let sinus = soft_ball(side, [24.0, -48.0, 30.0], [12.0, 16.0, 14.0], 1.5);
        put(sinus, AIR);
        let nose = soft_ball(q, [0.0, -52.0, 30.0], [11.0, 32.0, 18.0], 2.0);
        put(nose * smoothstep(-0.15, 0.15, fine + 0.1), AIR);
    }

    /// Share of the throat and the windpipe.
    fn airway(&self, q: [f32; 3], fine: f32) -> f32 {
        let z = q[2];
        let y = lerp(4.0, -6.0, smoothstep(-100.0, -40.0, z));
        // Wide and flat above the larynx, narrow in it, round below.
        let upper = smoothstep(-66.0, -52.0, z);
        let narrow = 1.0 - 0.55 * smoothstep(10.0, 0.0, (z + 62.0).abs());
        let a = lerp(9.0, 13.0, upper) * narrow;
        let b = lerp(9.0, 6.5, upper);
        let r = ((q[0] / a).powi(2) + ((q[1] - y) / b).powi(2)).sqrt() + 0.25 * fine;
        smoothstep(1.08, 0.92, r) * smoothstep(32.0, 26.0, z)
    }
}

/// Outline at height `z`, blended between the rows of [`OUTLINE`].
fn outline(z: f32) -> [f32; 4] {
    let mut below = OUTLINE[0];
    for row in OUTLINE {
        if row[0] >= z {
            let span = row[0] - below[0];
            let t = if span > 0.0 {
                (z - below[0]) / span
            } else {
                0.0
            };
            let t = smoothstep(0.0, 1.0, t);
            return std::array::from_fn(|i| lerp(below[i], row[i], t));
        }
        below = row;
    }
    below
}

/// `a` at 0, `b` at 1.
pub(super) fn blend(a: Tissue, b: Tissue, t: f32) -> Tissue {
    Tissue {
        hu: lerp(a.hu, b.hu, t),
        suv: lerp(a.suv, b.suv, t),
    }
}

/// Share of an ellipsoid whose surface is `edge` mm wide.
fn soft_ball(p: [f32; 3], centre: [f32; 3], axes: [f32; 3], edge: f32) -> f32 {
    let mut square = 0.0;
    for i in 0..3 {
        let d = (p[i] - centre[i]) / axes[i];
        square += d * d;
    }
    // Far outside there is nothing to blend.
    if square > 4.0 {
        return 0.0;
    }
    let distance = (1.0 - square.sqrt()) * axes[0].min(axes[1]).min(axes[2]);
    smoothstep(-0.5 * edge, 0.5 * edge, distance)
}
