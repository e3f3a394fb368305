//! `run --engine slurm`: with programs that pretend to be Slurm's, and with a real Slurm of two
//! nodes where `.ci/slurm` has brought one up (it says so in `AMLP_SLURM`).

#[path = "slurm/cluster.rs"]
mod cluster;
#[path = "slurm/page.rs"]
mod page;
#[path = "slurm/pretended.rs"]
mod pretended;
#[allow(dead_code)]
#[path = "cli/project.rs"]
mod project;
#[path = "slurm/real.rs"]
mod real;
#[path = "documentation/page.rs"]
mod shown;
