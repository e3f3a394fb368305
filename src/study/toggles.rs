//! The short toggles (`mps`, `amr`, `crcl`, `rrl`, `ccl`, `preset`, `clustering`) applied to the
//! options of AMLP (`methods/masked.md` sections 2.7 and 2.10).

use crate::manifest::{Preset, Settings, Table};
use crate::options::{AmlpOptions, CclMode, CclOptions, RrlMode, RrlOptions};

/// The options of AMLP with the toggles applied. `tree` tells which loss modes were
/// written out: those win over the preset.
pub(super) fn amlp_options(settings: &Settings, tree: &Table) -> AmlpOptions {
    let mut options = settings.amlp.clone();
    let rrl_written = written(tree, "rrl");
    let ccl_written = written(tree, "ccl");
    match settings.preset {
        Preset::Amlp => {}
        Preset::PaperLiteral => {
            if !ccl_written {
                options.ccl.mode = CclMode::Literal;
            }
        }
        Preset::FullyLiteral => {
            if !rrl_written {
                options.rrl.mode = RrlMode::Literal;
            }
            if !ccl_written {
                options.ccl.mode = CclMode::Literal;
            }
        }
    }
    if let Some(on) = settings.mps {
        options.mps.enabled = on;
    }
    if let Some(on) = settings.amr {
        options.amr.enabled = on;
    }
    if let Some(method) = settings.clustering {
        options.cluster.method = method;
    }
    for toggle in [settings.crcl, settings.rrl] {
        match toggle {
            Some(false) => options.rrl.mode = RrlMode::Off,
            Some(true) if options.rrl.mode == RrlMode::Off => {
                options.rrl.mode = RrlOptions::default().mode;
            }
            _ => {}
        }
    }
    for toggle in [settings.crcl, settings.ccl] {
        match toggle {
            Some(false) => options.ccl.mode = CclMode::Off,
            Some(true) if options.ccl.mode == CclMode::Off => {
                options.ccl.mode = CclOptions::default().mode;
            }
            _ => {}
        }
    }
    options
}

fn written(tree: &Table, loss: &str) -> bool {
    tree.get("amlp")
        .and_then(|n| n.as_table())
        .and_then(|t| t.get(loss))
        .and_then(|n| n.as_table())
        .is_some_and(|t| t.get("mode").is_some())
}
