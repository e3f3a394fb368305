//! What jobs ask Slurm for. No part of any key: where a stage runs does not change what it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Two tables of the same requests: that of all jobs, which has some more, and that of some jobs.
macro_rules! requests {
    ($( $(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $fname:ident : $fty:ty,)* } )*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
            #[serde(default, deny_unknown_fields)]
            pub struct $name {
                /// Partition (`--partition`); the cluster's default where absent.
                pub partition: Option<String>,
                /// Account to charge (`--account`).
                pub account: Option<String>,
                /// Quality of service (`--qos`).
                pub qos: Option<String>,
                /// Time limit, in Slurm's form: `90` (minutes), `12:00:00`, `2-00:00:00`.
                pub time: Option<String>,
                /// Memory of a job: `16G`.
                pub memory: Option<String>,
                /// Cores of a job, which are also its threads.
                pub cpus: Option<u32>,
                /// GPUs of a job. Where it stands for all jobs it means those that compute on the
                /// device: trainings and evaluations.
                pub gpus: Option<u32>,
                /// Type of the GPUs: `a100`.
                pub gpu_type: Option<String>,
                /// Further options of sbatch, one each: `--constraint=a100`.
                pub extra: Option<Vec<String>>,
                /// Lines of the script before the work: `module load cuda`.
                pub setup: Option<Vec<String>>,
                $($(#[$fmeta])* pub $fname: $fty,)*
            }
        )*
    };
}

requests! {
    /// What some jobs ask for instead.
    SlurmRequest {}

    /// What jobs ask Slurm for, and how they are cut.
    SlurmOptions {
        /// Seconds before the time limit at which a training writes its checkpoint, to go on from
        /// there in a new term of its job; 120 where absent.
        warn_seconds: Option<u32>,
        /// Most jobs in one array; 1000 where absent.
        max_jobs_in_array: Option<u32>,
        /// For the jobs of stages that compute on no device: phantoms, splits, preparation,
        /// clustering, tables.
        cheap: Option<SlurmRequest>,
        /// For pre-training.
        pretrain: Option<SlurmRequest>,
        /// For fine-tuning, with the evaluations of what it makes.
        finetune: Option<SlurmRequest>,
    }
}

/// Which table of requests a job takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SlurmJobKind {
    /// `[slurm.cheap]`
    Cheap,
    /// `[slurm.pretrain]`
    Pretrain,
    /// `[slurm.finetune]`
    Finetune,
}

impl SlurmOptions {
    /// What a job of `kind` asks for: its own table over the one of all jobs. Cheap jobs ask for
    /// GPUs only where their own table says so.
    #[must_use]
    pub fn request(&self, kind: SlurmJobKind) -> SlurmRequest {
        let own = match kind {
            SlurmJobKind::Cheap => &self.cheap,
            SlurmJobKind::Pretrain => &self.pretrain,
            SlurmJobKind::Finetune => &self.finetune,
        };
        let own = own.clone().unwrap_or_default();
        let gpus = match kind {
            SlurmJobKind::Cheap => None,
            SlurmJobKind::Pretrain | SlurmJobKind::Finetune => self.gpus,
        };
        SlurmRequest {
            partition: own.partition.or_else(|| self.partition.clone()),
            account: own.account.or_else(|| self.account.clone()),
            qos: own.qos.or_else(|| self.qos.clone()),
            time: own.time.or_else(|| self.time.clone()),
            memory: own.memory.or_else(|| self.memory.clone()),
            cpus: own.cpus.or(self.cpus),
            gpus: own.gpus.or(gpus),
            gpu_type: own.gpu_type.or_else(|| self.gpu_type.clone()),
            extra: own.extra.or_else(|| self.extra.clone()),
            setup: own.setup.or_else(|| self.setup.clone()),
        }
    }

    /// Seconds before the time limit at which a job is warned.
    #[must_use]
    pub fn warning(&self) -> u32 {
        self.warn_seconds.unwrap_or(120)
    }

    /// Most jobs in one array.
    #[must_use]
    pub fn array_limit(&self) -> u32 {
        self.max_jobs_in_array.unwrap_or(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_takes_its_own_table_over_that_of_all() {
        let options = SlurmOptions {
            partition: Some("gpu".to_owned()),
            cpus: Some(8),
            gpus: Some(1),
            cheap: Some(SlurmRequest {
                partition: Some("cpu".to_owned()),
                ..SlurmRequest::default()
            }),
            ..SlurmOptions::default()
        };
        let cheap = options.request(SlurmJobKind::Cheap);
        assert_eq!(cheap.partition.as_deref(), Some("cpu"));
        assert_eq!((cheap.cpus, cheap.gpus), (Some(8), None));
        let training = options.request(SlurmJobKind::Pretrain);
        assert_eq!(training.partition.as_deref(), Some("gpu"));
        assert_eq!((training.cpus, training.gpus), (Some(8), Some(1)));
    }
}
