//! Arrows point down only: which crate of the house may build on which.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Each crate of the house, lowest first, and the crates that it may be built from. Only crates above a line
/// may appear in it, so that an arrow can never point up.
const ARROWS: &[(&str, &[&str])] = &[
    ("endspan-model", &[]),
    ("endspan-spool", &[]),
    ("endspan-wire", &["endspan-model"]),
    ("endspan-otlp", &["endspan-model"]),
    ("endspan", &["endspan-model", "endspan-wire", "endspan-otlp", "endspan-spool"]),
    ("endspan-redaction", &["endspan-model"]),
    ("endspan-store", &["endspan-model"]),
    ("endspan-store-embedded", &["endspan-model", "endspan-store"]),
    ("endspan-store-postgres", &["endspan-model", "endspan-store"]),
    ("endspan-ui", &[]),
    (
        "endspan-server",
        &[
            "endspan-model",
            "endspan-wire",
            "endspan-otlp",
            "endspan-redaction",
            "endspan-store",
            "endspan-ui",
        ],
    ),
    (
        "endspan-cli",
        &[
            "endspan",
            "endspan-model",
            "endspan-otlp",
            "endspan-redaction",
            "endspan-server",
            "endspan-spool",
            "endspan-store",
            "endspan-store-embedded",
            "endspan-store-postgres",
            "endspan-wire",
        ],
    ),
];

/// Members that nothing may build on: tools, benchmarks and bindings stand outside and may use everything.
/// Tests may use them (development dependencies are not looked at).
const OUTSIDE: &[&str] = &["endspan-testkit", "endspan-fuzz", "endspan-bench", "endspan-python"];

/// Returns each member of the workspace with the members that it is built from.
fn members() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo answers JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &serde_json::Value| value["name"].as_str().expect("a name").to_owned();
    let all: BTreeSet<String> = packages.iter().map(name).collect();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
            let built_from = dependencies.filter(|dependency| dependency["kind"] != "dev").map(name);
            (name(package), built_from.filter(|name| all.contains(name)).collect())
        })
        .collect()
}

#[test]
fn the_table_itself_points_down() {
    let mut below = BTreeSet::new();
    for (name, built_from) in ARROWS {
        assert!(built_from.iter().all(|lower| below.contains(lower)), "{name} may only name crates above it");
        below.insert(*name);
    }
}

#[test]
fn every_arrow_between_crates_points_down() {
    for (name, built_from) in members() {
        if OUTSIDE.contains(&name.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            panic!("{name} has no place in ARROWS: say what it may be built from");
        };
        for lower in &built_from {
            assert!(allowed.contains(&lower.as_str()), "{name} must not be built from {lower}");
        }
    }
}
