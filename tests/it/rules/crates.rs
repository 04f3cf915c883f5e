//! Which crate may use which: the edges that ARCHITECTURE.md forbids do not appear.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// A crate and the crates (or their beginnings, with `*`) that it may not name as a dependency.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("entity", &["actix-*", "api", "migration", "service", "tests"]),
    ("migration", &["actix-*", "api", "entity", "service", "tests"]),
    ("service", &["actix-*", "api", "tests", "utoipa-actix-web", "utoipa-swagger-ui"]),
    ("api", &["entity", "migration", "sea-orm*", "sqlx*", "tests"]),
    ("tests", &[]),
];

/// Each crate of the workspace with what its Cargo.toml names.
fn direct() -> BTreeMap<String, Vec<String>> {
    let arguments = ["metadata", "--no-deps", "--locked", "--offline", "--format-version", "1"];
    let output = Command::new(env!("CARGO")).current_dir(super::root()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            (name(package), package["dependencies"].as_array().unwrap().iter().map(name).collect())
        })
        .collect()
}

#[test]
fn no_crate_uses_what_it_may_not() {
    let direct = direct();
    let known: Vec<_> = FORBIDDEN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert!(direct.keys().all(|name| known.contains(name)), "a crate without a law: {:?}", direct.keys());
    for (name, forbidden) in FORBIDDEN {
        for dependency in &direct[*name] {
            let is = |rule: &&str| match rule.strip_suffix('*') {
                Some(beginning) => dependency.starts_with(beginning),
                None => dependency == *rule,
            };
            assert!(!forbidden.iter().any(is), "{name} may not use {dependency}");
        }
    }
}

#[test]
fn migrations_know_nothing_else() {
    assert_eq!(direct()["migration"], ["sea-orm-migration"]);
}
