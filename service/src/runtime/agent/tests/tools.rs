//! Calls: made, refused, repeated, final.

use super::super::context;
use super::super::history::{History, recorded};
use super::*;

#[tokio::test]
async fn a_run_of_one_turn_is_one_commit_and_reads_no_journal() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/echo");
    let attempt = FakeAttempt::new(&core, json!("Hello there"));
    let outcome = rig.run(&attempt).await;
    assert_eq!(output(&outcome), (RunReason::EndTurn, json!("Hello there")));
    let state = attempt.state();
    assert_eq!((state.commits, state.journal_reads, state.journal.len()), (1, 0, 1));
    assert_eq!(state.text, "Hello there");
    let kinds: Vec<&str> = state.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["step.started", "step.completed"]);
}

#[tokio::test]
async fn the_bound_tools_are_called_and_summarised() {
    let (core, _folder) = core().await;
    let rig =
        Rig::new("mock/tools").tool("first", SideEffect::Safe, json!({"presetArguments": {"who": "me"}}));
    let rig = rig.tool("second", SideEffect::Keyed, json!({}));
    let attempt = FakeAttempt::new(&core, json!({"n": 3}));
    let (reason, text) = output(&rig.run(&attempt).await);
    assert_eq!(reason, RunReason::EndTurn);
    assert!(text.as_str().unwrap().starts_with("I called 2 tools:\n- first: "), "{text}");
    assert_eq!(results(&attempt)[0]["output"]["who"], "me");
    let state = attempt.state();
    let numbers: Vec<i32> = state.journal.iter().map(|step| step.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(state.journal[3].effect_key.as_deref(), Some("00000000-0000-0000-0000-000000000007:3:0"));
}

#[tokio::test]
async fn safe_calls_of_a_turn_are_one_commit() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script").tool("echo", SideEffect::Safe, json!({}));
    let calls: Vec<Value> = (0..12).map(|n| call("echo", json!({"n": n}))).collect();
    let attempt = FakeAttempt::new(&core, script(json!([{"toolCalls": calls}, {"text": "done"}])));
    assert_eq!(output(&rig.run(&attempt).await).1, "done");
    let made: Vec<Value> =
        results(&attempt).into_iter().map(|result| result["output"]["n"].clone()).collect();
    assert_eq!(made, (0..12).map(Value::from).collect::<Vec<_>>());
    // The first turn; its outcomes; the second turn with the end.
    assert_eq!(attempt.state().commits, 3);
}

#[tokio::test]
async fn invalid_calls_are_told_to_the_model() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script").tool("echo", SideEffect::Once, json!({}));
    let attempt = FakeAttempt::new(
        &core,
        script(json!([
            {"toolCalls": [call("echo", json!("{broken")), call("echo", json!({"n": "x"})), call("ghost", json!({})), call("echo", json!([1]))]},
            {"text": "sorry"},
        ])),
    );
    assert_eq!(output(&rig.run(&attempt).await).1, "sorry");
    let results = results(&attempt);
    let codes: Vec<&Value> = results.iter().map(|result| &result["error"]["code"]).collect();
    assert_eq!(codes, ["invalid_arguments", "invalid_arguments", "unknown_tool", "invalid_arguments"]);
    assert!(results[1]["error"]["message"].as_str().unwrap().contains("/n"), "{results:?}");
    assert!(attempt.state().journal.iter().all(|step| step.effect_key.is_none()));
    let state = attempt.state();
    let calls = state.journal.iter().filter(|step| step.call_id.is_some());
    assert_eq!(calls.map(|step| step.cost_nanos).sum::<Nanos>(), Nanos::ZERO);
}

#[tokio::test]
async fn three_turns_of_invalid_calls_are_enough() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script").tool("echo", SideEffect::Safe, json!({}));
    let wrong = |n: i32| json!({"toolCalls": [call("ghost", json!({"n": n}))]});
    let attempt = FakeAttempt::new(&core, script(json!([wrong(1), wrong(2), wrong(3), {"text": "never"}])));
    assert_eq!(error(&rig.run(&attempt).await).reason, RunReason::NoProgress);
    assert_eq!(rig.asked(), 3);
    let right = json!({"toolCalls": [call("echo", json!({})), call("ghost", json!({}))]});
    let attempt =
        FakeAttempt::new(&core, script(json!([wrong(1), wrong(2), right, wrong(3), {"text": "end"}])));
    assert_eq!(output(&rig.run(&attempt).await).1, "end");
}

#[tokio::test]
async fn a_repeated_call_is_told_once_then_ends_the_run() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script").tool("echo", SideEffect::Safe, json!({}));
    let same = |text: &str| json!({"toolCalls": [call("echo", json!(text))]});
    let (one, two) = (same(r#"{"n":1,"who":"a"}"#), same(r#"{ "who": "a", "n": 1 }"#));
    let told = FakeAttempt::new(&core, script(json!([one, two, one, {"text": "stopped"}])));
    assert_eq!(output(&rig.run(&told).await).1, "stopped");
    let messages = context::messages(&[], &rig.plan, &history(&told));
    let notices =
        messages.iter().filter(|message| format!("{message:?}").contains("Do not make it again")).count();
    assert_eq!(notices, 1);
    let stubborn = FakeAttempt::new(&core, script(json!([one, two, one, two, {"text": "never"}])));
    assert_eq!(error(&rig.run(&stubborn).await).code, "repeated_call");
    assert_eq!(results(&stubborn).len(), 3);
}

fn history(attempt: &FakeAttempt) -> History {
    let mut history = History::default();
    let journal = attempt.state().journal.clone();
    journal.into_iter().map(recorded).for_each(|step| history.apply(&step));
    history
}

#[tokio::test]
async fn a_terminal_tool_ends_the_run() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script").tool("finish", SideEffect::Once, json!({"terminal": true}));
    let calls = json!([call("finish", json!({"n": 4})), call("finish", json!({"n": 5}))]);
    let attempt = FakeAttempt::new(&core, script(json!([{"toolCalls": calls}, {"text": "never"}])));
    assert_eq!(output(&rig.run(&attempt).await), (RunReason::TerminalTool, json!({"n": 4})));
    assert_eq!((rig.asked(), results(&attempt).len()), (1, 1));
}

#[tokio::test]
async fn policies_and_quotas_refuse() {
    let (core, _folder) = core().await;
    let conditions = json!([{"pointer": "/n", "equals": 2, "policy": "DENY"}]);
    let rig = Rig::new("mock/script").tool(
        "echo",
        SideEffect::Once,
        json!({"conditions": conditions, "maxCalls": 2}),
    );
    let calls: Vec<Value> = (1..=4).map(|n| call("echo", json!({"n": n}))).collect();
    let attempt = FakeAttempt::new(&core, script(json!([{"toolCalls": calls}, {"text": "ok"}])));
    assert_eq!(output(&rig.run(&attempt).await).1, "ok");
    let results = results(&attempt);
    let codes: Vec<Option<&str>> = results.iter().map(|result| result["error"]["code"].as_str()).collect();
    assert_eq!(codes, [None, Some("denied"), None, Some("max_calls")]);
}
