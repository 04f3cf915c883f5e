//! The audit matrix: whatever changes something leaves exactly one audit row in the tenant it changed and
//! none in the other, and so does whatever is refused for want of a permission.

use std::collections::BTreeMap;

use serde_json::Value;
use service::db::Reason;

use super::cases::{self, Case, Takes};
use super::request::Request;
use super::world::World;
use crate::support::{App, Client};

/// Their record is the run itself, whose first event names who asked for it (docs/decisions.md).
const RECORDED_BY_THEIR_RUN: [&str; 3] = ["create_task_run", "replay_task_run", "invoke_tool"];
/// The session stays as it is, with its next token; who asks for a mail is nobody yet, and the outbox
/// says what became of it; to begin at a provider changes nothing; the owner's address needs no verification;
/// to have read something is nobody's business; an event and a delivery are rows of their own, with who brought them;
/// what a worker does stands in the timelines of its runs.
const UNRECORDED: [&str; 18] = [
    "add_attempt_events",
    "beat_worker",
    "claim_task_runs",
    "complete_attempt",
    "create_event",
    "fail_attempt",
    "receive_hook",
    "release_attempt",
    "suspend_attempt",
    "mark_all_notifications_read",
    "mark_notification_read",
    "preview_invite",
    "refresh_session",
    "request_password_reset",
    "request_magic_link",
    "request_email_verification",
    "start_oidc_sign_in",
    "start_account_link",
];

fn changes() -> impl Iterator<Item = Case> {
    cases::all().into_iter().filter(|case| case.of().method != "GET" && case.takes != Takes::Nothing)
}

/// How many rows each chain has.
pub(super) async fn counted(app: &App) -> BTreeMap<String, i64> {
    let sql = "SELECT tenant_id, COUNT(*) AS audited FROM audit_log GROUP BY tenant_id";
    let rows = app.core.db.system(Reason::Operations).query(sql, Vec::new()).await.unwrap();
    let pair = |row: &sea_orm::QueryResult| {
        let tenant: uuid::Uuid = row.try_get("", "tenant_id").unwrap();
        (tenant.to_string(), row.try_get("", "audited").unwrap())
    };
    rows.iter().map(pair).collect()
}

/// The chains that grew, and by how much.
fn grown(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let grown =
        after.iter().map(|(tenant, count)| (tenant.clone(), count - before.get(tenant).unwrap_or(&0)));
    grown.filter(|(_, more)| *more != 0).collect()
}

async fn newest(tenant: &Client) -> Value {
    tenant.get("/v1/audit-logs?limit=1").await.expect(200)["data"][0].clone()
}

on_both! {
    async fn every_change_leaves_one_row_in_its_tenant(app: App) {
        let world = World::of(&app, &app.acme).await;
        let mut seen = 0;
        for case in changes() {
            let platform = case.is_of_platform();
            let caller = if platform { &app.admin } else { &app.acme.owner };
            let request = case.request(&world, None, false).await;
            let was = caller.get(&request.path).await.body;
            let before = counted(&app).await;
            let answer = request.send(caller).await;
            assert!((200..300).contains(&answer.status), "{}: {}", case.operation, answer.text);
            let grown = grown(&before, &counted(&app).await);
            // A patch to what is there already.
            let is_same = request.method == "PATCH" && was["revision"] == answer.body["revision"];
            if is_same || UNRECORDED.contains(&case.operation) {
                assert_eq!(grown, BTreeMap::new(), "{}", case.operation);
                continue;
            }
            if RECORDED_BY_THEIR_RUN.contains(&case.operation) {
                assert_eq!(grown, BTreeMap::new(), "{}", case.operation);
                let id = answer.body.get("runId").unwrap_or(&answer.body["id"]).as_str().unwrap();
                let events = app.acme.owner.get(&format!("/v1/task-runs/{id}/events")).await.expect(200);
                let made = &events["data"][0];
                assert!(made["data"]["by"].as_str().unwrap().starts_with("user:"), "{made}");
                assert_eq!(made["data"]["requestId"], answer.headers["x-request-id"].to_str().unwrap());
                continue;
            }
            let tenant = match case.operation {
                "create_tenant" | "suspend_tenant" | "resume_tenant" | "close_tenant" | "reopen_tenant" => answer.body["id"].as_str().unwrap().to_owned(),
                _ => app.acme.id.clone(),
            };
            assert_eq!(grown, BTreeMap::from([(tenant.clone(), 1)]), "{}", case.operation);
            if tenant == app.acme.id {
                let row = newest(&app.acme.owner).await;
                assert_eq!(row["action"], case.operation, "{row}");
                assert_eq!(row["outcome"], "SUCCEEDED");
                assert_eq!(row["requestId"], answer.headers["x-request-id"].to_str().unwrap());
                assert_eq!(row["ipAddress"], "127.0.0.1");
                assert!(!row["resource"].is_null() && !row["resourceId"].is_null(), "{row}");
                let actor = match case.operation {
                    // Who declines has shown no account.
                    "decline_invite" => "team-invite:",
                    _ if platform => "platform-admin:",
                    _ => "user:",
                };
                assert!(row["actor"].as_str().unwrap().starts_with(actor), "{row}");
            }
            seen += 1;
        }
        assert!(seen > 30, "{seen}");
    }

    async fn every_refusal_leaves_one_row(app: App) {
        let world = World::of(&app, &app.acme).await;
        let mut seen = 0;
        for case in cases::all() {
            let name = case.of().permission.as_deref().unwrap_or_default();
            // Open to the world, or to all who signed in: nobody is refused for want of a permission.
            if matches!(name, "" | "authenticated") {
                continue;
            }
            // A key for each, because what one caller may write by being refused is bounded.
            let other = if name == "agents:read" { "tools:read" } else { "agents:read" };
            let caller = app.acme.key(&app, &[other]).await;
            let request = case.request(&world, None, true).await;
            let before = counted(&app).await;
            let answer = Request { query: Vec::new(), ..request }.send(&caller).await;
            assert_eq!(answer.status, 403, "{}: {}", case.operation, answer.text);
            let grown = grown(&before, &counted(&app).await);
            assert_eq!(grown, BTreeMap::from([(app.acme.id.clone(), 1)]), "{}", case.operation);
            let row = newest(&app.acme.owner).await;
            assert_eq!((&row["action"], &row["outcome"]), (&case.operation.into(), &"REFUSED".into()), "{row}");
            assert_eq!(row["code"], "permission_missing");
            assert!(row["actor"].as_str().unwrap().starts_with("api-key:"), "{row}");
            seen += 1;
        }
        assert!(seen > 50, "{seen}");
    }
}
