//! The commands of docs/slurm.md, run and compared on a real Slurm.

use std::fs;
use std::path::Path;

use super::cluster::Cluster;

/// What the reader of the page runs.
const MANIFEST: &str = "experiments/quickstart.toml";

#[test]
fn the_page_about_slurm_does_what_it_says() {
    let Some(_cluster) = Cluster::find() else {
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = root.join("docs/slurm.md");
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().join("slurm.md");
    fs::copy(&page, &shown).unwrap();
    // Where the commands of `slurm.md` run.
    let project = folder.path().join("slurm.in");
    fs::create_dir_all(project.join("experiments")).unwrap();
    fs::copy(root.join(MANIFEST), project.join(MANIFEST)).unwrap();
    super::shown::run(&shown, &page);
}
