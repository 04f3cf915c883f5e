use entity::tasks::approval::ApprovalStatus;
use entity::tasks::run_wait::WaitStatus;
use entity::tasks::task_run;

use super::*;
use crate::runtime::testing::{Crash, FakeAttempt, builtin, core};

fn tool(effect: SideEffect) -> Tool {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    builtin("echo", "builtin/echo", effect, schema)
}

async fn end(attempt: &FakeAttempt, tool: &Tool) -> Outcome {
    let outcome = run(attempt, tool).await;
    attempt.end(&outcome);
    outcome
}

fn with_policy(mut attempt: FakeAttempt, policy: Value) -> FakeAttempt {
    attempt.run = task_run::Model { policy, ..attempt.run };
    attempt
}

fn failed(outcome: &Outcome) -> (RunReason, &str) {
    match outcome {
        Outcome::Failed { error, .. } => (error.reason, &error.code),
        other => panic!("not failed: {other:?}"),
    }
}

#[track_caller]
fn assert_output(outcome: &Outcome, expected: Value) {
    match outcome {
        Outcome::Completed { reason: RunReason::Output, output, .. } => assert_eq!(*output, expected),
        other => panic!("not completed: {other:?}"),
    }
}

#[tokio::test]
async fn a_safe_call_is_one_commit_and_reads_no_journal() {
    let (core, _folder) = core().await;
    let attempt = FakeAttempt::new(&core, json!({"n": 1}));
    assert_output(&end(&attempt, &tool(SideEffect::Safe)).await, json!({"n": 1}));
    let state = attempt.state();
    assert_eq!((state.commits, state.journal_reads, state.journal.len()), (1, 0, 1));
    let kinds: Vec<&str> = state.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["tool.called", "tool.completed"]);
}

#[tokio::test]
async fn a_definition_makes_the_arguments_from_the_input() {
    let (core, _folder) = core().await;
    let templated = || FakeAttempt::new(&core, json!({"order": {"count": 4}}));
    let attempt = with_policy(templated(), json!({"arguments": {"n": "{{ input.order.count }}"}}));
    assert_output(&end(&attempt, &tool(SideEffect::Safe)).await, json!({"n": 4}));
    for arguments in [json!({"n": "{{ input.missing.count }}"}), json!({"n": "four"})] {
        let attempt = with_policy(templated(), json!({"arguments": arguments}));
        let outcome = end(&attempt, &tool(SideEffect::Safe)).await;
        assert_eq!(failed(&outcome), (RunReason::NonRetryable, "invalid_arguments"));
        assert!(attempt.state().journal.is_empty());
    }
}

#[tokio::test]
async fn an_output_that_does_not_fit_fails_the_run() {
    let (core, _folder) = core().await;
    let policy = json!({"outputSchema": {"properties": {"n": {"maximum": 3}}}});
    let attempt = with_policy(FakeAttempt::new(&core, json!({"n": 4})), policy);
    let outcome = end(&attempt, &tool(SideEffect::Safe)).await;
    assert_eq!(failed(&outcome), (RunReason::InvalidOutput, "invalid_output"));
}

#[tokio::test]
async fn a_keyed_call_is_repeated_with_its_key() {
    let (core, _folder) = core().await;
    let attempt = FakeAttempt::new(&core, json!({"n": 1})).crashing(Crash::After(0));
    assert!(matches!(end(&attempt, &tool(SideEffect::Keyed)).await, Outcome::LeaseLost));
    let next = attempt.resumed();
    let key = next.state().journal[0].effect_key.clone();
    assert_output(&end(&next, &tool(SideEffect::Keyed)).await, json!({"n": 1}));
    let state = next.state();
    assert_eq!((state.journal.len(), &state.journal[0].effect_key), (1, &key));
}

/// An attempt whose call vanished, with the review that it led to.
async fn vanished() -> (FakeAttempt, tempfile::TempDir) {
    let (core, folder) = core().await;
    let attempt = FakeAttempt::new(&core, json!({"n": 1})).crashing(Crash::After(0));
    assert!(matches!(end(&attempt, &tool(SideEffect::Once)).await, Outcome::LeaseLost));
    let next = attempt.resumed();
    let outcome = end(&next, &tool(SideEffect::Once)).await;
    assert!(matches!(outcome, Outcome::Asked { reason: RunReason::NeedsReview, .. }), "{outcome:?}");
    (next, folder)
}

#[tokio::test]
async fn a_call_marked_once_is_repeated_only_when_a_person_says_so() {
    let (attempt, _folder) = vanished().await;
    attempt.decide(ApprovalStatus::Approved, json!({"decision": "APPROVE", "arguments": {"n": 2}}));
    let lost = attempt.resumed().crashing(Crash::After(0));
    assert!(matches!(end(&lost, &tool(SideEffect::Once)).await, Outcome::LeaseLost));
    let outcome = end(&lost.resumed(), &tool(SideEffect::Once)).await;
    assert!(matches!(outcome, Outcome::Asked { .. }), "an approval is for one call: {outcome:?}");
    let resumed = attempt.resumed();
    assert_output(&end(&resumed, &tool(SideEffect::Once)).await, json!({"n": 2}));
    let state = resumed.state();
    assert_eq!(state.journal.len(), 2);
    let kinds: Vec<&str> = state.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds.split_at(kinds.len() - 3).1, ["tool.failed", "tool.called", "tool.completed"]);
}

#[tokio::test]
async fn a_rejected_review_settles_the_run() {
    let (attempt, _folder) = vanished().await;
    attempt.decide(ApprovalStatus::Rejected, json!({"output": {"n": 7}}));
    assert_output(&end(&attempt.resumed(), &tool(SideEffect::Once)).await, json!({"n": 7}));
    let (attempt, _folder) = vanished().await;
    attempt.decide(ApprovalStatus::Rejected, json!({"comment": "no"}));
    let outcome = end(&attempt.resumed(), &tool(SideEffect::Once)).await;
    assert_eq!(failed(&outcome), (RunReason::ApprovalRejected, "outcome_unknown"));
}

#[tokio::test]
async fn a_stopped_attempt_calls_nothing() {
    let (core, _folder) = core().await;
    let attempt = FakeAttempt::new(&core, json!({"n": 1}));
    attempt.stop(crate::engine::Stop::Cancelled);
    assert!(matches!(end(&attempt, &tool(SideEffect::Once)).await, Outcome::Cancelled { .. }));
    assert!(attempt.state().journal.is_empty());
}

/// A run of the built-in that rests now.
async fn resting(on_expire: &str) -> (FakeAttempt, Tool, tempfile::TempDir) {
    let (core, folder) = core().await;
    let schema = builtin_schema("builtin/ask_user");
    let tool = builtin("ask", "builtin/ask_user", SideEffect::Once, schema);
    let attempt = FakeAttempt::new(&core, json!({"question": "Well?", "onExpire": on_expire}));
    let outcome = end(&attempt, &tool).await;
    let Outcome::Waits { waits, .. } = outcome else { panic!("does not wait: {outcome:?}") };
    assert_eq!((waits.len(), waits[0].step, &waits[0].request["question"]), (1, 1, &json!("Well?")));
    assert_eq!(attempt.state().journal[0].kind, StepKind::Wait);
    (attempt, tool, folder)
}

fn builtin_schema(function: &str) -> Value {
    crate::runtime::tools::builtin::find(function).unwrap().parameters()
}

#[tokio::test]
async fn a_wait_is_an_intent_that_its_answer_completes() {
    let (attempt, tool, _folder) = resting("CONTINUE").await;
    attempt.settle(WaitStatus::Satisfied, Some(json!({"answer": 4})));
    let next = attempt.resumed();
    assert_output(&end(&next, &tool).await, json!({"answer": 4}));
    assert_eq!(next.state().journal.len(), 1, "the step of the intent is the step of the answer");
}

#[tokio::test]
async fn a_wait_that_was_cancelled_with_its_run_is_registered_again() {
    let (attempt, tool, _folder) = resting("CONTINUE").await;
    attempt.settle(WaitStatus::Cancelled, None);
    let next = attempt.resumed();
    assert!(matches!(end(&next, &tool).await, Outcome::Waits { .. }));
    assert_eq!(next.state().journal.len(), 1);
}

#[tokio::test]
async fn an_expiry_fails_the_call_or_the_run() {
    for (on_expire, reason) in [("CONTINUE", RunReason::NonRetryable), ("FAIL", RunReason::TimedOut)] {
        let (attempt, tool, _folder) = resting(on_expire).await;
        attempt.settle(WaitStatus::Expired, None);
        let outcome = end(&attempt.resumed(), &tool).await;
        assert_eq!(failed(&outcome), (reason, "wait_expired"));
    }
}
