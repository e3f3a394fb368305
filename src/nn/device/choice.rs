//! A device as a user names it, and what the build and the machine say to it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::found::{cuda_devices, libtorch_cuda_devices};
use crate::plan::DeviceClass;

/// A device as a user asks for it: `auto`, `cpu`, `libtorch`, `libtorch:N`, `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The fastest device that the build and the machine have.
    #[default]
    Auto,
    /// The pure-Rust CPU device; always there.
    Cpu,
    /// libtorch on the CPU.
    Libtorch,
    /// libtorch on the CUDA device with this index.
    LibtorchCuda(usize),
    /// burn's own CUDA backend on the device with this index.
    Cuda(usize),
}

/// A device that cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DeviceError {
    /// Not a device name.
    #[error("'{0}' is not a device (auto, cpu, libtorch, libtorch:N, cuda, cuda:N)")]
    Unknown(String),
    /// The program was built without it.
    #[error(
        "device '{device}' needs a build with the cargo feature '{feature}' (cargo build --release --features {feature})"
    )]
    NotBuilt {
        /// As asked for.
        device: String,
        /// Cargo feature that provides it.
        feature: &'static str,
    },
    /// The build has it, the machine does not.
    #[error("device '{device}' is not present: {found} such device(s) found")]
    Absent {
        /// As asked for.
        device: String,
        /// How many there are.
        found: usize,
    },
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Libtorch => f.write_str("libtorch"),
            Self::LibtorchCuda(index) => write!(f, "libtorch:{index}"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(s: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(s.chars().take(80).collect());
        match s {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "libtorch" => Ok(Self::Libtorch),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let (kind, index) = s.split_once(':').ok_or_else(unknown)?;
                if index.is_empty() || !index.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(unknown());
                }
                let index = index.parse().map_err(|_| unknown())?;
                match kind {
                    "libtorch" => Ok(Self::LibtorchCuda(index)),
                    "cuda" => Ok(Self::Cuda(index)),
                    _ => Err(unknown()),
                }
            }
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = DeviceError;
    fn try_from(s: String) -> Result<Self, DeviceError> {
        s.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

impl DeviceChoice {
    /// The same choice with `auto` replaced by what it stands for here: a CUDA device through
    /// libtorch, else through burn's own backend, else libtorch on the CPU, else the pure-Rust CPU
    /// device. Opens nothing.
    #[must_use]
    pub fn resolve(self) -> Self {
        match self {
            Self::Auto if libtorch_cuda_devices().unwrap_or(0) > 0 => Self::LibtorchCuda(0),
            Self::Auto if cuda_devices().unwrap_or(0) > 0 => Self::Cuda(0),
            Self::Auto if cfg!(feature = "libtorch") => Self::Libtorch,
            Self::Auto => Self::Cpu,
            chosen => chosen,
        }
    }

    /// GPUs that a run may spread its stages over, as `CUDA_VISIBLE_DEVICES` names them: all that are
    /// visible for `auto`, none where a device was named.
    #[must_use]
    pub fn gpus(self) -> Vec<String> {
        let count = match (self, self.resolve()) {
            (Self::Auto, Self::LibtorchCuda(_)) => libtorch_cuda_devices(),
            (Self::Auto, Self::Cuda(_)) => cuda_devices(),
            _ => None,
        };
        visible(
            count.unwrap_or(0),
            std::env::var("CUDA_VISIBLE_DEVICES").ok().as_deref(),
        )
    }

    /// The same device in a process that sees one GPU only.
    #[must_use]
    pub fn alone(self) -> Self {
        match self.resolve() {
            Self::LibtorchCuda(_) => Self::LibtorchCuda(0),
            Self::Cuda(_) => Self::Cuda(0),
            other => other,
        }
    }

    /// The part of the choice that enters keys.
    #[must_use]
    pub fn class(self) -> DeviceClass {
        match self.resolve() {
            Self::Libtorch => DeviceClass::LibtorchCpu,
            Self::LibtorchCuda(_) => DeviceClass::LibtorchCuda,
            Self::Cuda(_) => DeviceClass::Cuda,
            Self::Cpu | Self::Auto => DeviceClass::CpuFlex,
        }
    }

    /// Whether the build has it, on whatever machine it is to be used.
    ///
    /// # Errors
    /// [`DeviceError::NotBuilt`].
    pub fn check_build(self) -> Result<(), DeviceError> {
        match self.check() {
            Err(DeviceError::Absent { .. }) => Ok(()),
            other => other,
        }
    }

    /// Whether the build and the machine have it, without opening it.
    ///
    /// # Errors
    /// [`DeviceError::NotBuilt`] or [`DeviceError::Absent`].
    pub fn check(self) -> Result<(), DeviceError> {
        let chosen = self.resolve();
        let not_built = |feature| DeviceError::NotBuilt {
            device: chosen.to_string(),
            feature,
        };
        let present = |index: usize, found: usize| {
            if index < found {
                Ok(())
            } else {
                Err(DeviceError::Absent {
                    device: chosen.to_string(),
                    found,
                })
            }
        };
        match chosen {
            Self::Auto | Self::Cpu => Ok(()),
            Self::Libtorch if cfg!(feature = "libtorch") => Ok(()),
            Self::Libtorch => Err(not_built("libtorch")),
            Self::LibtorchCuda(index) => present(
                index,
                libtorch_cuda_devices().ok_or_else(|| not_built("libtorch"))?,
            ),
            Self::Cuda(index) => present(index, cuda_devices().ok_or_else(|| not_built("cuda"))?),
        }
    }
}

/// Names of `count` GPUs, those of the list `named` where there is one: a name may be a number or a
/// UUID, and numbers need not begin at zero.
fn visible(count: usize, named: Option<&str>) -> Vec<String> {
    match named {
        Some(names) => names
            .split(',')
            .map(|name| name.trim().to_owned())
            .take(count)
            .collect(),
        None => (0..count).map(|i| i.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::open;
    use super::*;

    #[test]
    fn names_read_back() {
        for name in [
            "auto",
            "cpu",
            "libtorch",
            "libtorch:0",
            "libtorch:3",
            "cuda:1",
        ] {
            let choice: DeviceChoice = name.parse().unwrap();
            assert_eq!(choice.to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for bad in [
            "",
            "gpu",
            "cuda:",
            "cuda:-1",
            "cuda:x",
            "cpu:0",
            "libtorch:+1",
        ] {
            assert_eq!(
                bad.parse::<DeviceChoice>(),
                Err(DeviceError::Unknown(bad.to_owned()))
            );
        }
    }

    #[test]
    fn visible_gpus_keep_their_names() {
        assert_eq!(visible(2, None), ["0", "1"]);
        assert_eq!(visible(2, Some("3, GPU-5f")), ["3", "GPU-5f"]);
        // libtorch counts what is there, whatever the variable lists.
        assert_eq!(visible(1, Some("1,7")), ["1"]);
        assert!(visible(0, Some("0")).is_empty());
        assert!(DeviceChoice::Cpu.gpus().is_empty());
        assert_eq!(DeviceChoice::Cpu.alone(), DeviceChoice::Cpu);
        assert_eq!(DeviceChoice::Cuda(3).alone(), DeviceChoice::Cuda(0));
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert!(open(DeviceChoice::Cpu).is_ok());
        assert_eq!(DeviceChoice::Cpu.class(), DeviceClass::CpuFlex);
        assert!(open(DeviceChoice::Auto).is_ok());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_missing_backend_names_its_feature() {
        let error = open(DeviceChoice::Cuda(0)).unwrap_err();
        assert!(
            error.to_string().contains("cargo feature 'cuda'"),
            "{error}"
        );
    }

    #[cfg(not(feature = "libtorch"))]
    #[test]
    fn missing_libtorch_names_its_feature() {
        let error = open(DeviceChoice::LibtorchCuda(0)).unwrap_err();
        assert!(error.to_string().contains("'libtorch'"), "{error}");
        assert!(open(DeviceChoice::Libtorch).is_err());
    }
}
