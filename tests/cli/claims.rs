//! `claims`: what is said of results that are there, missing, made up.

use std::fs;

use amlp_run::stage::Evaluation;
use serde_json::Value;

use super::project::{AMLP, Project, SUP, TINY};

/// The tiny study on one column with three seeds, and a claim in each direction.
fn manifest() -> String {
    let study = TINY
        .replace("seeds = [1]", "seeds = [1, 2, 3]")
        .replace("\"hecktor/CT\", \"brats2018/T2\"", "\"hecktor/CT\"")
        .replace("labels = [50, 100]", "labels = [50]");
    let claims = r#"
[[study.claim]]
text = "AMLP outperforms Sup"
best = "AMLP"

[[study.claim]]
text = "AMLP is close to Sup"
order = ["AMLP", "Sup"]
within = 0.5

[[study.claim]]
text = "pre-training does harm"
order = ["Sup", "AMLP"]
margin = 0.01
"#;
    format!("{study}{SUP}{AMLP}{claims}")
}

/// Puts made-up Dice scores in the place of those that a row got: a dozen patients around `mean`.
fn make_up(project: &Project, row: &str, mean: f64) {
    let table = fs::read_to_string(project.path("results/tiny/paper/table_T.csv")).unwrap();
    let line = table
        .lines()
        .find(|l| l.contains(&format!(",{row},DSC,")))
        .unwrap();
    let keys = line.split(',').find(|f| f.contains(';') && f.len() > 64);
    for (seed, key) in keys.unwrap().split(';').enumerate() {
        let path = project.path(&format!(".amlp/store/evaluate/{key}/scores.json"));
        let mut scores: Evaluation =
            serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let first = scores.cases[0].clone();
        scores.cases = (0..12)
            .map(|i| {
                let mut case = first.clone();
                case.case = format!("made-up-{i:02}");
                let own = 0.001 * (i * (seed + 2) % 5) as f64;
                for region in &mut case.regions {
                    region.slices.clear();
                    region.volume.dsc = Some(mean + 0.02 * i as f64 + own);
                }
                case
            })
            .collect();
        // The store knows how long the file is.
        let length = fs::metadata(&path).unwrap().len() as usize;
        let text = serde_json::to_string(&scores).unwrap();
        assert!(text.len() <= length, "{} of {length}", text.len());
        fs::write(&path, format!("{text:<length$}")).unwrap();
    }
}

fn verdicts(value: &Value) -> Vec<&str> {
    let claims = value.as_array().unwrap().iter();
    claims.map(|c| c["verdict"].as_str().unwrap()).collect()
}

#[test]
fn claims_are_judged_on_what_is_in_the_store() {
    let project = Project::empty();
    project.write("tiny.toml", &manifest());
    project.run(&["claims", "tiny.toml"]).expect(3).shows(&[
        "- missing: AMLP outperforms Sup",
        "AMLP: not run",
        "3 claims: 0 supported, 0 contradicted, 0 undecided, 3 missing.",
    ]);

    project.run(&["run", "tiny.toml", "--quiet"]).expect(0);
    let before = project.records();
    // Two test patients decide nothing.
    project.run(&["claims", "tiny.toml"]).expect(0).shows(&[
        "Table T (tiny, profile paper)",
        "? undecided: AMLP outperforms Sup",
        "    AMLP > each of Sup on DSC",
        "2 test cases are too few for p < 0.05, however many seeds",
        "    on phantoms: says nothing about the paper",
        "    no published numbers to compare",
        "? phantom-hecktor/CT, 50 %",
        "3 seeds, 2 cases",
        "All claims are judged on synthetic images: they test this program",
    ]);

    make_up(&project, "AMLP", 0.60);
    make_up(&project, "Sup", 0.50);
    let ran = project
        .run(&["claims", "tiny.toml", "--format", "json"])
        .expect(5);
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(verdicts(&value), ["supported", "supported", "contradicted"]);
    let claim = &value[0];
    assert_eq!(claim["kind"], "best");
    assert_eq!(claim["phantom"], true);
    let evidence = &claim["comparisons"][0]["evidence"];
    assert_eq!(
        (&evidence["cases"], &evidence["seeds"][2]),
        (&12.into(), &3.into())
    );
    assert!(
        (evidence["effect"].as_f64().unwrap() - 0.1).abs() < 0.002,
        "{evidence}"
    );
    project.run(&["claims", "tiny.toml"]).expect(5).shows(&[
        "✓ supported: AMLP is close to Sup",
        "✗ contradicted: pre-training does harm",
        "Sup > AMLP on DSC, by more than 0.01",
    ]);
    project
        .run(&["claims", "tiny.toml", "--format", "csv"])
        .expect(5)
        .shows(&[",T,AMLP outperforms Sup,best,DSC,0,every,supported,,true,AMLP,Sup,"]);

    // One seed is not enough, and a row less leaves no claim.
    let ran = project.run(&["claims", "tiny.toml", "--only", "seed=2"]);
    ran.expect(0)
        .shows(&["one seed tells nothing of the spread between seeds"]);
    let ran = project.run(&["claims", "tiny.toml", "--only", "method=AMLP"]);
    assert_eq!(ran.expect(0).out, "no claims\n");
    assert_eq!(project.records(), before, "judging makes nothing");
}
