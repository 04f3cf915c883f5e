use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::plan::{Entry, Known, Outcome, Plan, Start, StepError, Then, key, plan};
use crate::engine::Wake;
use crate::tasks::children::ChildState;
use crate::tasks::graph::{Graph, GraphStep};

fn graph(steps: Value, output: Option<Value>) -> Graph {
    let steps: Vec<GraphStep> = serde_json::from_value(steps).unwrap();
    Graph::compile(&steps, output.as_ref(), "/config").unwrap()
}

fn done(output: Value) -> ChildState {
    ChildState::Completed(output)
}

fn failed() -> ChildState {
    ChildState::Failed { code: "boom".to_owned(), message: "It broke.".to_owned() }
}

fn known(children: &[(&str, ChildState)]) -> Known {
    let children = children.iter().map(|(key, state)| ((*key).to_owned(), state.clone())).collect();
    Known { children, ..Known::default() }
}

fn starts(plan: &Plan) -> Vec<(&str, &Value)> {
    plan.starts.iter().map(|start| (start.key.as_str(), &start.input)).collect()
}

#[test]
fn a_chain_goes_on_with_outputs() {
    let graph = graph(
        json!([
            { "id": "fetch", "tool": "t", "input": { "url": "{{ input.url }}" } },
            { "id": "digest", "agent": "a", "needs": ["fetch"], "input": { "text": "{{ steps.fetch.output.body }}" } },
        ]),
        None,
    );
    let input = json!({ "url": "u" });
    let first = plan(&graph, &input, &Known::default());
    assert_eq!(starts(&first), [("fetch", &json!({ "url": "u" }))]);
    assert_eq!(first.then, Then::Wait(Wake { ended: Some(1), failed: Some(1) }));
    let known_ = known(&[("fetch", done(json!({ "body": [1] })))]);
    let second = plan(&graph, &input, &known_);
    assert_eq!(starts(&second), [("digest", &json!({ "text": [1] }))]);
    assert_eq!(second.then, Then::Wait(Wake { ended: Some(2), failed: Some(1) }));
    let last = known(&[("fetch", done(json!({ "body": [1] }))), ("digest", done(json!("short")))]);
    assert_eq!(plan(&graph, &input, &last).then, Then::Complete(json!({ "digest": "short" })));
}

#[test]
fn a_list_keeps_its_order_and_waits_for_all() {
    let graph = graph(
        json!([{ "id": "post", "tool": "t", "forEach": "{{ input }}", "input": "{{ index }}: {{ item }}" }]),
        Some(json!("{{ steps.post.output }}")),
    );
    let input = json!(["a", "b", "c"]);
    let first = plan(&graph, &input, &Known::default());
    let texts = [json!("0: a"), json!("1: b"), json!("2: c")];
    assert_eq!(starts(&first), [("post[0]", &texts[0]), ("post[1]", &texts[1]), ("post[2]", &texts[2])]);
    assert_eq!(first.then, Then::Wait(Wake { ended: Some(3), failed: Some(1) }));
    let all = known(&[("post[2]", done(json!(2))), ("post[0]", done(json!(0))), ("post[1]", done(json!(1)))]);
    let last = plan(&graph, &input, &all);
    assert_eq!(last.then, Then::Complete(json!([0, 1, 2])));
    assert_eq!(last.records.len(), 4, "one an item, and the list");
    assert_eq!(plan(&graph, &json!([]), &Known::default()).then, Then::Complete(json!([])));
    assert!(matches!(plan(&graph, &json!("x"), &Known::default()).then, Then::Fail { .. }));
    let many = plan(&graph, &json!(vec![1; 101]), &Known::default());
    assert!(matches!(many.then, Then::Fail { error, .. } if error.code == "too_many_children"));
    assert_eq!(many.starts, []);
}

#[test]
fn what_is_skipped_skips_what_needs_it() {
    let graph = graph(
        json!([
            { "id": "a", "tool": "t", "when": "{{ input.go }}" },
            { "id": "b", "tool": "t", "needs": ["a"] },
            { "id": "c", "tool": "t" },
        ]),
        None,
    );
    for no in [json!(false), json!(null), json!(0), json!(""), json!([]), json!({})] {
        let plan = plan(&graph, &json!({ "go": no }), &Known::default());
        assert_eq!(starts(&plan).len(), 1, "{no}");
        let skipped: Vec<_> =
            plan.records.iter().map(|record| (record.key.as_str(), &record.outcome)).collect();
        assert_eq!(skipped, [("a", &Outcome::Skipped), ("b", &Outcome::Skipped)]);
    }
    let input = json!({ "go": false });
    let last = plan(&graph, &input, &known(&[("c", done(json!(1)))]));
    assert_eq!(last.then, Then::Complete(json!({ "b": null, "c": 1 })));
    assert_eq!(starts(&plan(&graph, &json!({ "go": "yes" }), &Known::default())).len(), 2);
}

#[test]
fn a_failure_ends_the_graph_or_is_told() {
    let steps = |on_error: &str| {
        json!([
            { "id": "a", "tool": "t", "onError": on_error },
            { "id": "b", "tool": "t", "needs": ["a"], "input": { "why": "{{ steps.a.error.code }}", "out": "{{ steps.a.output }}" } },
            { "id": "c", "tool": "t" },
        ])
    };
    let states = known(&[("a", failed()), ("c", ChildState::Live)]);
    let ends = plan(&graph(steps("FAIL"), None), &json!({}), &states);
    assert!(matches!(ends.then, Then::Fail { ref step, ref error } if step == "a" && error.code == "boom"));
    assert_eq!(ends.starts, []);
    let goes_on = plan(&graph(steps("CONTINUE"), None), &json!({}), &states);
    assert_eq!(starts(&goes_on), [("b", &json!({ "why": "boom", "out": null }))]);
    let items = graph(json!([{ "id": "a", "tool": "t", "forEach": [1, 2], "onError": "CONTINUE" }]), None);
    let states = known(&[("a[0]", failed()), ("a[1]", done(json!(2)))]);
    assert_eq!(plan(&items, &json!({}), &states).then, Then::Complete(json!({ "a": [null, 2] })));
}

#[test]
fn what_cannot_be_started_has_failed() {
    let steps = json!([{ "id": "a", "tool": "t", "onError": "CONTINUE" }, { "id": "b", "tool": "t", "needs": ["a"] }]);
    let graph = graph(steps, None);
    let error = StepError::new("not_found", "gone");
    let refused = HashMap::from([("a".to_owned(), error.clone())]);
    let plan_ = plan(&graph, &json!({}), &Known { refused, ..Known::default() });
    assert_eq!(starts(&plan_), [("b", &json!({}))]);
    // And stays so: its next look does not start it after all.
    let entries = HashMap::from([("a".to_owned(), Entry::Ended(Outcome::Failed(error)))]);
    let again = plan(&graph, &json!({}), &Known { entries, ..known(&[("b", ChildState::Live)]) });
    assert_eq!(again.starts, []);
}

/// Numbers that look random, the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(most).unwrap()).unwrap()
    }
}

/// A random graph, run to its end with its children ending in a random order, by the wake-ups it asked for.
#[test]
fn any_graph_ends_and_starts_each_child_once() {
    for seed in 1..400_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let count = 1 + dice.below(9);
        let steps: Vec<Value> = (0..count)
            .map(|index| {
                let needs: Vec<String> =
                    (0..index).filter(|_| dice.below(3) == 0).map(|need| format!("s{need}")).collect();
                let mut step = json!({ "id": format!("s{index}"), "tool": "t", "needs": needs });
                if dice.below(3) == 0 {
                    step["forEach"] = json!(vec![1; dice.below(4)]);
                }
                if dice.below(5) == 0 {
                    step["when"] = json!("{{ input.never }}");
                }
                if dice.below(2) == 0 {
                    step["onError"] = json!("CONTINUE");
                }
                step
            })
            .collect();
        let graph = graph(json!(steps), None);
        let input = json!({ "never": false });
        let mut state = known(&[]);
        let mut started: HashSet<String> = HashSet::new();
        for turn in 0.. {
            assert!(turn < 200, "seed {seed}: a graph without end");
            let made = plan(&graph, &input, &state);
            for Start { node, key, .. } in &made.starts {
                assert!(started.insert(key.clone()), "seed {seed}: {key} starts twice");
                for need in &graph.nodes[*node].needs {
                    let id = &graph.nodes[*need].id;
                    let live = |(key, child): (&String, &ChildState)| {
                        (key == id || key.starts_with(&format!("{id}["))) && *child == ChildState::Live
                    };
                    assert!(!state.children.iter().any(live), "seed {seed}: {key} starts before {id} ended");
                }
            }
            for record in &made.records {
                let entry = Entry::Ended(record.outcome.clone());
                assert_ne!(state.entries.get(&record.key), Some(&entry), "seed {seed}: journaled twice");
                state.entries.insert(record.key.clone(), entry);
            }
            state.children.extend(made.starts.iter().map(|start| (start.key.clone(), ChildState::Live)));
            let Then::Wait(wake) = made.then else { break };
            // Children end one by one until the graph is woken, as the engine would.
            loop {
                let mut live: Vec<String> = state
                    .children
                    .iter()
                    .filter(|(_, child)| **child == ChildState::Live)
                    .map(|(key, _)| key.clone())
                    .collect();
                live.sort();
                let ended = i32::try_from(state.children.len() - live.len()).unwrap();
                let bad = |child: &&ChildState| matches!(child, ChildState::Failed { .. });
                let bad = i32::try_from(state.children.values().filter(bad).count()).unwrap();
                if live.is_empty()
                    || wake.ended.is_some_and(|at| ended >= at)
                    || wake.failed.is_some_and(|at| bad >= at)
                {
                    break;
                }
                let next = live[dice.below(live.len())].clone();
                let end = if dice.below(6) == 0 { failed() } else { done(json!(1)) };
                state.children.insert(next, end);
            }
        }
        assert_eq!(key("a", Some(3)), "a[3]");
    }
}
