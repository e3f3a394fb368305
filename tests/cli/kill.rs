//! Killing runner and workers at some moments loses nothing.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use super::project::Project;

/// Kills a process and all that it started.
fn kill_group(group: u32) {
    // SAFETY: sends a signal to a process group that this test made.
    unsafe {
        libc::kill(-(group as i32), libc::SIGKILL);
    }
}

#[test]
fn a_run_that_was_killed_again_and_again_ends_with_the_same_tables() {
    let quiet = Project::done();
    let killed = Project::tiny();
    for wait in [40, 150, 300, 500, 700, 900] {
        let mut child = killed
            .command(&["run", "tiny.toml", "--quiet"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        kill_group(child.id());
        child.wait().unwrap();
    }
    killed.run(&["run", "tiny.toml", "--quiet"]).expect(0);
    assert!(!quiet.tables().is_empty());
    assert_eq!(quiet.tables(), killed.tables());
}

#[test]
fn a_damaged_artifact_is_made_again_and_set_aside() {
    let project = Project::done();
    let before = project.tables();
    let plan = project.plan(&["tiny.toml"]);
    let stage = plan.iter().find(|s| s.kind == "evaluate").unwrap();
    let scores = project.artifact(stage).join("scores.json");
    let text = std::fs::read(&scores).unwrap();
    std::fs::write(&scores, &text[..text.len() / 2]).unwrap();
    let again = project.plan(&["tiny.toml"]);
    let found = again.iter().find(|s| s.key == stage.key).unwrap();
    assert_eq!(found.state, "missing");
    assert!(found.reason.contains("damaged"), "{}", found.reason);
    project.run(&["run", "tiny.toml", "--quiet"]).expect(0);
    assert_eq!(std::fs::read(&scores).unwrap(), text);
    assert!(project.path(".amlp/damaged").is_dir());
    assert_eq!(project.tables(), before);
}
