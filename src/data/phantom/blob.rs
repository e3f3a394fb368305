//! Rough ellipsoids: what lesions, nodes and organs are made of.

use crate::random::Stream;

use super::noise::Lattice;

/// An ellipsoid with a rough surface.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub(super) centre: [f32; 3],
    /// Mean radius.
    pub(super) radius: f32,
    /// From the offset to the centre to the unit ball.
    to_unit: [[f32; 3]; 3],
    /// Amplitude of the surface noise, as a share of the radius.
    roughness: f32,
    /// Where in the lattice this blob takes its noise.
    offset: [f32; 3],
}

impl Blob {
    /// A blob of mean `radius` with axes of `1 +- spread` times it, in a random orientation.
    pub(super) fn draw(
        stream: &mut Stream,
        centre: [f32; 3],
        radius: f32,
        spread: f32,
        roughness: f32,
    ) -> Self {
        let spread = f64::from(spread);
        let axes = [(); 3].map(|()| radius * stream.range(1.0 - spread, 1.0 + spread) as f32);
        let turn = rotation(stream);
        let to_unit = std::array::from_fn(|i| turn[i].map(|v| v / axes[i]));
        let offset = [(); 3].map(|()| stream.range(0.0, 16.0) as f32);
        Self {
            centre,
            radius,
            to_unit,
            roughness,
            offset,
        }
    }

    /// The same shape at another size about a shifted centre.
    pub(super) fn within(&self, scale: f32, shift: [f32; 3], roughness: f32) -> Self {
        Self {
            centre: std::array::from_fn(|i| self.centre[i] + shift[i]),
            radius: self.radius * scale,
            to_unit: self.to_unit.map(|row| row.map(|v| v / scale)),
            roughness,
            offset: self.offset.map(|v| v + 3.5),
        }
    }

    /// 1 at the centre, 0 on the surface, negative outside. Times the radius it is about the
    /// distance to the surface.
    pub(super) fn level(&self, p: [f32; 3], lattice: &Lattice) -> f32 {
        let d: [f32; 3] = std::array::from_fn(|i| p[i] - self.centre[i]);
        let unit: [f32; 3] = std::array::from_fn(|i| {
            let row = &self.to_unit[i];
            row[0] * d[0] + row[1] * d[1] + row[2] * d[2]
        });
        let r = (unit[0] * unit[0] + unit[1] * unit[1] + unit[2] * unit[2]).sqrt();
        let plain = 1.0 - r;
        // The noise cannot lift a point this far out above the surface.
        if plain < -self.roughness - 0.5 {
            return plain + self.roughness;
        }
        let at = std::array::from_fn(|i| 1.6 * unit[i] + self.offset[i]);
        plain + self.roughness * lattice.rough(at)
    }
}

/// A uniformly random rotation, from a random unit quaternion.
fn rotation(stream: &mut Stream) -> [[f32; 3]; 3] {
    let q = [(); 4].map(|()| stream.normal());
    let norm = q.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
    let [w, x, y, z] = q.map(|v| v / norm);
    let rows = [
        [
            1.0 - 2.0 * (y * y + z * z),
            2.0 * (x * y - w * z),
            2.0 * (x * z + w * y),
        ],
        [
            2.0 * (x * y + w * z),
            1.0 - 2.0 * (x * x + z * z),
            2.0 * (y * z - w * x),
        ],
        [
            2.0 * (x * z - w * y),
            2.0 * (y * z + w * x),
            1.0 - 2.0 * (x * x + y * y),
        ],
    ];
    rows.map(|row| row.map(|v| v as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn levels_fall_from_the_centre_to_the_outside() {
        let lattice = Lattice::new(&[3]);
        let mut stream = Stream::new(Purpose::Phantom, &[4]);
        for _ in 0..50 {
            let blob = Blob::draw(&mut stream, [0.1, 0.2, 0.3], 0.4, 0.3, 0.2);
            assert!(blob.level(blob.centre, &lattice) > 0.7);
            assert!(blob.level([2.0, 0.0, 0.0], &lattice) < 0.0);
            let core = blob.within(0.5, [0.0; 3], 0.0);
            let p = [0.2, 0.3, 0.35];
            assert!(core.level(p, &lattice) < blob.level(p, &lattice) + 0.2);
        }
    }
}
