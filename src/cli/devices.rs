//! `devices`: what `--device` can name here.

use super::args::{DevicesArgs, Format};
use super::exit::{CliError, ExitStatus};
use crate::nn::device::{DeviceInfo, devices as found};

pub(super) fn devices(args: &DevicesArgs) -> Result<ExitStatus, CliError> {
    let all = found();
    if args.format == Format::Json {
        println!(
            "{}",
            serde_json::to_string(&all).map_err(CliError::internal)?
        );
        return Ok(ExitStatus::Done);
    }
    for info in &all {
        println!("{}", line(info));
    }
    Ok(ExitStatus::Done)
}

fn line(info: &DeviceInfo) -> String {
    const GIB: f64 = (1u64 << 30) as f64;
    let mut words = vec![info.about.clone()];
    if let Some(threads) = info.threads {
        words.push(match threads {
            1 => "1 thread".to_owned(),
            n => format!("{n} threads"),
        });
    }
    if let (Some(memory), Some(free)) = (info.memory, info.free) {
        words.push(format!(
            "{:.1} GiB, {:.1} free",
            memory as f64 / GIB,
            free as f64 / GIB
        ));
    }
    let mark = match (info.usable, info.auto) {
        (_, true) => "*",
        (true, false) => "+",
        (false, false) => "-",
    };
    format!("{mark} {:<12} {}", info.device, words.join(", "))
}
