//! Mixed precision: activations and convolutions in half the precision, everything else in single.
//!
//! Weights stay in single precision and are rounded where they are used; so do normalisation
//! statistics, losses, gradients of weights and the optimiser. A network has a switch for it that is
//! off in [`valid`](burn::module::Module::valid) copies and in frozen networks: those compute in
//! single precision.

use burn::module::{Flag, Module, ModuleMapper, Param};

use crate::options::ComputePrecision;

/// Name of the switch in a network.
const SWITCH: &str = "bf16";

/// `module` with every network in it computing in `precision` while it trains.
#[must_use]
pub fn set_precision<M: Module>(module: M, precision: ComputePrecision) -> M {
    module.map(&mut Set {
        path: Vec::new(),
        on: precision == ComputePrecision::Bf16,
    })
}

struct Set {
    path: Vec<String>,
    on: bool,
}

impl ModuleMapper for Set {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        if self.path.last().is_some_and(|name| name == SWITCH) {
            flag.with_value(self.on)
        } else {
            flag
        }
    }
}
