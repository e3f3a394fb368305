//! Files of weights that another program wrote: safetensors, or checkpoints of PyTorch.
//!
//! A file is first only listed. Tensors are read once their shapes are known to be those that the
//! network needs, so that what a file claims never decides how much memory is taken. Nothing in a
//! checkpoint is executed: the reader interprets the part of pickle that describes tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use burn::module::Module;
use half::{bf16, f16};
use pytorch_reader::{DType, PytorchReader};
use safetensors::tensor::{Dtype, SafeTensors};

use super::weights::{Array, Weights, WeightsError, shapes};

/// Bytes of tensors per byte of the file at most: tensors may share storage, but a small file does
/// not describe a large network.
const SHARING: u64 = 8;

/// Leaf of a counter that PyTorch keeps beside running statistics; networks here have none.
const COUNTER: &str = "num_batches_tracked";

/// Why a file cannot give a network its weights.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no file of weights.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor of the network is not in it.
    #[error("{} has no tensor '{name}'; it holds {holds}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Name in the network.
        name: String,
        /// Some names that it has.
        holds: String,
    },
    /// It holds several networks.
    #[error("{} has several tensors '{name}', under {}", path.display(), quoted(prefixes))]
    Ambiguous {
        /// The file.
        path: PathBuf,
        /// Name in the network.
        name: String,
        /// What stands before it.
        prefixes: Vec<String>,
    },
    /// It holds a tensor of the same part that the network does not have.
    #[error("{} holds '{name}', which the network does not have", path.display())]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// Name in the file.
        name: String,
    },
    /// A tensor has another shape.
    #[error("{}: '{name}' has shape {found:?}, the network needs {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// Name in the file.
        name: String,
        /// Shape in the network.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// The weights do not go into the network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|n| format!("'{n}'")).collect();
    names.join(", ")
}

/// What a file says of one of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Type of its numbers, as safetensors spells it.
    pub dtype: String,
    /// Length per axis.
    pub shape: Vec<usize>,
}

/// A file of weights whose tensors are listed and not read.
#[derive(Debug)]
pub struct WeightsFile {
    path: PathBuf,
    digest: String,
    content: Content,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Content {
    /// All bytes.
    Safetensors(Vec<u8>),
    /// Handles by name.
    Pytorch(BTreeMap<String, pytorch_reader::Tensor>),
}

impl WeightsFile {
    /// Lists the tensors of a safetensors file or of a checkpoint of PyTorch, told apart by their
    /// content.
    ///
    /// # Errors
    /// [`ForeignError::File`] or [`ForeignError::Format`].
    pub fn open(path: &Path) -> Result<Self, ForeignError> {
        let file_error = |source| ForeignError::File {
            path: path.to_owned(),
            source,
        };
        let (size, digest) = identify(path).map_err(file_error)?;
        let content = if is_safetensors(path).map_err(file_error)? {
            Content::Safetensors(std::fs::read(path).map_err(file_error)?)
        } else {
            Content::Pytorch(checkpoint(path, size)?)
        };
        let mut file = Self {
            path: path.to_owned(),
            digest,
            content,
            entries: BTreeMap::new(),
        };
        file.entries = file.list()?;
        Ok(file)
    }

    /// BLAKE3 of the file, 64 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Its tensors by name.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// Puts the tensors of the file into those of `module` whose names start with `part` (all with
    /// an empty one); other tensors of the module stay as they are.
    ///
    /// `prefix` is what stands before the network's names in the file (`state_dict.module`); an
    /// empty one is found.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape, or belongs to another network; `module` is lost
    /// then.
    pub fn load_into<M: Module>(
        &self,
        module: M,
        part: &str,
        prefix: &str,
    ) -> Result<M, ForeignError> {
        let mut wanted = shapes(&module);
        wanted.retain(|name, _| name.starts_with(part));
        let prefix = if prefix.is_empty() {
            self.prefix(&wanted)?
        } else {
            format!("{}.", prefix.trim_end_matches('.'))
        };
        let mut weights = Weights::default();
        for (name, expected) in &wanted {
            let own = format!("{prefix}{name}");
            let entry = self
                .entries
                .get(&own)
                .ok_or_else(|| self.missing(own.clone()))?;
            if entry.shape != *expected {
                return Err(ForeignError::Shape {
                    path: self.path.clone(),
                    name: own,
                    expected: expected.clone(),
                    found: entry.shape.clone(),
                });
            }
            weights.0.insert(name.clone(), self.read(&own)?);
        }
        let beside = |own: &&String| {
            let Some(name) = own.strip_prefix(&prefix) else {
                return false;
            };
            name.starts_with(part) && !wanted.contains_key(name) && !name.ends_with(COUNTER)
        };
        if let Some(name) = self.entries.keys().find(beside) {
            return Err(ForeignError::Unexpected {
                path: self.path.clone(),
                name: name.clone(),
            });
        }
        Ok(weights.load_into(module, part)?)
    }

    /// What stands before the names of `wanted` in the file.
    fn prefix(&self, wanted: &BTreeMap<String, Vec<usize>>) -> Result<String, ForeignError> {
        let Some(first) = wanted.keys().next() else {
            return Ok(String::new());
        };
        let before = |own: &String| {
            let prefix = own.strip_suffix(first.as_str())?;
            (prefix.is_empty() || prefix.ends_with('.')).then(|| prefix.to_owned())
        };
        let prefixes: BTreeSet<String> = self.entries.keys().filter_map(before).collect();
        let mut prefixes: Vec<String> = prefixes.into_iter().collect();
        match (prefixes.pop(), prefixes.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(self.missing(first.clone())),
            (Some(last), false) => {
                prefixes.push(last);
                Err(ForeignError::Ambiguous {
                    path: self.path.clone(),
                    name: first.clone(),
                    prefixes,
                })
            }
        }
    }

    fn missing(&self, name: String) -> ForeignError {
        let mut some: Vec<String> = self.entries.keys().take(3).cloned().collect();
        let more = self.entries.len() - some.len();
        if some.is_empty() {
            some.push("nothing".to_owned());
        }
        let holds = if more > 0 {
            format!("{} and {more} more", quoted(&some))
        } else {
            quoted(&some)
        };
        ForeignError::Missing {
            path: self.path.clone(),
            name,
            holds,
        }
    }

    fn list(&self) -> Result<BTreeMap<String, Entry>, ForeignError> {
        Ok(match &self.content {
            Content::Safetensors(bytes) => self
                .safetensors(bytes)?
                .iter()
                .map(|(name, view)| {
                    let entry = Entry {
                        dtype: view.dtype().to_string(),
                        shape: view.shape().to_vec(),
                    };
                    (name.to_owned(), entry)
                })
                .collect(),
            Content::Pytorch(tensors) => tensors
                .iter()
                .map(|(name, tensor)| {
                    let entry = Entry {
                        dtype: format!("{:?}", tensor.dtype()).to_uppercase(),
                        shape: tensor.shape().to_vec(),
                    };
                    (name.clone(), entry)
                })
                .collect(),
        })
    }

    fn safetensors<'a>(&self, bytes: &'a [u8]) -> Result<SafeTensors<'a>, ForeignError> {
        SafeTensors::deserialize(bytes)
            .map_err(|e| self.format(format!("not a safetensors file: {e}")))
    }

    fn format(&self, reason: String) -> ForeignError {
        ForeignError::Format {
            path: self.path.clone(),
            reason,
        }
    }

    /// The numbers of a tensor that is listed.
    fn read(&self, name: &str) -> Result<Array, ForeignError> {
        let (bytes, dtype, shape) = match &self.content {
            Content::Safetensors(bytes) => {
                let file = self.safetensors(bytes)?;
                let view = file
                    .tensor(name)
                    .map_err(|e| self.format(format!("'{name}': {e}")))?;
                let dtype = match view.dtype() {
                    Dtype::F64 => Some(DType::F64),
                    Dtype::F32 => Some(DType::F32),
                    Dtype::F16 => Some(DType::F16),
                    Dtype::BF16 => Some(DType::BF16),
                    _ => None,
                };
                (view.data().to_vec(), dtype, view.shape().to_vec())
            }
            Content::Pytorch(tensors) => {
                let tensor = tensors
                    .get(name)
                    .ok_or_else(|| self.missing(name.to_owned()))?;
                let bytes = tensor.read().map_err(|e| self.format(e.to_string()))?;
                (bytes, Some(tensor.dtype()), tensor.shape().to_vec())
            }
        };
        let values = dtype.and_then(|dtype| numbers(&bytes, dtype));
        let values = values.ok_or_else(|| {
            let found = self.entries.get(name).map_or("unknown", |e| &e.dtype);
            self.format(format!("'{name}' is of type {found}, not of real numbers"))
        })?;
        if values.len() != shape.iter().product::<usize>() {
            return Err(self.format(format!("'{name}' has {} values", values.len())));
        }
        Ok(Array { shape, values })
    }
}

/// Size and digest of a file.
fn identify(path: &Path) -> std::io::Result<(u64, String)> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path)?)?;
    Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
}

/// Digest of the file at `path` as [`WeightsFile::digest`] has it.
///
/// # Errors
/// A file that cannot be read.
pub fn digest(path: &Path) -> Result<String, ForeignError> {
    let (_, digest) = identify(path).map_err(|source| ForeignError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(digest)
}

/// Whether a file begins as safetensors do: a length, then a JSON object.
fn is_safetensors(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::with_capacity(9);
    std::fs::File::open(path)?.take(9).read_to_end(&mut head)?;
    Ok(head.get(8) == Some(&b'{'))
}

/// Handles of the tensors of a checkpoint of `size` bytes.
fn checkpoint(
    path: &Path,
    size: u64,
) -> Result<BTreeMap<String, pytorch_reader::Tensor>, ForeignError> {
    let format = |reason: String| ForeignError::Format {
        path: path.to_owned(),
        reason,
    };
    let reader = PytorchReader::new(path).map_err(|e| {
        format(format!(
            "neither a safetensors file nor a checkpoint of PyTorch: {e}"
        ))
    })?;
    let tensors: BTreeMap<_, _> = reader
        .tensors()
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.clone()))
        .collect();
    let claimed = tensors
        .values()
        .try_fold(0u64, |sum, t| sum.checked_add(t.byte_len() as u64));
    if claimed.is_none_or(|bytes| bytes / SHARING > size) {
        return Err(format(
            "its tensors claim far more numbers than it has bytes".to_owned(),
        ));
    }
    Ok(tensors)
}

/// Little-endian numbers in single precision; nothing for integers.
fn numbers(bytes: &[u8], dtype: DType) -> Option<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Option<Vec<f32>> {
        let (words, rest) = bytes.as_chunks::<N>();
        rest.is_empty()
            .then(|| words.iter().map(|&word| number(word)).collect())
    }
    match dtype {
        DType::F64 => each(bytes, |w| f64::from_le_bytes(w) as f32),
        DType::F32 => each(bytes, f32::from_le_bytes),
        DType::F16 => each(bytes, |w| f16::from_le_bytes(w).to_f32()),
        DType::BF16 => each(bytes, |w| bf16::from_le_bytes(w).to_f32()),
        _ => None,
    }
}
