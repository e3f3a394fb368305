//! The devices of this build on this machine, for people.

use serde::Serialize;

use super::DeviceChoice;
use super::found::{cuda_devices, gpu, libtorch_cuda_devices};

/// One device, or a kind of device that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// What `--device` takes.
    pub device: String,
    /// Whether it can be used.
    pub usable: bool,
    /// Whether `auto` stands for it.
    pub auto: bool,
    /// What it is, or why it is not there.
    pub about: String,
    /// Threads that it works with, for CPU devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Bytes of memory in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Bytes of memory that are free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
}

/// All devices that a build can have: what is there, and what is missing and why.
#[must_use]
pub fn devices() -> Vec<DeviceInfo> {
    let auto = DeviceChoice::Auto.resolve();
    let mut all = vec![on_host(
        DeviceChoice::Cpu,
        "pure Rust, always there".to_owned(),
    )];
    match libtorch_cuda_devices() {
        None => all.push(missing(
            "libtorch",
            "not in this build: cargo feature 'libtorch'",
        )),
        Some(gpus) => {
            let version = option_env!("AMLP_LIBTORCH_VERSION").unwrap_or("of unknown version");
            all.push(on_host(
                DeviceChoice::Libtorch,
                format!("libtorch {version} on the CPU"),
            ));
            if gpus == 0 {
                let why = match option_env!("AMLP_LIBTORCH_CUDA") {
                    Some("1") => "no NVIDIA GPU that libtorch can use",
                    _ => {
                        "this libtorch is for CPUs only: scripts/libtorch --cuda, then build again"
                    }
                };
                all.push(missing("libtorch:0", why));
            }
            all.extend((0..gpus).map(|i| on_gpu(DeviceChoice::LibtorchCuda(i), i)));
        }
    }
    match cuda_devices() {
        None => all.push(missing("cuda:0", "not in this build: cargo feature 'cuda'")),
        Some(0) => all.push(missing("cuda:0", "no NVIDIA GPU, or no driver")),
        Some(gpus) => all.extend((0..gpus).map(|i| on_gpu(DeviceChoice::Cuda(i), i))),
    }
    for info in &mut all {
        info.auto = info.usable && info.device == auto.to_string();
    }
    all
}

fn missing(device: &str, why: &str) -> DeviceInfo {
    DeviceInfo {
        device: device.to_owned(),
        usable: false,
        auto: false,
        about: why.to_owned(),
        threads: None,
        memory: None,
        free: None,
    }
}

fn on_host(choice: DeviceChoice, about: String) -> DeviceInfo {
    let [memory, free] = ["MemTotal:", "MemAvailable:"].map(meminfo);
    DeviceInfo {
        usable: true,
        threads: Some(rayon::current_num_threads()),
        memory,
        free,
        ..missing(&choice.to_string(), &about)
    }
}

fn on_gpu(choice: DeviceChoice, index: usize) -> DeviceInfo {
    let gpu = gpu(index);
    let about = gpu.as_ref().map_or("NVIDIA GPU", |gpu| gpu.name.as_str());
    DeviceInfo {
        usable: true,
        memory: gpu.as_ref().map(|gpu| gpu.memory),
        free: gpu.as_ref().map(|gpu| gpu.free),
        ..missing(&choice.to_string(), about)
    }
}

/// A field of `/proc/meminfo` in bytes.
fn meminfo(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_what_can_be_opened_and_says_what_is_missing() {
        let all = devices();
        assert_eq!(all[0].device, "cpu");
        assert_eq!(all.iter().filter(|info| info.auto).count(), 1);
        for info in &all {
            let choice: DeviceChoice = info.device.parse().unwrap();
            assert_eq!(choice.check().is_ok(), info.usable, "{info:?}");
            assert!(info.usable || info.about.len() > 20, "{info:?}");
        }
        for kind in ["libtorch", "cuda:0"] {
            assert!(all.iter().any(|info| info.device == kind), "{kind}");
        }
    }
}
