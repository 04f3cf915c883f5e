use serde_json::{Value, json};

use super::{Graph, GraphStep};
use crate::error::Error;

fn steps(value: Value) -> Vec<GraphStep> {
    serde_json::from_value(value).unwrap()
}

fn refused(value: Value, output: Option<Value>) -> Vec<(String, String)> {
    match Graph::compile(&steps(value), output.as_ref(), "/config") {
        Err(Error::Invalid { errors }) => {
            errors.into_iter().map(|error| (error.pointer, error.code.into_owned())).collect()
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn steps_stand_behind_what_they_need() {
    let graph = Graph::compile(
        &steps(json!([
            { "id": "c", "tool": "t", "needs": ["b", "a"], "input": { "x": "{{ steps.a.output.rows[0].id }}" } },
            { "id": "b", "agent": "t", "needs": ["a"], "when": "{{ steps.a.status == 'COMPLETED' }}" },
            { "id": "a", "definition": "t", "forEach": "{{ input.rows }}", "input": "{{ item }} {{ index }}" },
        ])),
        Some(&json!({ "c": "{{ steps.c.output }}" })),
        "/config",
    )
    .unwrap();
    assert_eq!(graph.order, [2, 1, 0]);
    assert_eq!(graph.nodes[0].ancestors, [1, 2].into());
    assert_eq!(graph.last().map(|(index, _)| index).collect::<Vec<_>>(), [0]);
    assert_eq!(graph.from(1), [0, 1].into());
}

#[test]
fn every_mistake_has_its_place() {
    let at = |pointer: &str, code: &str| (format!("/config/{pointer}"), code.to_owned());
    for (value, errors) in [
        (json!([{ "id": "a b", "tool": "t" }]), vec![at("steps/0/id", "pattern")]),
        (json!([{ "id": "", "tool": "t" }]), vec![at("steps/0/id", "pattern")]),
        (
            json!([{ "id": "a", "tool": "t" }, { "id": "a", "tool": "t" }]),
            vec![at("steps/1/id", "duplicate")],
        ),
        (json!([{ "id": "a" }]), vec![at("steps/0", "target")]),
        (json!([{ "id": "a", "tool": "t", "agent": "b" }]), vec![at("steps/0", "target")]),
        (json!([{ "id": "a", "tool": "t", "needs": ["x"] }]), vec![at("steps/0/needs/0", "unknown_step")]),
        (json!([{ "id": "a", "tool": "t", "needs": ["a"] }]), vec![at("steps/0/needs/0", "cycle")]),
        (
            json!([{ "id": "a", "tool": "t", "needs": ["b"] }, { "id": "b", "tool": "t", "needs": ["a"] }]),
            vec![at("steps/0/needs/0", "cycle"), at("steps/1/needs/0", "cycle")],
        ),
        (json!([{ "id": "a", "tool": "t", "when": "{{ x" }]), vec![at("steps/0/when", "template")]),
        (json!([{ "id": "a", "tool": "t", "when": "{{ x }}" }]), vec![at("steps/0/when", "unknown_name")]),
        (json!([{ "id": "a", "tool": "t", "forEach": 7 }]), vec![at("steps/0/forEach", "type")]),
        (
            json!([{ "id": "a", "tool": "t", "input": { "q": ["{{ item }}"] } }]),
            vec![at("steps/0/input/q/0", "unknown_name")],
        ),
        (
            json!([{ "id": "a", "tool": "t", "forEach": "{{ item }}" }]),
            vec![at("steps/0/forEach", "unknown_name")],
        ),
        (
            json!([{ "id": "a", "tool": "t" }, { "id": "b", "tool": "t", "input": "{{ steps.a.output }}" }]),
            vec![at("steps/1/input", "not_needed")],
        ),
        (
            json!([{ "id": "a", "tool": "t", "input": "{{ steps.z.output }}" }]),
            vec![at("steps/0/input", "unknown_step")],
        ),
        (
            json!([{ "id": "a", "tool": "t" }, { "id": "b", "tool": "t", "needs": ["a"], "input": "{{ steps.a.out }}" }]),
            vec![at("steps/1/input", "unknown_name")],
        ),
    ] {
        assert_eq!(refused(value.clone(), None), errors, "{value}");
    }
    let one = json!([{ "id": "a", "tool": "t" }]);
    assert_eq!(refused(one, Some(json!("{{ steps.b.output }}"))), [at("output", "unknown_step")]);
    let many: Vec<_> = (0..51).map(|index| json!({ "id": format!("s{index}"), "tool": "t" })).collect();
    assert_eq!(refused(json!(many), None), [at("steps", "max_items")]);
}

/// Ways round the names that are known: each would read something that no need vouches for.
#[test]
fn nothing_else_can_be_named() {
    for expression in [
        "{{ steps }}",
        "{{ steps['a'].output }}",
        "{{ [steps][0].a }}",
        "{{ steps[input.which] }}",
        "{{ steps | length }}",
        "{{ self }}",
        "{{ run.id }}",
        "{{ secrets.key }}",
        "{{ input if steps.b.output else 1 }}",
    ] {
        let value = json!([
            { "id": "a", "tool": "t" }, { "id": "b", "tool": "t" },
            { "id": "c", "tool": "t", "needs": ["a"], "input": { "x": expression } },
        ]);
        assert_eq!(refused(value, None)[0].0, "/config/steps/2/input/x", "{expression}");
    }
}
