//! The tensors of a network by name: in memory, and as safetensors files.
//!
//! Names are module paths as a PyTorch user expects them (`enc.0.conv1.weight`,
//! `enc.0.bn1.running_mean`): the variant of an enum is no part of them, and burn's `gamma` and
//! `beta` are `weight` and `bias`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// One array of 32-bit floats, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Length per axis.
    pub shape: Vec<usize>,
    /// Values; as many as the product of `shape`.
    pub values: Vec<f32>,
}

/// Named arrays, in name order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights(pub BTreeMap<String, Array>);

/// Weights that do not fit, or a file that does not hold weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A tensor of the network is not among the weights.
    #[error("weights lack '{name}'")]
    Missing {
        /// Name in the network.
        name: String,
    },
    /// The weights hold a tensor that the network does not have.
    #[error("weights hold '{name}', which the network does not have")]
    Unexpected {
        /// Name among the weights.
        name: String,
    },
    /// Shapes differ.
    #[error("weights '{name}' have shape {found:?}, the network needs {expected:?}")]
    Shape {
        /// Name.
        name: String,
        /// Shape in the network.
        expected: Vec<usize>,
        /// Shape among the weights.
        found: Vec<usize>,
    },
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a safetensors file of 32-bit floats.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Weights {
    /// All parameters and buffers of `module`.
    #[must_use]
    pub fn of<M: Module>(module: &M) -> Self {
        let mut collect = Collect::default();
        module.visit(&mut collect);
        Self(collect.arrays)
    }

    /// Those whose name starts with `prefix`, under the same names.
    #[must_use]
    pub fn subset(&self, prefix: &str) -> Self {
        let part = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
        Self(part.map(|(n, a)| (n.clone(), a.clone())).collect())
    }

    /// Puts the weights into the tensors of `module` whose names start with `prefix` (all with an
    /// empty prefix); other tensors stay as they are.
    ///
    /// # Errors
    /// Missing, unexpected or misshapen tensors; `module` is lost then.
    pub fn load_into<M: Module>(&self, module: M, prefix: &str) -> Result<M, WeightsError> {
        let mut shapes = shapes(&module);
        shapes.retain(|name, _| name.starts_with(prefix));
        for (name, expected) in &shapes {
            let array = self
                .0
                .get(name)
                .ok_or_else(|| WeightsError::Missing { name: name.clone() })?;
            if array.shape != *expected {
                return Err(WeightsError::Shape {
                    name: name.clone(),
                    expected: expected.clone(),
                    found: array.shape.clone(),
                });
            }
        }
        if let Some(name) = self.0.keys().find(|n| !shapes.contains_key(*n)) {
            return Err(WeightsError::Unexpected { name: name.clone() });
        }
        Ok(module.map(&mut Replace {
            path: ModulePath::default(),
            weights: self,
        }))
    }

    /// The bytes of a safetensors file: the same weights give the same bytes.
    ///
    /// # Errors
    /// [`WeightsError::Format`] for shapes that do not fit their values.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WeightsError> {
        self.with_header(None)
    }

    fn with_header(
        &self,
        header: Option<HashMap<String, String>>,
    ) -> Result<Vec<u8>, WeightsError> {
        let format = |reason: String| WeightsError::Format {
            path: PathBuf::new(),
            reason,
        };
        let bytes: Vec<Vec<u8>> = self.0.values().map(|a| little_endian(&a.values)).collect();
        let mut views = Vec::with_capacity(self.0.len());
        for ((name, array), data) in self.0.iter().zip(&bytes) {
            let view = TensorView::new(Dtype::F32, array.shape.clone(), data)
                .map_err(|e| format(format!("'{name}': {e}")))?;
            views.push((name.as_str(), view));
        }
        safetensors::serialize(views, header).map_err(|e| format(e.to_string()))
    }

    /// Reads the bytes of a safetensors file of 32-bit floats. `path` is for messages.
    ///
    /// # Errors
    /// [`WeightsError::Format`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, WeightsError> {
        let format = |reason: String| WeightsError::Format {
            path: path.to_owned(),
            reason,
        };
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| format(format!("not a safetensors file: {e}")))?;
        let mut arrays = BTreeMap::new();
        for (name, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(format(format!("'{name}' is {:?}, not F32", view.dtype())));
            }
            let array = Array {
                shape: view.shape().to_vec(),
                values: floats(view.data()),
            };
            arrays.insert(name.to_owned(), array);
        }
        Ok(Self(arrays))
    }

    /// Writes a safetensors file, whole or not at all.
    ///
    /// # Errors
    /// [`WeightsError::File`].
    pub fn save(&self, path: &Path) -> Result<(), WeightsError> {
        write(path, &self.to_bytes()?)
    }

    /// [`save`](Self::save) with `text` under `name` in the header of the file.
    ///
    /// # Errors
    /// [`WeightsError::File`].
    pub fn save_with(&self, path: &Path, name: &str, text: &str) -> Result<(), WeightsError> {
        let header = HashMap::from([(name.to_owned(), text.to_owned())]);
        write(path, &self.with_header(Some(header))?)
    }

    /// Reads a safetensors file.
    ///
    /// # Errors
    /// [`WeightsError::File`] or [`WeightsError::Format`].
    pub fn load(path: &Path) -> Result<Self, WeightsError> {
        let bytes = std::fs::read(path).map_err(|source| WeightsError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(&bytes, path)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    write_whole(path, bytes).map_err(|source| WeightsError::File {
        path: path.to_owned(),
        source,
    })
}

/// Little-endian bytes of `values`.
pub(crate) fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Floats of little-endian `bytes`; an incomplete last one is dropped.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    let words = bytes.as_chunks::<4>().0;
    words.iter().map(|&w| f32::from_le_bytes(w)).collect()
}

/// Writes `bytes` to a scratch file beside `path`, syncs it and renames it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let mut scratch = tempfile::NamedTempFile::new_in(folder)?;
    scratch.write_all(bytes)?;
    scratch.as_file().sync_all()?;
    scratch.persist(path).map_err(|e| e.error)?;
    // The rename itself survives a crash only once the folder is on disk.
    File::open(folder)?.sync_all()
}

/// Where a visit stands in the module tree.
#[derive(Debug, Default)]
pub(crate) struct ModulePath(Vec<Option<String>>);

impl ModulePath {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        let part = match name {
            _ if container.starts_with("Enum:") => None,
            "gamma" => Some("weight".to_owned()),
            "beta" => Some("bias".to_owned()),
            other => Some(other.to_owned()),
        };
        self.0.push(part);
    }

    pub(crate) fn exit(&mut self) {
        self.0.pop();
    }

    pub(crate) fn name(&self) -> String {
        let parts: Vec<&str> = self.0.iter().flatten().map(String::as_str).collect();
        parts.join(".")
    }
}

/// Values of `tensor` on the host, row-major.
pub(crate) fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // `convert` makes the type certain, so that the conversion cannot fail; the empty vector would
    // be refused by every reader.
    let data = tensor.inner().into_data();
    data.try_to_vec_as::<f32>().unwrap_or_default()
}

#[derive(Default)]
struct Collect {
    path: ModulePath,
    arrays: BTreeMap<String, Array>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let array = Array {
            shape: tensor.dims().to_vec(),
            values: host_values(tensor),
        };
        self.arrays.insert(self.path.name(), array);
    }
}

/// Shapes of all parameters and buffers of `module` by name.
#[must_use]
pub fn shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = Shapes::default();
    module.visit(&mut shapes);
    shapes.shapes
}

#[derive(Default)]
struct Shapes {
    path: ModulePath,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for Shapes {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let shape = param.val().dims().to_vec();
        self.shapes.insert(self.path.name(), shape);
    }
}

struct Replace<'a> {
    path: ModulePath,
    weights: &'a Weights,
}

impl ModuleMapper for Replace<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(array) = self.weights.0.get(&self.path.name()) else {
            return param;
        };
        param.map(|tensor| {
            let data = TensorData::new(array.values.clone(), tensor.shape());
            Tensor::from_data(data, &tensor.device()).set_require_grad(tensor.is_require_grad())
        })
    }
}

/// Number of trainable values of `module`: buffers are not counted.
#[must_use]
pub fn trainable<M: Module>(module: &M) -> usize {
    struct Count(usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.0 += param.val().dims().iter().product::<usize>();
            }
        }
    }
    let mut count = Count(0);
    module.visit(&mut count);
    count.0
}
