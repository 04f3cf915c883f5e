//! Turns, money, stops.

use entity::tasks::run_step::StepStatus;

use super::*;
use crate::engine::Stop;

#[tokio::test]
async fn the_last_allowed_turn_completes_the_run_with_its_last_text() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script").tool("echo", SideEffect::Safe, json!({}));
    let rig = rig.limits(AgentLimits { max_steps: 2, ..AgentLimits::default() });
    let turn = |n: i32| json!({"text": format!("turn {n}"), "toolCalls": [call("echo", json!({"n": n}))]});
    let attempt = FakeAttempt::new(&core, script(json!([turn(1), turn(2), turn(3)])));
    assert_eq!(output(&rig.run(&attempt).await), (RunReason::MaxSteps, json!("turn 2")));
    assert_eq!((rig.asked(), results(&attempt).len()), (2, 2));
}

#[tokio::test]
async fn tool_calls_beyond_the_limit_are_not_executed() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script").tool("echo", SideEffect::Safe, json!({}));
    let rig = rig.limits(AgentLimits { max_tool_calls: 1, ..AgentLimits::default() });
    let calls = json!([call("echo", json!({"n": 1})), call("echo", json!({"n": 2}))]);
    let attempt = FakeAttempt::new(&core, script(json!([{"toolCalls": calls}, {"text": "end"}])));
    assert_eq!(output(&rig.run(&attempt).await).1, "end");
    assert_eq!(results(&attempt)[1]["error"]["code"], "tool_call_limit");
}

#[tokio::test]
async fn a_turn_that_may_cost_too_much_is_not_begun() {
    let (core, _folder) = core().await;
    let limits = |max_cost| AgentLimits { max_cost: Some(max_cost), ..AgentLimits::default() };
    // 2048 tokens of answer alone may cost 2,048,000 nanos.
    let rig = Rig::new("mock/echo").limits(limits(Nanos(2_048_000)));
    let attempt = FakeAttempt::new(&core, json!("hi"));
    let outcome = rig.run(&attempt).await;
    assert_eq!((error(&outcome).reason, rig.asked()), (RunReason::BudgetExceeded, 0));
    let rig = Rig::new("mock/echo").limits(limits(Nanos(2_148_000)));
    assert_eq!(output(&rig.run(&FakeAttempt::new(&core, json!("hi"))).await).1, "hi");
    let mut rig = Rig::new("mock/echo").limits(limits(Nanos(i64::MAX)));
    rig.plan.models[0].price = None;
    assert_eq!(error(&rig.run(&FakeAttempt::new(&core, json!("hi"))).await).code, "model_unpriced");
}

#[tokio::test]
async fn the_flat_charge_is_paid_once_and_reserved_first() {
    let (core, _folder) = core().await;
    let mut rig = Rig::new("mock/script").tool("echo", SideEffect::Safe, json!({}));
    rig.plan.config.cost_per_run = Some(Nanos(7_000_000));
    let turn = json!({"toolCalls": [call("echo", json!({}))], "usage": {"input": 1, "output": 1}});
    let input = script(json!([turn, {"text": "end", "usage": {"input": 1}}]));
    let attempt = FakeAttempt::new(&core, input.clone());
    assert_eq!(output(&rig.run(&attempt).await).1, "end");
    assert_eq!(attempt.cost(), Nanos(8_003_000));
    let rig = rig.limits(AgentLimits { max_cost: Some(Nanos(7_000_000)), ..AgentLimits::default() });
    assert_eq!(error(&rig.run(&FakeAttempt::new(&core, input)).await).code, "max_cost");
    assert_eq!(rig.asked(), 2);
}

#[tokio::test]
async fn what_the_run_has_cost_counts_against_the_next_call() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script").tool("echo", SideEffect::Once, json!({}));
    let rig = rig.limits(AgentLimits { max_cost: Some(Nanos(3_000_000)), ..AgentLimits::default() });
    let turn =
        |n: i32| json!({"toolCalls": [call("echo", json!({"n": n}))], "usage": {"input": 10, "output": 10}});
    let attempt = FakeAttempt::new(&core, script(json!([turn(1), turn(2)])));
    let outcome = rig.run(&attempt).await;
    assert_eq!(error(&outcome).reason, RunReason::BudgetExceeded);
    assert_eq!((rig.asked(), results(&attempt).len()), (1, 1));
    assert_eq!(attempt.cost(), Nanos(1_020_000));
}

#[tokio::test]
async fn a_cancel_ends_the_model_call_and_keeps_its_text() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script");
    let input = script(
        json!([{"deltas": ["half ", "an answer"], "error": {"kind": "NETWORK", "retryAfterMs": 25000}}]),
    );
    let mut attempt = FakeAttempt::new(&core, input);
    attempt.stop_at_delta = Some(Stop::Cancelled);
    assert!(matches!(rig.run(&attempt).await, Outcome::Cancelled { .. }));

    let input = script(json!([{"delayMs": 600_000, "text": "never"}]));
    let attempt = FakeAttempt::new(&core, input);
    attempt.stop(Stop::Cancelled);
    assert!(matches!(rig.run(&attempt).await, Outcome::Cancelled { .. }));
    assert_eq!(rig.asked(), 1, "a stopped attempt asks nothing");
}

#[tokio::test]
async fn a_cancel_does_not_wait_for_the_provider() {
    let (core, _folder) = core().await;
    let mut rig = Rig::new("mock/echo");
    rig.plan.models[0].provider = Ok(Arc::new(Silent));
    let mut attempt = FakeAttempt::new(&core, json!("hi"));
    attempt.stop_at_delta = Some(Stop::Cancelled);
    let outcome = rig.run(&attempt).await;
    let Outcome::Cancelled { progress } = outcome else { panic!("{outcome:?}") };
    let step = &progress.steps[0];
    assert_eq!((step.status, step.stop_reason.as_deref()), (StepStatus::Failed, Some("INTERRUPTED")));
    assert_eq!(step.response.as_ref().unwrap()["content"], "partial");
    assert!(step.usage.estimated && step.cost > Nanos::ZERO);
}

/// Says one word and then nothing, for ever.
struct Silent;

#[async_trait]
impl ModelProvider for Silent {
    async fn complete(&self, _: &ModelRequest, deltas: &dyn DeltaSink) -> Result<ModelReply, ModelError> {
        deltas.text("partial");
        std::future::pending().await
    }

    async fn list_models(&self) -> Result<Vec<String>, ModelError> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn a_draining_node_finishes_the_step_and_gives_the_run_back() {
    let (core, _folder) = core().await;
    let rig = Rig::new("mock/script").tool("echo", SideEffect::Safe, json!({}));
    let input =
        script(json!([{"text": "I look.", "toolCalls": [call("echo", json!({}))]}, {"text": "done"}]));
    let mut attempt = FakeAttempt::new(&core, input);
    attempt.stop_at_delta = Some(Stop::Draining);
    assert!(matches!(rig.run(&attempt).await, Outcome::Released { .. }));
    assert_eq!((attempt.state().journal.len(), rig.asked()), (1, 1));
    let mut next = attempt.resumed();
    next.run.attempt = 1;
    assert_eq!(output(&rig.run(&next).await).1, "done");
    assert_eq!(rig.asked(), 2);
}
