//! Intents whose outcome nobody knows.

use entity::tasks::approval::{ApprovalKind, ApprovalStatus};
use entity::tasks::run_step::StepStatus;

use super::*;

/// An attempt that vanished after it had written the intent of a call.
async fn vanished(effect: SideEffect) -> (Rig, FakeAttempt, tempfile::TempDir) {
    let (core, folder) = core().await;
    let rig = Rig::new("mock/script").tool("act", effect, json!({}));
    let input = script(json!([{"toolCalls": [call("act", json!({"n": 1}))]}, {"text": "done"}]));
    let attempt = FakeAttempt::new(&core, input).crashing(Crash::After(0));
    assert!(matches!(rig.run(&attempt).await, Outcome::LeaseLost));
    let statuses: Vec<StepStatus> = attempt.state().journal.iter().map(|step| step.status).collect();
    assert_eq!(statuses, [StepStatus::Completed, StepStatus::Started]);
    (rig, attempt.resumed(), folder)
}

#[tokio::test]
async fn a_keyed_call_is_repeated_with_its_key() {
    let (rig, attempt, _folder) = vanished(SideEffect::Keyed).await;
    let key = attempt.state().journal[1].effect_key.clone();
    assert_eq!(output(&rig.run(&attempt).await).1, "done");
    let state = attempt.state();
    assert_eq!((state.journal.len(), &state.journal[1].effect_key), (3, &key));
    assert_eq!(state.journal[1].status, StepStatus::Completed);
    assert_eq!(rig.asked(), 2);
}

#[tokio::test]
async fn a_call_marked_once_is_put_before_a_person_and_never_repeated_alone() {
    let (rig, attempt, _folder) = vanished(SideEffect::Once).await;
    for attempt in [&attempt, &attempt.resumed()] {
        let Outcome::Asked { reason, questions, progress } = rig.run(attempt).await else {
            panic!("not asked")
        };
        assert_eq!(reason, RunReason::NeedsReview);
        assert_eq!((questions[0].kind, questions[0].step), (ApprovalKind::Review, 2));
        assert!(questions[0].proposal["evidence"].is_string());
        assert!(progress.steps.is_empty());
    }
}

#[tokio::test]
async fn a_review_that_approves_allows_one_more_call_only() {
    let (rig, attempt, _folder) = vanished(SideEffect::Once).await;
    rig.run(&attempt).await;
    attempt.decide(ApprovalStatus::Approved, json!({"decision": "APPROVE"}));
    let again = attempt.resumed().crashing(Crash::After(0));
    assert!(matches!(rig.run(&again).await, Outcome::LeaseLost));
    let once_more = again.resumed();
    let Outcome::Asked { questions, .. } = rig.run(&once_more).await else { panic!("made a third time") };
    assert_eq!(questions[0].step, 3);
    let third = attempt.resumed();
    assert_eq!(output(&rig.run(&third).await).1, "done");
    let state = third.state();
    let key = |at: usize| state.journal[at].effect_key.clone();
    assert_eq!((key(1).is_some(), key(1)), (true, key(2)));
    assert_eq!(state.journal[1].status, StepStatus::Failed);
    assert_eq!(state.journal[2].response, Some(json!({"output": {"n": 1}})));
}

#[tokio::test]
async fn a_review_that_rejects_closes_the_call() {
    for (decision, expected) in [
        (json!({"output": {"receipt": 5}}), json!({"output": {"receipt": 5}})),
        (
            json!({"comment": "seen in the ledger"}),
            json!({"error": {"code": "outcome_unknown",
                "message": "Not repeated; whether it had an effect is not known: seen in the ledger"}}),
        ),
    ] {
        let (rig, attempt, _folder) = vanished(SideEffect::Once).await;
        rig.run(&attempt).await;
        attempt.decide(ApprovalStatus::Rejected, decision);
        let attempt = attempt.resumed();
        assert_eq!(output(&rig.run(&attempt).await).1, "done");
        assert_eq!(results(&attempt), [expected]);
    }
}

#[tokio::test]
async fn a_review_that_expires_fails_the_run() {
    let (rig, attempt, _folder) = vanished(SideEffect::Once).await;
    rig.run(&attempt).await;
    attempt.decide(ApprovalStatus::Expired, Value::Null);
    assert_eq!(error(&rig.run(&attempt.resumed()).await).reason, RunReason::ApprovalExpired);
}
