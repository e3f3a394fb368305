//! The committed smoke tables come out of the program byte for byte.

#[path = "smoke/project.rs"]
mod project;

#[test]
fn the_committed_smoke_tables_are_what_the_program_writes() {
    let folder = tempfile::tempdir().unwrap();
    project::copy(folder.path());
    let output = project::smoke(folder.path()).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    project::compare_tables(folder.path());
}
