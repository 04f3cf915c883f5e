//! Calls that wait for people.

use entity::tasks::approval::ApprovalStatus;

use super::*;

fn rig() -> Rig {
    Rig::new("mock/script").tool("pay", SideEffect::Once, json!({"policy": "ASK"})).tool(
        "look",
        SideEffect::Safe,
        json!({}),
    )
}

fn input() -> Value {
    let calls = json!([call("look", json!({})), call("pay", json!({"n": 1})), call("pay", json!({"n": 2}))]);
    script(json!([{"toolCalls": calls}, {"text": "paid"}]))
}

/// Asks, checks the questions, decides and resumes.
async fn decided(status: ApprovalStatus, decision: Value) -> (FakeAttempt, Outcome, tempfile::TempDir) {
    let (core, folder) = core().await;
    let rig = rig();
    let attempt = FakeAttempt::new(&core, input());
    let Outcome::Asked { reason, questions, .. } = rig.run(&attempt).await else { panic!("not asked") };
    assert_eq!(reason, RunReason::Approval);
    let asked: Vec<(i32, &Value)> =
        questions.iter().map(|question| (question.step, &question.proposal["arguments"])).collect();
    assert_eq!(asked, [(3, &json!({"n": 1})), (4, &json!({"n": 2}))]);
    assert!(results(&attempt).is_empty(), "nothing is called before all questions are decided");
    attempt.decide(status, decision);
    let attempt = attempt.resumed();
    let outcome = rig.run(&attempt).await;
    assert_eq!(rig.asked(), 2 - usize::from(matches!(outcome, Outcome::Failed { .. })));
    (attempt, outcome, folder)
}

#[tokio::test]
async fn approved_calls_are_made() {
    let (attempt, outcome, _folder) = decided(ApprovalStatus::Approved, json!({"decision": "APPROVE"})).await;
    assert_eq!(output(&outcome).1, "paid");
    assert_eq!(results(&attempt)[1..], [json!({"output": {"n": 1}}), json!({"output": {"n": 2}})]);
}

#[tokio::test]
async fn edited_arguments_are_used_and_told() {
    let decision = json!({"decision": "APPROVE", "arguments": {"n": 9}});
    let (attempt, outcome, _folder) = decided(ApprovalStatus::Approved, decision).await;
    assert_eq!(output(&outcome).1, "paid");
    let result = &results(&attempt)[1];
    assert_eq!(result["output"], json!({"n": 9}));
    assert!(result["note"].as_str().unwrap().contains(r#"{"n":9}"#));
}

#[tokio::test]
async fn an_edit_that_does_not_fit_is_not_made() {
    let decision = json!({"decision": "APPROVE", "arguments": {"n": "nine"}});
    let (attempt, outcome, _folder) = decided(ApprovalStatus::Approved, decision).await;
    assert_eq!(output(&outcome).1, "paid");
    assert_eq!(results(&attempt)[1]["error"]["code"], "invalid_edit");
}

#[tokio::test]
async fn a_rejection_is_a_result_with_its_reason() {
    let decision = json!({"decision": "REJECT", "comment": "too much"});
    let (attempt, outcome, _folder) = decided(ApprovalStatus::Rejected, decision).await;
    assert_eq!(output(&outcome).1, "paid");
    let error = &results(&attempt)[2]["error"];
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("rejected"), &json!("A person rejected this call: too much"))
    );
}

#[tokio::test]
async fn an_expiry_rejects() {
    let (attempt, outcome, _folder) = decided(ApprovalStatus::Expired, Value::Null).await;
    assert_eq!(output(&outcome).1, "paid");
    assert_eq!(results(&attempt)[1]["error"]["code"], "expired");
}
