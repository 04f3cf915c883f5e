//! A crash at every commit: the resumed run ends as the undisturbed one.

use entity::tasks::run_step::{StepKind, StepStatus};

use super::*;

fn rig() -> Rig {
    Rig::new("mock/script")
        .tool("look", SideEffect::Safe, json!({}))
        .tool("put", SideEffect::Keyed, json!({}))
        .tool("finish", SideEffect::Safe, json!({"policy": "DENY"}))
}

fn input() -> Value {
    script(json!([
        {"text": "First I look.", "toolCalls": [call("look", json!({"n": 1})), call("look", json!({"n": 2})), call("put", json!({"n": 3}))]},
        {"toolCalls": [call("put", json!({"n": 4})), call("ghost", json!({})), call("look", json!({"n": 5})), call("put", json!({"n": 6}))]},
        {"text": "late", "error": {"kind": "OVERLOADED", "retryAfterMs": 0, "times": 2}, "toolCalls": [call("look", json!({"n": 7}))]},
        {"toolCalls": [call("finish", json!({}))]},
        {"text": "not JSON"},
        {"text": "{\"ok\": true}"},
    ]))
}

#[tokio::test]
async fn a_crash_at_any_commit_changes_nothing_in_the_end() {
    let (core, _folder) = core().await;
    let schema = json!({"type": "object", "required": ["ok"]});
    let input = input();
    let whole = FakeAttempt::new(&core, input.clone());
    let rig = rig().output(schema).await;
    let expected = output(&rig.run(&whole).await);
    assert_eq!(expected, (RunReason::EndTurn, json!({"ok": true})));
    let undisturbed = rig.asked();
    let commits = whole.state().commits;
    assert!(commits > 8, "{commits}");

    for crash in (0..commits).flat_map(|commit| [Crash::Before(commit), Crash::After(commit)]) {
        let mut attempt = FakeAttempt::new(&core, input.clone()).crashing(crash);
        let asked_before = rig.asked();
        let mut outcome = rig.run(&attempt).await;
        let mut crashes = 0;
        while matches!(outcome, Outcome::LeaseLost) {
            crashes += 1;
            assert_eq!(crashes, 1);
            attempt = attempt.resumed();
            outcome = rig.run(&attempt).await;
        }
        assert_eq!(output(&outcome), expected, "{crash:?}");
        assert_eq!(attempt.cost(), whole.cost(), "{crash:?}");
        assert_eq!(steps(&attempt), steps(&whole), "{crash:?}");
        // At most the turn in flight is asked again, with the tries it had.
        assert!(rig.asked() - asked_before <= undisturbed + 3, "{crash:?}");
    }
}

type Told = (StepKind, StepStatus, i32, Option<String>, Option<String>, Value, Option<Value>);

/// Everything of the journal that a resumed run must have in common with an undisturbed one. The
/// request of a model step has the hash of the conversation.
fn steps(attempt: &FakeAttempt) -> Vec<Told> {
    let state = attempt.state();
    let told = state.journal.iter().map(|step| {
        let step = step.clone();
        (step.kind, step.status, step.turn, step.call_id, step.effect_key, step.request, step.response)
    });
    told.collect()
}

#[tokio::test]
async fn a_lost_lease_ends_the_attempt_in_the_middle_of_a_call() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script");
    let mut attempt = FakeAttempt::new(
        &core,
        script(json!([{"deltas": ["a", "b"], "error": {"kind": "NETWORK", "retryAfterMs": 20000}}])),
    );
    attempt.stop_at_delta = Some(crate::engine::Stop::LeaseLost);
    assert!(matches!(rig.run(&attempt).await, Outcome::LeaseLost));
    assert!(attempt.state().journal.is_empty());
}
