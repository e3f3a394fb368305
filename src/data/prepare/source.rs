//! The values of one modality on the grid of its case.

use std::path::{Path, PathBuf};

use super::clip;
use super::error::PrepareError;
use super::grid::Grid;
use super::normalise::Scaling;
use super::pipeline::{Scratch, warn_all};
use super::resample::{Edge, is_identity, resample};
use super::target::Target;
use crate::data::case::{Case, ImageFile, ModalityKind};
use crate::data::volume::{Air, Header, Room, Stored, read_header, read_volume_into};
use crate::options::PrepareOptions;
use crate::wide::wide;

/// An image file, looked at but not read.
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) kind: ModalityKind,
    pub(super) grid: Grid,
    path: PathBuf,
    channel: Option<usize>,
    header: Header,
}

impl<'a> Source<'a> {
    pub(super) fn open(
        root: &Path,
        name: &'a str,
        image: &ImageFile,
        warnings: &mut Vec<String>,
    ) -> Result<Self, PrepareError> {
        let path = root.join(&image.path);
        let header = read_header(&path)?;
        warn_all(warnings, name, &header.warnings);
        Ok(Self {
            name,
            kind: image.kind,
            grid: Grid::of(&header),
            path,
            channel: image.channel,
            header,
        })
    }

    /// The modality on the full grid, in the memory of `scratch`.
    pub(super) fn sample<'s>(
        &self,
        case: &Case,
        target: &Target,
        options: &PrepareOptions,
        warnings: Option<&mut Vec<String>>,
        scratch: &'s mut Scratch,
    ) -> Result<Sampled<'s>, PrepareError> {
        let Scratch {
            values,
            nonzero,
            room,
            ..
        } = scratch;
        let (affine, continued) = target.approach(&self.grid);
        let own = Grid {
            affine,
            ..self.grid
        };
        let as_read = is_identity(&own, &target.grid);
        let needs = Needs::of(self.kind, options);
        let room = if as_read && !needs.all {
            if let Some(values) = self.unpack(needs, nonzero, room)? {
                return Ok(Sampled { values, nonzero });
            }
            // What could not be unpacked at once need not be tried again.
            None
        } else {
            Some(room)
        };

        let spare = std::mem::take(values);
        let mut finite = true;
        nonzero.clear();
        let look = |piece: &[f32]| finite &= needs.look(piece, nonzero);
        let mut volume = read_volume_into(&self.path, self.channel, spare, room, look)?;
        if !finite {
            let replaced = self.replace(&mut volume.data);
            if let Some(warnings) = warnings {
                warnings.push(format!(
                    "{}: {replaced} voxels are not finite, taken as {}",
                    self.name,
                    self.kind.outside()
                ));
            }
        }
        volume.affine = affine;
        let edge = if continued {
            Edge::Clamp
        } else {
            Edge::Fill(self.kind.outside())
        };
        *values = resample(volume, &target.grid, options.resample.image, edge)
            .map_err(|why| PrepareError::case(&case.id, format!("{}: {why}", self.name)))?;
        if !(as_read && finite) {
            nonzero.clear();
            needs.look(values, nonzero);
        }
        let values = Values::Sampled(values);
        Ok(Sampled { values, nonzero })
    }

    /// The voxels of the file, unpacked at once; `None` where that cannot be, or not all are finite.
    fn unpack<'s>(
        &self,
        needs: Needs,
        nonzero: &mut Vec<f32>,
        room: &'s mut Room,
    ) -> Result<Option<Values<'s>>, PrepareError> {
        nonzero.clear();
        let Some(stored) = Stored::unpack(&self.path, &self.header, self.channel, room)? else {
            return Ok(None);
        };
        let mut finite = true;
        let air = stored.pieces(|piece| finite &= needs.look(piece, nonzero));
        Ok(finite.then_some(Values::Stored(stored, air)))
    }

    /// Puts what lies outside in the place of values that are not finite; how many there were.
    fn replace(&self, values: &mut [f32]) -> u64 {
        let mut replaced = 0;
        for v in values.iter_mut().filter(|v| !v.is_finite()) {
            *v = self.kind.outside();
            replaced += 1;
        }
        replaced
    }
}

/// A modality on the full grid, all finite.
pub(super) struct Sampled<'a> {
    values: Values<'a>,
    /// Those that are not 0, where the normalisation needs them.
    nonzero: &'a [f32],
}

enum Values<'a> {
    /// The file has them as they are; the normalisation does not need them.
    Stored(Stored<'a>, Air),
    /// In memory.
    Sampled(&'a [f32]),
}

impl Sampled<'_> {
    /// How the modality is normalised.
    pub(super) fn scaling(&self, kind: ModalityKind, options: &PrepareOptions) -> Scaling {
        let all = match self.values {
            Values::Stored(..) => &[],
            Values::Sampled(values) => values,
        };
        Scaling::of(all, self.nonzero, kind, &options.clip, &options.zscore)
    }

    /// Whether `count` values from voxel `first` on are 0, and 0 when normalised too; false where that
    /// is not known.
    pub(super) fn is_air(&self, first: usize, count: usize) -> bool {
        match &self.values {
            Values::Stored(_, air) => air.holds(first, count),
            Values::Sampled(_) => false,
        }
    }

    /// The values from voxel `first` on, as many as `out` has room for.
    pub(super) fn read(&self, first: usize, out: &mut [f32]) {
        match &self.values {
            Values::Stored(stored, _) => stored.decode(first, out),
            Values::Sampled(values) => out.copy_from_slice(&values[first..first + out.len()]),
        }
    }
}

/// What the normalisation of a modality needs to know.
#[derive(Clone, Copy)]
struct Needs {
    /// All values.
    all: bool,
    /// Those that are not 0.
    nonzero: bool,
}

impl Needs {
    fn of(kind: ModalityKind, options: &PrepareOptions) -> Self {
        let (clip, zscore) = (&options.clip, &options.zscore);
        Self {
            all: Scaling::asks_for_all(kind, clip, zscore),
            nonzero: Scaling::asks_for_nonzero(kind, clip, zscore),
        }
    }

    /// Adds what is needed of `piece` to `nonzero`; whether all values are finite.
    fn look(self, piece: &[f32], nonzero: &mut Vec<f32>) -> bool {
        if self.nonzero {
            clip::keep_nonzero(piece, nonzero);
        }
        all_finite(piece)
    }
}

wide! {
    fn all_finite(values: &[f32]) -> bool {
        let mut all = true;
        for v in values {
            all &= v.is_finite();
        }
        all
    }
}
