//! The same room on every floor: a handler's file is called after its path, and the service has a file
//! of the same name in the same domain.

use std::collections::BTreeSet;

use super::{Source, files, root};

/// Handlers whose path does not begin with their resource: a sign-in makes a session.
const ELSEWHERE: [(&str, &str); 6] = [
    ("model_prices", "/v1/built-in-model-prices"),
    ("tool_invocations", "/v1/tools/{id}/invoke"),
    ("sessions", "/v1/auth/login"),
    ("sessions", "/v1/auth/refresh"),
    ("sessions", "/v1/auth/logout"),
    ("jwks", "/.well-known/jwks.json"),
];

/// What proves who somebody is, is a way to sign in, or concerns one's own account.
const PROOFS: [&str; 4] = ["accounts", "second_factors", "team_invites", "verification_tokens"];
const OF_PEOPLE: [&str; 2] = ["/v1/auth/", "/v1/me/"];

/// Files of `api` that have no file of that name in `service`: the caller's own view of a resource,
/// and the keys of `auth/`.
const ALONE: [&str; 2] = ["identity/jwks", "identity/tenant"];

/// Handlers as (domain, file, method, path).
fn handlers(sources: &[Source]) -> Vec<(&str, &str, &str, &str)> {
    let mut found = Vec::new();
    for source in sources {
        let inside = source.path.strip_prefix("api/src/v1/").unwrap().strip_suffix(".rs").unwrap();
        let (domain, file) = inside.split_once('/').unwrap_or(("", inside));
        for method in ["get", "post", "put", "patch", "delete"] {
            for rest in source.text.split(&format!("\n#[{method}(\"")).skip(1) {
                found.push((domain, file, method, rest.split('"').next().unwrap()));
            }
        }
    }
    found
}

/// The names that a file with this path may have: `/v1/agents/{id}/versions` is in `agents` or in
/// `agent_versions`.
fn names(path: &str) -> BTreeSet<String> {
    let snake = |segment: &str| segment.replace('-', "_");
    let mut fixed = path.split('/').skip(2).filter(|segment| !segment.starts_with('{')).map(snake);
    let first = fixed.next().unwrap_or_default();
    let last_word = first.rsplit('_').next().unwrap_or_default();
    let mut names = BTreeSet::from([first.clone()]);
    if let Some(second) = fixed.next() {
        for owner in [&first[..], last_word] {
            let singular = owner.strip_suffix('s').unwrap_or(owner);
            names.insert(format!("{singular}_{second}"));
        }
    }
    names
}

#[test]
fn every_operation_is_in_the_file_that_its_path_names() {
    let sources = files(&["api/src/v1/**.rs"]);
    let handlers = handlers(&sources);
    assert_eq!(handlers.len(), api::openapi::operations().len());
    for (domain, file, method, path) in handlers {
        if domain.is_empty() {
            assert!(!path.starts_with("/v1/"), "{method} {path} belongs to a domain");
            continue;
        }
        let proves = PROOFS.contains(&file) && OF_PEOPLE.iter().any(|begin| path.starts_with(begin));
        let elsewhere = proves || ELSEWHERE.contains(&(file, path));
        assert!(elsewhere || names(path).contains(file), "{method} {path} is in {domain}/{file}.rs");
    }
}

#[test]
fn every_resource_has_the_same_name_in_the_service() {
    let sources = files(&["api/src/v1/*/*.rs"]);
    let inside = sources.iter().map(|source| source.path["api/src/v1/".len()..].trim_end_matches(".rs"));
    let resources = inside.filter(|inside| !inside.ends_with("/mod"));
    let is_alone = |inside: &&str| {
        let service = root().join("service/src").join(inside);
        !service.with_extension("rs").exists() && !service.join("mod.rs").exists()
    };
    assert_eq!(resources.filter(is_alone).collect::<Vec<_>>(), ALONE);
}
