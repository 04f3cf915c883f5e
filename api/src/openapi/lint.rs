//! What a document that clients are generated from may not lack. The library writes an invalid
//! document without a word; these tests are that word.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{document, operations};

fn json() -> Value {
    serde_json::to_value(document()).unwrap()
}

/// Each operation with `METHOD /path`.
fn each(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = |(path, item): (&String, &'_ Value)| (path.clone(), item.as_object().unwrap().clone());
    let mut all = Vec::new();
    for (path, item) in paths.iter().map(methods) {
        for method in item.keys() {
            all.push((format!("{} {path}", method.to_uppercase()), &document["paths"][&path][method]));
        }
    }
    all
}

fn walk<'a>(value: &'a Value, visit: &mut impl FnMut(&'a serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            visit(fields);
            fields.values().for_each(|value| walk(value, visit));
        }
        Value::Array(items) => items.iter().for_each(|value| walk(value, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default().trim()
}

#[test]
fn every_reference_resolves() {
    let document = json();
    let mut dangling = BTreeSet::new();
    walk(&document, &mut |fields| {
        if let Some(Value::String(reference)) = fields.get("$ref") {
            let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
            if target.is_none() {
                dangling.insert(reference.as_str());
            }
        }
    });
    assert!(dangling.is_empty(), "{dangling:#?}");
}

#[test]
fn operation_ids_are_unique_verb_resource() {
    let mut seen = BTreeMap::new();
    for operation in operations() {
        let well_formed = operation.id.split('_').count() >= 2
            && operation.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(well_formed, "{} {}: `{}`", operation.method, operation.path, operation.id);
        let earlier = seen.insert(&operation.id, &operation.path);
        assert!(earlier.is_none(), "{} is also at {earlier:?}", operation.id);
    }
}

#[test]
fn every_operation_says_what_it_is_and_who_may() {
    let document = json();
    let tags: BTreeSet<_> =
        document["tags"].as_array().unwrap().iter().map(|tag| text(tag, "name")).collect();
    for (name, operation) in each(&document) {
        assert!(!text(operation, "summary").is_empty(), "{name} has no summary");
        assert!(text(operation, "description").len() > 20, "{name} has no description");
        let tagged: Vec<_> = operation["tags"].as_array().into_iter().flatten().collect();
        assert!(matches!(tagged[..], [tag] if tags.contains(tag.as_str().unwrap())), "{name}: {tagged:?}");
        let public = operation["security"].as_array().is_some_and(Vec::is_empty);
        let permission = text(operation, "x-permission");
        assert_eq!(permission.is_empty(), public, "{name}: x-permission, or security(()) when it is public");
        let known = permission == "authenticated" || service::auth::permissions::find(permission).is_some();
        assert!(public || known, "{name}: `{permission}` is not in the table of permissions");
    }
}

#[test]
fn every_response_is_described_and_one_is_a_success() {
    let document = json();
    for (name, operation) in each(&document) {
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with(['2', '3'])), "{name} never succeeds");
        for (status, response) in responses {
            let described = response.get("$ref").is_some() || !text(response, "description").is_empty();
            assert!(described, "{name} {status} has no description");
        }
    }
}

#[test]
fn every_body_has_an_example_and_every_parameter_a_description() {
    let document = json();
    for (name, operation) in each(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(
                !text(parameter, "description").is_empty(),
                "{name}: {} is not described",
                parameter["name"]
            );
        }
        for body in operation["requestBody"]["content"].as_object().into_iter().flat_map(|all| all.values()) {
            let schema = match body["schema"]["$ref"].as_str() {
                Some(reference) => document.pointer(&reference[1..]).unwrap(),
                None => &body["schema"],
            };
            let has = |value: &Value| ["example", "examples"].iter().any(|field| value.get(field).is_some());
            assert!(has(body) || has(schema), "{name}: the body has no example");
        }
    }
}

#[test]
fn the_public_operations_are_these() {
    let public: Vec<_> =
        operations().iter().filter(|operation| operation.public).map(|one| one.id.as_str()).collect();
    let expected = [
        "accept_invite",
        "complete_sign_in",
        "confirm_email_change",
        "decide_by_link",
        "decline_invite",
        "finish_oidc_sign_in",
        "get_approval_link",
        "get_jwks",
        "get_livez",
        "get_metrics",
        "get_readyz",
        "list_oidc_providers",
        "log_in",
        "log_out",
        "preview_invite",
        "receive_hook",
        "refresh_session",
        "request_magic_link",
        "request_password_reset",
        "reset_password",
        "sign_in_by_magic_link",
        "start_oidc_sign_in",
        "verify_email",
    ];
    assert_eq!(
        public.iter().copied().collect::<BTreeSet<_>>(),
        expected.into_iter().collect::<BTreeSet<_>>()
    );
}

/// The permission in the document is the one in the handler's type: both stand in one function.
#[test]
fn the_documented_permission_is_the_checked_one() {
    let mut checked = 0;
    for (file, source) in sources("src/v1") {
        for handler in source.split("#[utoipa::path(").skip(1) {
            let (head, body) = handler.split_once("async fn ").unwrap();
            let signature = body.split('{').next().unwrap();
            let documented =
                head.split_once("\"x-permission\" = json!(").map(|(_, rest)| rest.split(')').next().unwrap());
            let typed = signature.split_once("Can<").map(|(_, rest)| rest.split('>').next().unwrap());
            let name = signature.split('(').next().unwrap();
            match (documented, typed) {
                (Some(documented), Some(typed)) => {
                    assert_eq!(documented, format!("\"{}\"", permission(&source, typed)), "{file}: {name}");
                }
                (Some(documented), None) => {
                    assert_eq!(documented, "\"authenticated\"", "{file}: {name}");
                    assert!(signature.contains("Authenticated"), "{file}: {name} takes no guard");
                }
                (None, typed) => {
                    assert!(typed.is_none() && signature.contains("Public"), "{file}: {name} takes no guard");
                }
            }
            checked += 1;
        }
    }
    assert_eq!(checked, operations().len());
}

/// `Read` with `use …::permissions::task_runs::Read`, or `task_runs::Read`: `task-runs:read`.
fn permission(source: &str, marker: &str) -> String {
    let (module, verb) = marker.rsplit_once("::").unwrap_or_else(|| {
        let imports = source.split("permissions::").skip(1).map(|rest| rest.split(';').next().unwrap());
        let mut modules = imports.filter_map(|import| import.split_once("::"));
        let is_it = |names: &str| names.split(['{', '}', ',', ' ', '\n']).any(|name| name == marker);
        let (module, _) = modules.find(|(_, names)| is_it(names)).expect("the marker is imported");
        (module, marker)
    });
    format!("{}:{}", module.replace('_', "-"), verb.to_lowercase())
}

/// Rust files under a folder of this crate, without what is only for tests.
pub fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                found.push((path.display().to_string(), text));
            }
        }
    }
    found
}
