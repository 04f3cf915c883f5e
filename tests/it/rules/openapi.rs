//! The committed document is the one that the handlers make.

#[test]
fn the_committed_document_is_current() {
    let committed = std::fs::read_to_string(super::root().join("openapi.yaml")).unwrap_or_default();
    let made = api::openapi::yaml().unwrap();
    let first = committed.lines().zip(made.lines()).position(|(committed, made)| committed != made);
    assert!(
        committed == made,
        "openapi.yaml is not what the handlers say (from line {}). Run: cargo run -p api -- openapi > openapi.yaml",
        first.unwrap_or_else(|| committed.lines().count().min(made.lines().count())) + 1
    );
}
