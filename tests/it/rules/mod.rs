//! The laws that no compiler checks, read from the sources, the crates' metadata and the migrated
//! schema. A list of exceptions in here may only shrink.

mod crates;
mod erasure;
mod floors;
mod openapi;
mod personal_data;
mod places;
mod schema;
mod sealed;
mod settings;
mod sources;
mod sqlite;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file of the repository, by its path from the root.
struct Source {
    path: String,
    text: String,
}

/// What is committed, or would be, and is text.
fn files(matching: &[&str]) -> Vec<Source> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "--"];
    let listed = Command::new("git").current_dir(root()).args(arguments).args(matching).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let paths = String::from_utf8(listed.stdout).unwrap();
    let read = |path: &str| {
        Some(Source { path: path.to_owned(), text: std::fs::read_to_string(root().join(path)).ok()? })
    };
    let files: Vec<_> = paths.lines().filter_map(read).collect();
    assert!(!files.is_empty(), "{matching:?} names no file");
    files
}

/// The sources of the product, without its tests.
fn product() -> Vec<Source> {
    let is_test = |path: &str| path.ends_with("/tests.rs") || path.contains("/tests/");
    files(&["*/src/**.rs"]).into_iter().filter(|source| !is_test(&source.path)).collect()
}
