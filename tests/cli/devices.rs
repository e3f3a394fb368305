//! `devices`, and what is said about a device that is not there.

use super::project::Project;

#[test]
fn devices_are_listed_and_what_is_missing_has_a_reason() {
    let project = Project::empty();
    let text = project.run(&["devices"]).expect(0).out;
    let line = |name: &str| {
        text.lines()
            .find(|line| line.split_whitespace().nth(1) == Some(name))
            .unwrap_or_else(|| panic!("no line for {name} in\n{text}"))
            .to_owned()
    };
    assert!(line("cpu").contains("thread") && line("cpu").contains("GiB"));
    if !cfg!(feature = "cuda") {
        assert!(line("cuda:0").contains("cargo feature 'cuda'"));
    }
    let json = project.run(&["devices", "--format", "json"]).expect(0).out;
    let all: serde_json::Value = serde_json::from_str(&json).unwrap();
    let auto: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .filter(|device| device["auto"] == true)
        .collect();
    assert_eq!(auto.len(), 1);
    let expected = if cfg!(feature = "libtorch") {
        "libtorch"
    } else {
        "cpu"
    };
    assert!(auto[0]["device"].as_str().unwrap().starts_with(expected));
}
