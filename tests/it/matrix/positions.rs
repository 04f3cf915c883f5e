//! Where an id can stand in an operation, read from the document.

use std::collections::BTreeSet;

use api::openapi::{Operation, document};
use serde_json::Value;

/// The places of ids: `path:id`, `query:agentId`, `query:cursor`, `body:/agentId`, `body:/ids/0`.
pub fn of(operation: &Operation) -> BTreeSet<String> {
    let document = json();
    let described = &document["paths"][&operation.path][operation.method.to_lowercase()];
    let mut found = BTreeSet::new();
    for parameter in described["parameters"].as_array().into_iter().flatten() {
        let (place, name) = (parameter["in"].as_str().unwrap(), parameter["name"].as_str().unwrap());
        let is_id = resolve(&document, &parameter["schema"])["format"] == "uuid";
        if matches!(place, "path" | "query") && (is_id || name == "cursor") {
            found.insert(format!("{place}:{name}"));
        }
    }
    let schema = &described["requestBody"]["content"]["application/json"]["schema"];
    walk(&document, schema, "", &mut Vec::new(), &mut |pointer, schema| {
        if schema["format"] == "uuid" {
            found.insert(format!("body:{pointer}"));
        }
    });
    found
}

/// The document as JSON.
pub fn json() -> Value {
    serde_json::to_value(document()).unwrap()
}

/// Visits a schema and all below it, with the pointers of the values they describe.
pub fn walk<'a>(
    document: &'a Value,
    schema: &'a Value,
    pointer: &str,
    above: &mut Vec<&'a str>,
    visit: &mut impl FnMut(&str, &'a Value),
) {
    if let Some(name) = schema["$ref"].as_str() {
        if !above.contains(&name) {
            above.push(name);
            walk(document, resolve(document, schema), pointer, above, visit);
            above.pop();
        }
        return;
    }
    visit(pointer, schema);
    for any in ["oneOf", "anyOf", "allOf"] {
        for schema in schema[any].as_array().into_iter().flatten() {
            walk(document, schema, pointer, above, visit);
        }
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        walk(document, schema, &format!("{pointer}/{name}"), above, visit);
    }
    if schema["items"].is_object() {
        walk(document, &schema["items"], &format!("{pointer}/0"), above, visit);
    }
}

pub fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(name) => document.pointer(name.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}
