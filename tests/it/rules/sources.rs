//! Rules of style and of the doors that sources may not go round.

use std::collections::BTreeMap;

use super::{files, product, root};

const LONGEST: usize = 500;
const NAMES: [&str; 8] = ["utils", "util", "helpers", "helper", "common", "types", "misc", "shared"];

/// Where a database's name may stand beside `service/src/db/dialect.rs`: to connect, to migrate, and
/// to know how many may write at once.
const DIALECTS: [&str; 4] = [
    "migration/src/ddl.rs",
    "service/src/db/connect.rs",
    "service/src/db/migrate.rs",
    "service/src/engine/commit.rs",
];

#[test]
fn every_file_has_a_telling_name_and_a_readable_length() {
    for source in files(&["*.rs"]) {
        let lines = source.text.lines().count();
        assert!(lines <= LONGEST, "{} has {lines} lines: make it a folder", source.path);
        let names = source.path.trim_end_matches(".rs").split('/');
        assert!(!names.into_iter().any(|name| NAMES.contains(&name)), "{}: what is in it?", source.path);
    }
}

#[test]
fn every_module_says_what_it_owns() {
    for source in product() {
        assert!(source.text.starts_with("//! "), "{} does not begin with //!", source.path);
    }
}

#[test]
fn lints_are_silenced_with_a_reason() {
    for source in files(&["*/src/**.rs"]) {
        let bare = ["#[allow(", "#![allow("].iter().any(|attribute| source.text.contains(attribute));
        assert!(!bare, "{}: use #[expect(…, reason = \"…\")]", source.path);
        for attribute in source.text.split("#[expect(").skip(1) {
            let attribute = attribute.split(")]").next().unwrap_or_default();
            assert!(
                attribute.contains("reason = "),
                "{}: #[expect({attribute})] gives no reason",
                source.path
            );
        }
    }
}

#[test]
fn a_row_is_never_serialised() {
    for source in files(&["entity/src/**.rs"]) {
        let Some((before, _)) = source.text.split_once("pub struct Model ") else { continue };
        let derives = before.rsplit("#[derive(").next().unwrap_or_default();
        assert!(!derives.contains("Serialize") && !derives.contains("ToSchema"), "{}", source.path);
    }
}

#[test]
fn one_file_knows_the_dialects() {
    for source in product() {
        let names = ["Dialect::Sqlite", "Dialect::Postgres", "DbBackend::", "DatabaseBackend::"];
        let knows = names.iter().any(|name| source.text.contains(name));
        let may = source.path == "service/src/db/dialect.rs" || DIALECTS.contains(&source.path.as_str());
        assert!(!knows || may, "{} asks which database it talks to", source.path);
    }
}

/// What belongs to a workspace is recorded by its entity, which knows where it belongs; a name would not.
#[test]
fn what_has_a_place_is_not_recorded_by_its_name() {
    let entities = files(&["entity/src/**.rs"]);
    let declared = entities.iter().flat_map(|source| source.text.lines()).filter(|line| {
        line.starts_with("crate::scope::") && (line.contains("within") || line.contains("frame "))
    });
    let placed: Vec<&str> = declared.filter_map(|line| line.split('"').nth(1)).collect();
    assert!(placed.len() > 15, "{placed:?}");
    for source in product() {
        for named in source.text.split("Change::to(\"").skip(1) {
            let kind = named.split('"').next().unwrap_or_default();
            assert!(!placed.contains(&kind), "{}: use Change::of for a {kind}", source.path);
        }
    }
}

/// The escape from tenant scope, counted where it is used.
#[test]
fn the_escape_from_tenant_scope_does_not_spread() {
    let listed = root().join("tests/it/rules/system_callers.txt");
    let listed = std::fs::read_to_string(listed).unwrap();
    let listed: BTreeMap<_, usize> = listed
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            line.split_once(' ').map(|(count, path)| (path.to_owned(), count.parse().unwrap())).unwrap()
        })
        .collect();
    let count = |text: &str| {
        text.matches("system(Reason::").count() + text.matches("system(service::db::Reason::").count()
    };
    let found: BTreeMap<_, usize> = product()
        .iter()
        .map(|source| (source.path.clone(), count(&source.text)))
        .filter(|(_, count)| *count > 0)
        .collect();
    for (path, count) in &found {
        let may = listed.get(path).copied().unwrap_or(0);
        assert!(
            *count <= may,
            "{path} leaves tenant scope {count} times, {may} are listed: use the tenant's store"
        );
    }
    assert_eq!(found, listed, "the list in system_callers.txt may shrink");
}
