use serde_json::{Value, json};

use super::{Schema, SchemaCache};
use crate::error::Error;

fn refused(schema: &Value) -> (String, String) {
    match Schema::compile(schema, "/schema") {
        Err(Error::Invalid { errors }) => (errors[0].pointer.clone(), errors[0].code.to_string()),
        other => panic!("not refused: {other:?}"),
    }
}

fn errors(schema: &Value, value: &Value) -> Vec<(String, String, String)> {
    let checked = Schema::compile(schema, "").unwrap().check(value, "/arguments");
    let errors = checked.err().unwrap_or_default();
    errors.into_iter().map(|e| (e.pointer, e.code.to_string(), e.message)).collect()
}

#[test]
fn a_value_is_checked_with_pointers_and_keywords() {
    let schema = json!({"type": "object", "required": ["city"], "additionalProperties": false,
        "properties": {"city": {"type": "string", "maxLength": 3}, "a/b": {"type": "integer"}}});
    assert!(errors(&schema, &json!({"city": "Ulm"})).is_empty());
    let found = errors(&schema, &json!({"city": "Berlin", "a/b": "x"}));
    let places: Vec<_> = found.iter().map(|(pointer, code, _)| (pointer.as_str(), code.as_str())).collect();
    assert!(places.contains(&("/arguments/city", "maxLength")), "{found:?}");
    assert!(places.contains(&("/arguments/a~1b", "type")), "{found:?}");
    let missing = errors(&schema, &json!({"town": 1}));
    assert!(missing.iter().any(|(_, code, message)| code == "required" && message.contains("city")));
}

#[test]
fn messages_are_few_short_and_do_not_quote_the_value() {
    let schema = json!({"items": {"type": "integer"}});
    let found = errors(&schema, &Value::Array(vec![json!("hunter2".repeat(1000)); 100]));
    assert_eq!(found.len(), 20);
    assert!(found.iter().all(|(_, _, message)| !message.contains("hunter2")), "{}", found[0].2);
    let long = json!({"enum": ["é".repeat(5000)]});
    assert!(errors(&long, &json!(1)).iter().all(|(_, _, message)| message.chars().count() <= 300));
}

#[test]
fn formats_are_asserted_and_unknown_ones_are_ignored() {
    assert_eq!(errors(&json!({"format": "email"}), &json!("nobody")).len(), 1);
    assert!(errors(&json!({"format": "shoe-size"}), &json!("nobody")).is_empty());
}

#[test]
fn an_invalid_schema_names_its_place() {
    assert_eq!(refused(&json!({"properties": {"a": {"type": "strin"}}})).0, "/schema/properties/a/type");
    assert_eq!(refused(&json!({"properties": {"a": {"pattern": "("}}})).0, "/schema/properties/a/pattern");
    assert_eq!(refused(&json!("object")).0, "/schema");
    assert_eq!(refused(&json!({"$ref": "#/$defs/missing"})).1, "schema");
    assert_eq!(refused(&json!({"$schema": "https://schemas.example/own"})).1, "dialect");
    assert_eq!(refused(&json!({"properties": {"a": {"$id": "b", "type": "object"}}})).1, "nested_id");
}

#[test]
fn references_outside_the_schema_are_refused() {
    for target in ["https://example.com/a.json", "file:///etc/passwd", "other.json", "//host/x"] {
        for keyword in ["$ref", "$dynamicRef"] {
            let schema = json!({"properties": {"a": {keyword: target}}});
            assert_eq!(refused(&schema), (format!("/schema/properties/a/{keyword}"), "remote_ref".into()));
        }
    }
    assert!(errors(&json!({"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"}), &json!(1)).is_empty());
}

#[test]
fn size_depth_and_patterns_are_limited() {
    let mut deep = json!({});
    for _ in 0..40 {
        deep = json!({ "not": deep });
    }
    assert_eq!(refused(&deep).1, "too_deep");
    assert_eq!(refused(&json!({"description": "x".repeat(70_000)})).1, "too_large");
    assert_eq!(refused(&json!({"pattern": "a".repeat(513)})).1, "too_long");
    let patterns = vec![json!({"pattern": "a"}); 33];
    assert_eq!(
        refused(&json!({ "anyOf": patterns })),
        ("/schema/anyOf/32/pattern".into(), "too_many".into())
    );
    assert_eq!(refused(&json!({"patternProperties": {"b".repeat(513): true}})).1, "too_long");
}

#[test]
fn expensive_patterns_are_refused_and_matching_is_linear() {
    assert_eq!(refused(&json!({"pattern": "(a{1000}){1000}"})).1, "schema");
    assert_eq!(refused(&json!({"pattern": "(?=a)a"})).1, "schema");
    // A backtracking engine does not come back from this one.
    let found = errors(&json!({"pattern": "^(a+)+$"}), &json!(format!("{}!", "a".repeat(50_000))));
    assert_eq!(found.len(), 1);
}

/// `n` definitions, each made by `next` from a reference to the following one.
fn chain(n: usize, next: impl Fn(Value) -> Value) -> Value {
    let mut definitions: serde_json::Map<_, _> =
        (0..n).map(|i| (format!("d{i}"), next(json!({"$ref": format!("#/$defs/d{}", i + 1)})))).collect();
    definitions.insert(format!("d{n}"), json!({"type": "integer"}));
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

#[test]
fn references_that_multiply_are_refused() {
    assert_eq!(refused(&chain(40, |next| json!({"allOf": [next, next]}))).1, "too_complex");
    assert_eq!(refused(&chain(500, |next| next)).1, "too_complex");
    assert!(Schema::compile(&chain(10, |next| json!({"anyOf": [next, {"type": "null"}]})), "").is_ok());
    for endless in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"$anchor": "a", "anyOf": [{"type": "null"}, {"not": {"$ref": "#a"}}]}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/%24defs/a"}),
    ] {
        assert_eq!(refused(&endless).1, "too_complex", "{endless}");
    }
}

#[test]
fn long_chains_through_children_compile() {
    let schema = chain(1000, |next| json!({"properties": {"a": next}}));
    assert!(errors(&schema, &json!({"a": {"a": {}}})).is_empty());
}

#[test]
fn recursion_is_fine_until_it_multiplies() {
    let nested = |levels: usize, leaf: Value| (0..levels).fold(leaf, |inner, _| json!({ "a": inner }));
    let list = json!({"type": ["object", "integer"], "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}});
    assert!(errors(&list, &nested(100, json!(1))).is_empty());
    assert_eq!(errors(&list, &nested(20, json!("x")))[0].1, "type");

    let a = json!({"properties": {"a": {"$ref": "#"}}, "required": ["b"]});
    let union = json!({"anyOf": [a, a, {"type": "integer"}]});
    assert_eq!(errors(&union, &nested(5, json!(1)))[0].1, "anyOf");
    assert_eq!(errors(&union, &nested(60, json!(1)))[0].1, "too_complex");
    let wide = json!({"anyOf": vec![json!({"type": "string"}); 1000]});
    assert!(errors(&wide, &json!("x")).is_empty());
    assert_eq!(errors(&json!({"items": wide}), &json!(vec![1; 30_000]))[0].1, "too_complex");
}

#[tokio::test]
async fn the_cache_gives_the_same_answers() {
    let cache = SchemaCache::default();
    let schema = json!({"type": "integer"});
    for _ in 0..2 {
        assert!(cache.get(&schema).await.unwrap().check(&json!("x"), "").is_err());
    }
    assert!(cache.get(&json!({"type": "int"})).await.is_err());
}
