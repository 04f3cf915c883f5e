//! The matrix of suspended and closing tenants, generated from the OpenAPI document: on every operation, what
//! reads works, what ends or narrows something works, and everything else is refused, whoever calls.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::cases::{self, Case, Takes};
use super::request::Request;
use super::world::World;
use crate::support::Client;

/// What changes something and is done all the same.
const DONE: &[&str] = &[
    "abort_bulk_action",
    "add_attempt_events",
    "answer_task_run",
    "archive_workspace",
    "beat_worker",
    "cancel_batch_task",
    "cancel_task_run",
    "close_current_tenant",
    "complete_attempt",
    "create_bulk_action",
    "create_privacy_request",
    "create_token",
    "decide_approval",
    "delete_agent",
    "delete_agent_tool",
    "delete_api_key",
    "delete_batch_task",
    "delete_inbound_hook",
    "delete_integration",
    "delete_membership",
    "delete_model_price",
    "delete_scheduled_task",
    "delete_task_definition",
    "delete_team_invite",
    "delete_team_member",
    "delete_tenant_domain",
    "delete_tool",
    "delete_worker",
    "delete_workspace",
    "drain_worker",
    "export_privacy_request",
    "fail_attempt",
    "pause_agent",
    "pause_batch_task",
    "pause_scheduled_task",
    "pause_task_definition",
    "pause_worker",
    "release_attempt",
    "release_emergency_stop",
    "reopen_current_tenant",
    "start_bulk_action",
    "start_emergency_stop",
];
const REFUSALS: [&str; 2] = ["tenant_suspended", "tenant_closing"];

/// The cases whose operation is of the caller's tenant.
fn of_tenant() -> impl Iterator<Item = Case> {
    cases::all().into_iter().filter(|case| {
        let named = case.of().permission.as_deref().unwrap_or_default();
        !matches!(named, "" | "authenticated") && !case.is_of_platform()
    })
}

/// With every id filled in before the tenant stands still.
async fn requests(world: &World<'_>) -> Vec<(Case, Request)> {
    let mut requests = Vec::new();
    for case in of_tenant() {
        let request = case.request(world, None, true).await;
        requests.push((case, request));
    }
    requests
}

fn code(body: &Value) -> &str {
    body["code"].as_str().unwrap_or_default()
}

async fn check(requests: &[&(Case, Request)], caller: &Client, refusal: &str) {
    let mut refused = 0;
    // Reading first: what is deleted on the way was there.
    let (reads, changes): (Vec<_>, Vec<_>) =
        requests.iter().copied().partition(|(case, _)| case.of().method == "GET");
    for (case, request) in reads.into_iter().chain(changes) {
        let answer = request.send(caller).await;
        let cell = format!("{}: {} {}", case.operation, answer.status, answer.text);
        if case.of().method == "GET" {
            assert!((200..300).contains(&answer.status) || case.takes == Takes::Nothing, "{cell}");
        } else if DONE.contains(&case.operation) {
            assert!(!REFUSALS.contains(&code(&answer.body)), "{cell}");
        } else {
            let what = "if it ends or narrows something, name it here and in service/src/auth/standing.rs";
            assert_eq!((answer.status, code(&answer.body)), (403, refusal), "{cell}: {what}");
            refused += 1;
        }
    }
    assert!(refused > 30, "{refused}");
}

#[test]
fn what_is_done_all_the_same_is_in_the_document() {
    let known: BTreeSet<&str> = of_tenant().map(|case| case.operation).collect();
    assert!(DONE.iter().all(|operation| known.contains(operation)), "{known:?}");
}

on_both! {
    async fn suspended_and_closing_tenants_on_every_operation(app: App) {
        let world = World::of(&app, &app.acme).await;
        let key = app.acme.key(&app, &["*"]).await;
        let requests = requests(&world).await;
        let path = |action: &str| format!("/v1/tenants/{}/{action}", app.acme.id);
        // The key first: what deletes is undone by nobody.
        for (action, back, refusal) in [("suspend", "resume", "tenant_suspended"), ("close", "reopen", "tenant_closing")] {
            app.admin.post(&path(action), json!({})).await.expect(200);
            let (changes, others): (Vec<_>, Vec<_>) =
                requests.iter().partition(|(case, _)| DONE.contains(&case.operation));
            check(&others, &key, refusal).await;
            check(&others, &app.acme.owner, refusal).await;
            // Another tenant goes on as ever.
            let body = json!({ "name": "free", "type": "TASK_RUNNER", "model": "mock/echo" });
            app.rival.owner.post("/v1/agents", body).await.expect(201);
            if action == "close" {
                for (case, request) in &changes {
                    let answer = request.send(&app.acme.owner).await;
                    let cell = format!("{}: {} {}", case.operation, answer.status, answer.text);
                    assert!(!REFUSALS.contains(&code(&answer.body)), "{cell}");
                }
            }
            app.admin.post(&path(back), Value::Null).await.expect(200);
        }
        for (case, request) in requests.iter().filter(|(case, _)| !DONE.contains(&case.operation)) {
            let answer = request.send(&app.acme.owner).await;
            assert!(!REFUSALS.contains(&code(&answer.body)), "{} is open again: {}", case.operation, answer.text);
        }
    }

    async fn people_of_a_tenant_that_stands_still_sign_in_and_out(app: App) {
        for action in ["suspend", "close"] {
            app.admin.post(&format!("/v1/tenants/{}/{action}", app.acme.id), json!({})).await.expect(200);
            let person = crate::support::people::sign_in(&app, &app.acme.owner_email).await;
            person.get("/v1/whoami").await.expect(200);
            person.patch("/v1/me", json!({ "name": action })).await.expect(200);
        }
    }
}
