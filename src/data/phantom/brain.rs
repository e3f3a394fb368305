//! Anatomy of the head phantom: which tissue a point of the brain is made of.
//!
//! Coordinates are in units of 80 mm about the middle of the brain: x to the left, y to the back,
//! z up.

use crate::random::{Purpose, Stream};

use super::noise::{Lattice, lerp, smoothstep};

/// Length of one unit in mm, at scale 1.
pub(super) const UNIT_MM: f64 = 80.0;

/// Shares of the tissues at a point; they sum to 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tissue {
    pub(super) csf: f32,
    pub(super) grey: f32,
    pub(super) white: f32,
    /// Depth below the surface of the brain, in units.
    pub(super) depth: f32,
}

/// One patient's brain.
#[derive(Clone, Debug)]
pub(super) struct Brain {
    axes: [f32; 3],
    tilt: (f32, f32),
    ventricle: f32,
    atrophy: f32,
    fold_frequency: f32,
    warp: [Lattice; 3],
    folds: Lattice,
}

impl Brain {
    /// The brain of patient `case`. `voxel` is the edge of a voxel in units: folds finer than the
    /// grid are left out.
    pub(super) fn draw(seed: u64, case: u64, voxel: f32) -> Self {
        let mut stream = Stream::new(Purpose::Phantom, &[seed, case, 1]);
        let mut around = |middle: f64, spread: f64| {
            stream.range(middle * (1.0 - spread), middle * (1.0 + spread)) as f32
        };
        Self {
            axes: [around(0.80, 0.05), around(1.0, 0.05), around(0.80, 0.05)],
            tilt: (around(1.0, 0.06) - 1.0, around(1.0, 0.06) - 1.0),
            ventricle: around(1.0, 0.35),
            atrophy: around(1.0, 0.5),
            fold_frequency: 8.0_f32.min(0.25 / voxel),
            warp: [2, 3, 4].map(|tag| Lattice::new(&[seed, case, tag])),
            folds: Lattice::new(&[seed, case, 5]),
        }
    }

    /// Moves a point of the image into the undistorted brain.
    fn unwarp(&self, p: [f32; 3]) -> [f32; 3] {
        let (s, t) = self.tilt;
        // Small angles: a shear is a rotation up to second order.
        let tilted = [p[0] + s * p[1], p[1] - s * p[0] + t * p[2], p[2] - t * p[1]];
        let at = p.map(|v| 1.7 * v + 8.0);
        std::array::from_fn(|i| tilted[i] + 0.05 * self.warp[i].at(at))
    }

    /// Height above the surface of the brain, inward: about the depth in units. Negative outside.
    pub(super) fn depth(&self, p: [f32; 3]) -> f32 {
        self.depth_unwarped(self.unwarp(p))
    }

    fn depth_unwarped(&self, q: [f32; 3]) -> f32 {
        let [a, b, c] = self.axes;
        // The cerebrum is flat below and narrower in front.
        let below = if q[2] < 0.0 { 0.62 } else { 1.0 };
        let narrow = 1.0 - 0.12 * smoothstep(0.0, 1.0, -q[1]);
        let cerebrum = ellipsoid(q, [0.0; 3], [a * narrow, b, c * below]);
        let cerebellum = ellipsoid(q, [0.0, 0.5 * b, -0.5 * c], [0.6 * a, 0.4 * b, 0.42 * c]);
        let stem = ellipsoid(q, [0.0, 0.18, -0.62 * c], [0.17, 0.17, 0.45]);
        cerebrum.max(cerebellum).max(stem)
    }

    /// Tissue at `p`; `None` outside of the brain.
    pub(super) fn tissue(&self, p: [f32; 3]) -> Option<Tissue> {
        let q = self.unwarp(p);
        let depth = self.depth_unwarped(q);
        if depth <= 0.0 {
            return None;
        }
        let [a, b, c] = self.axes;
        let in_cerebellum = smoothstep(
            -0.02,
            0.02,
            ellipsoid(q, [0.0, 0.5 * b, -0.5 * c], [0.58 * a, 0.38 * b, 0.4 * c]),
        );
        // Folds are the zero set of a noise field: a furrow where it is near 0, cortex around it.
        let fold = self
            .folds
            .rough(q.map(|v| v * self.fold_frequency + 8.0))
            .abs();
        let shallow = 1.0 - smoothstep(0.05, 0.34, depth);
        let furrow = fold - 0.085 * self.atrophy * shallow;
        let surface = 0.012 * self.atrophy;
        let mut csf = smoothstep(0.02, -0.02, furrow) * shallow;
        csf = csf.max(1.0 - smoothstep(0.0, 2.0 * surface, depth));
        // The cleft between the hemispheres, above the corpus callosum.
        let above = smoothstep(0.2, 0.3, q[2]).max(smoothstep(0.5, 0.62, q[1].abs()));
        let cleft = above * smoothstep(0.026, 0.010, q[0].abs()) * (1.0 - in_cerebellum);
        csf = csf.max(0.9 * cleft);
        csf = csf.max(self.ventricles(q));

        let ribbon = smoothstep(0.17, 0.11, furrow) * (1.0 - smoothstep(0.16, 0.40, depth));
        let rim = smoothstep(0.075, 0.055, depth);
        let mut grey = ribbon.max(rim).max(self.nuclei(q));
        grey = lerp(
            grey,
            0.55 + 0.35 * (1.0 - 2.0 * fold).clamp(-1.0, 1.0),
            in_cerebellum,
        );
        let grey = grey * (1.0 - csf);
        Some(Tissue {
            csf,
            grey,
            white: 1.0 - csf - grey,
            depth,
        })
    }

    /// Share of the ventricles at `q`.
    fn ventricles(&self, q: [f32; 3]) -> f32 {
        let v = self.ventricle;
        // Bent: farther from the middle at the back.
        let x = q[0].abs() - 0.10 - 0.18 * (q[1] - 0.1).max(0.0);
        let lateral = ellipsoid(
            [x, q[1], q[2]],
            [0.0, 0.06, 0.13],
            [0.065 * v, 0.42, 0.12 * v],
        );
        let third = ellipsoid(q, [0.0, 0.06, -0.06], [0.022 * v, 0.14, 0.13]);
        let fourth = ellipsoid(q, [0.0, 0.33, -0.42], [0.06, 0.07, 0.09]);
        smoothstep(-0.012, 0.012, lateral.max(third).max(fourth))
    }

    /// Share of the deep grey nuclei at `q`.
    fn nuclei(&self, q: [f32; 3]) -> f32 {
        let side = [q[0].abs(), q[1], q[2]];
        let thalamus = ellipsoid(side, [0.14, 0.14, -0.02], [0.10, 0.16, 0.11]);
        let putamen = ellipsoid(side, [0.32, -0.08, -0.02], [0.06, 0.22, 0.14]);
        let caudate = ellipsoid(side, [0.19, -0.22, 0.08], [0.06, 0.12, 0.10]);
        0.85 * smoothstep(-0.02, 0.02, thalamus.max(putamen).max(caudate))
    }
}

/// About the distance to the surface of an ellipsoid, positive inside.
fn ellipsoid(p: [f32; 3], centre: [f32; 3], axes: [f32; 3]) -> f32 {
    let mut square = 0.0;
    for i in 0..3 {
        let d = (p[i] - centre[i]) / axes[i];
        square += d * d;
    }
    (1.0 - square.sqrt()) * axes[0].min(axes[1]).min(axes[2])
}
