//! Retries, fallbacks, final answers.

use super::*;

fn failing(kind: &str, times: u32) -> Value {
    script(json!([{"text": "late", "error": {"kind": kind, "retryAfterMs": 0, "times": times}}]))
}

#[tokio::test]
async fn a_provider_is_asked_again_in_place() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script");
    let attempt = FakeAttempt::new(&core, failing("RATE_LIMITED", 2));
    assert_eq!(output(&rig.run(&attempt).await).1, "late");
    let state = attempt.state();
    let retried = state.events.iter().filter(|event| event.kind == "model.retried").count();
    assert_eq!((rig.asked(), retried, state.journal.len()), (3, 2, 1));
}

#[tokio::test]
async fn tries_are_counted_over_the_attempts_of_a_run() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script");
    let attempt = FakeAttempt::new(&core, failing("OVERLOADED", 4));
    let outcome = rig.run(&attempt).await;
    let failed = error(&outcome);
    assert_eq!((failed.reason, failed.code.as_str()), (RunReason::ProviderError, "model_overloaded"));
    assert!(failed.retryable);
    let next = attempt.resumed();
    assert_eq!(output(&rig.run(&next).await).1, "late");
    assert_eq!(rig.asked(), 5);
}

#[tokio::test]
async fn a_long_retry_after_is_left_to_the_engine() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script");
    let input = script(json!([{"error": {"kind": "RATE_LIMITED", "retryAfterMs": 60_000}}]));
    let outcome = rig.run(&FakeAttempt::new(&core, input)).await;
    assert_eq!(error(&outcome).retry_after, Some(std::time::Duration::from_secs(60)));
    assert_eq!(rig.asked(), 1);
}

#[tokio::test]
async fn a_fallback_answers_when_the_model_cannot() {
    let (core, _folder) = core().await;
    for kind in ["OVERLOADED", "UNAUTHORIZED"] {
        let mut rig = Rig::new("mock/script");
        rig.model("mock/echo");
        let attempt = FakeAttempt::new(&core, failing(kind, 9));
        let (_, text) = output(&rig.run(&attempt).await);
        assert!(text.as_str().unwrap().contains(kind), "{text}");
        assert_eq!(attempt.state().journal[0].name, "mock/echo");
    }
}

#[tokio::test]
async fn a_request_that_is_wrong_is_not_asked_elsewhere() {
    let (core, _folder) = core().await;
    for (kind, reason) in
        [("CONTEXT_OVERFLOW", RunReason::ContextOverflow), ("INVALID_REQUEST", RunReason::ProviderError)]
    {
        let mut rig = Rig::new("mock/script");
        rig.model("mock/echo");
        let outcome = rig.run(&FakeAttempt::new(&core, failing(kind, 9))).await;
        assert_eq!((error(&outcome).reason, error(&outcome).retryable, rig.asked()), (reason, false, 1));
    }
}

#[tokio::test]
async fn an_answer_is_repaired_once() {
    let (core, _folder) = core().await;
    let schema = json!({"type": "object", "required": ["ok"]});
    let rig = Rig::new("mock/script").output(schema).await;
    let attempt = FakeAttempt::new(&core, script(json!([{"text": "{}"}, {"text": "{\"ok\":1}"}])));
    assert_eq!(output(&rig.run(&attempt).await), (RunReason::EndTurn, json!({"ok": 1})));
    assert!(attempt.state().events.iter().any(|event| event.kind == "output.repaired"));
    let attempt =
        FakeAttempt::new(&core, script(json!([{"text": "{}"}, {"text": "no"}, {"text": "{\"ok\":1}"}])));
    assert_eq!(error(&rig.run(&attempt).await).reason, RunReason::InvalidOutput);
    assert_eq!(rig.asked(), 4);
}

#[tokio::test]
async fn a_chat_is_given_as_it_is() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/echo");
    let chat = json!({"messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}, {"role": "user", "content": "three"}]});
    let attempt = FakeAttempt::new(&core, chat);
    assert_eq!(output(&rig.run(&attempt).await).1, "three");
    assert_eq!(attempt.state().journal[0].request["messages"], 4);
    let broken = FakeAttempt::new(&core, json!({"messages": [{"role": "robot", "content": "x"}]}));
    assert_eq!(error(&rig.run(&broken).await).code, "invalid_input");
}
