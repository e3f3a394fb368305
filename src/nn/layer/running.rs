//! A running statistic: a buffer that the forward pass updates.

use std::sync::Mutex;

use burn::module::{Content, Module, ModuleDisplay, ModuleDisplayDefault};
use burn::module::{Devices, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};

/// A tensor that follows the module, takes no part in gradients and is updated behind `&self`.
///
/// Differs from burn's `RunningState` in two points: a clone owns its value (an averaged teacher
/// cannot write into its student), and an update is visible at once (a record holds the last
/// one). The value is always a plain tensor, without autodiff.
#[derive(Debug)]
pub struct Running {
    id: ParamId,
    value: Mutex<Tensor<1>>,
}

impl Running {
    /// A buffer that takes over identity and value of `param`.
    #[must_use]
    pub fn new(param: Param<Tensor<1>>) -> Self {
        let (id, value, _) = param.consume();
        Self::with_id(id, value)
    }

    fn with_id(id: ParamId, value: Tensor<1>) -> Self {
        Self {
            id,
            value: Mutex::new(value.inner()),
        }
    }

    /// The value, a plain tensor.
    #[must_use]
    pub fn value(&self) -> Tensor<1> {
        self.lock().clone()
    }

    /// Replaces the value; graph and autodiff association of `value` are dropped.
    pub fn set(&self, value: Tensor<1>) {
        *self.lock() = value.inner();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tensor<1>> {
        // A panic while the lock was held cannot have left half a tensor behind: an update is one
        // assignment.
        self.value
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn into_parts(self) -> (ParamId, Tensor<1>) {
        let value = self
            .value
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        (self.id, value)
    }
}

impl Clone for Running {
    fn clone(&self) -> Self {
        Self::with_id(self.id, self.value())
    }
}

impl Module for Running {
    fn collect_devices(&self, mut devices: Devices) -> Devices {
        let device = self.value().device();
        if !devices.contains(&device) {
            devices.push(device);
        }
        devices
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn to_device(self, device: &Device) -> Self {
        let (id, value) = self.into_parts();
        Self::with_id(id, value.to_device(device))
    }

    fn train(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        self.clone()
    }

    fn materialize(self) -> Self {
        self
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_float(&Param::initialized(self.id, self.value()));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let (id, value) = self.into_parts();
        // A loaded record brings its own identity: it is kept, as for a parameter.
        let (id, value, _) = mapper.map_float(Param::initialized(id, value)).consume();
        Self::with_id(id, value)
    }
}

impl std::fmt::Display for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Running(id={})", self.id)
    }
}

impl ModuleDisplayDefault for Running {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&self.to_string()).optional()
    }
}

impl ModuleDisplay for Running {}
