//! `phantom`: synthetic patients in a data set's own layout.

use super::args::{PhantomArg, PhantomArgs};
use super::exit::{CliError, ExitStatus};
use crate::data::phantom::write_phantoms;
use crate::options::{PhantomKind, PhantomOptions};

pub(super) fn phantom(args: &PhantomArgs) -> Result<ExitStatus, CliError> {
    if args.cases == 0 {
        return Err(CliError::usage("--cases must be at least 1"));
    }
    if !(0.1..=1.0).contains(&args.scale) {
        return Err(CliError::usage(format!(
            "--scale {} is out of range: 0.1 to 1",
            args.scale
        )));
    }
    if args.out.read_dir().is_ok_and(|mut d| d.next().is_some()) {
        return Err(
            CliError::usage(format!("{} is not empty", args.out.display()))
                .hint("phantoms go into a folder of their own"),
        );
    }
    let options = PhantomOptions {
        kind: match args.kind {
            PhantomArg::Brats2018 => PhantomKind::Brats2018,
            PhantomArg::Hecktor2020 => PhantomKind::Hecktor2020,
            PhantomArg::Abd110 => PhantomKind::Abd110,
        },
        cases: args.cases,
        scale: args.scale,
        seed: args.seed,
    };
    write_phantoms(&options, &args.out).map_err(CliError::internal)?;
    println!(
        "{} synthetic patients in {}",
        args.cases,
        args.out.display()
    );
    Ok(ExitStatus::Done)
}
