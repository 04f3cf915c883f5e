//! The workspace matrix: what belongs to a STRICT workspace is answered to who is not of its team, whatever
//! their role, like what does not exist, wherever its id stands; and so is what a key's workspace does not have.

use std::collections::BTreeSet;

use api::openapi::operations;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use service::auth::permissions;

use super::cases::{self, Case, Takes};
use super::tenants::compare;
use super::world::{WITHIN, World};
use crate::support::{App, Client, people};

const AT_ONCE: usize = 8;
/// The workspace itself and its team: administrators see them.
const FRAME: [&str; 3] = ["workspace", "archived", "team-member"];
/// Their lists: administrators see the workspace itself in them.
const FRAMES: [&str; 2] = ["list_workspaces", "list_team_members"];
/// The log is whole for who may read it (docs/security.md).
const WHOLE: [&str; 1] = ["list_audit_logs"];

fn kind(text: &str) -> &str {
    text.trim_start_matches('@').trim_start_matches("new:")
}

/// The cases that name something of these kinds, each with the place of it.
fn cells<'a>(cases: &'a [Case], kinds: &'a [&'a str]) -> impl Iterator<Item = (&'a Case, String, String)> {
    cases.iter().filter(|case| !WHOLE.contains(&case.operation)).flat_map(move |case| {
        let places = case.places().into_iter().filter(|place| kinds.contains(&kind(&place.kind)));
        places.map(move |place| (case, place.position, place.kind))
    })
}

/// The lists of what belongs to workspaces, and the feed.
fn lists() -> impl Iterator<Item = &'static str> {
    let within = |name: &str| {
        ["team-activity-logs:read", "api-keys:read"].contains(&name)
            || permissions::find(name).is_some_and(|row| row.is_within_workspaces())
    };
    let lists = operations().iter().filter(|operation| {
        operation.method == "GET" && operation.id.starts_with("list_") && !operation.path.contains('{')
    });
    lists
        .filter(move |list| {
            list.permission.as_deref().is_some_and(within) && !FRAMES.contains(&list.id.as_str())
        })
        .map(|list| list.path.as_str())
}

async fn strict(app: &App) -> String {
    let body = json!({ "name": "Strict", "isolation": "STRICT" });
    let made = app.acme.owner.post("/v1/workspaces", body).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

async fn unknown(own: &World<'_>, hidden: &World<'_>, caller: &Client, kinds: &[&str]) -> usize {
    let cases = cases::all();
    let cells: Vec<_> = cells(&cases, kinds).collect();
    let done = stream::iter(cells).map(|(case, position, kind)| async move {
        compare(own, hidden, caller, case, &position, &kind).await;
    });
    done.buffer_unordered(AT_ONCE).count().await
}

on_both! {
    async fn what_belongs_to_a_strict_workspace_is_unknown_outside_of_its_team(app: App) {
        let (workspace, owner) = (strict(&app).await, &app.acme.owner);
        let colleague = people::member(&app, owner, "second@acme.example.com", "OWNER").await;
        let manager = people::member(&app, owner, "manager@acme.example.com", "MANAGER").await;
        let key = manager.post("/v1/api-keys", json!({ "name": "k", "scopes": ["*"] })).await.expect(201);
        let key = app.anyone().with_key(key["key"].as_str().unwrap());
        let (own, hidden) = tokio::join!(World::of(&app, &app.acme), World::within(&app, &app.acme, &workspace));
        for kind in WITHIN.iter().chain(&FRAME[2..]) {
            hidden.kept(kind).await;
        }
        let everything = [WITHIN, &["workspace", "team-member"]].concat();
        for (caller, kinds) in [(&colleague, WITHIN), (&manager, &everything), (&key, &everything)] {
            let count = unknown(&own, &hidden, caller, kinds).await;
            assert!(count > 50, "{count}");
        }
        // A team member sees what the others do not.
        for case in cases::all() {
            let names = case.places().iter().any(|place| everything.contains(&kind(&place.kind)));
            if !names || case.takes == Takes::Nothing {
                continue;
            }
            let mut request = case.request(&hidden, None, false).await;
            if let ("create_task_definition", Some(body)) = (case.operation, &mut request.body) {
                body["workspaceId"] = json!(workspace);
            }
            let answer = request.send(owner).await;
            assert!((200..300).contains(&answer.status), "{}: {}", case.operation, answer.text);
        }
    }

    async fn lists_and_the_feed_leave_out_what_is_hidden(app: App) {
        let (workspace, owner) = (strict(&app).await, &app.acme.owner);
        let admin = people::member(&app, owner, "admin@acme.example.com", "ADMIN").await;
        let manager = people::member(&app, owner, "manager@acme.example.com", "MANAGER").await;
        let hidden = World::within(&app, &app.acme, &workspace).await;
        let mut ids = Vec::new();
        for kind in WITHIN {
            ids.push(hidden.kept(kind).await);
        }
        let mut held = BTreeSet::new();
        for list in lists() {
            let path = format!("{list}?count=true&limit=200");
            let seen = owner.get(&path).await;
            if ids.iter().any(|id| seen.text.contains(id)) {
                held.insert(list);
            }
            for outside in [&admin, &manager] {
                let answer = outside.get(&path).await;
                let told = ids.iter().position(|id| answer.text.contains(id));
                assert_eq!(told.map(|at| WITHIN[at]), None, "{list}: {}", answer.text);
                assert!(!answer.text.contains(&workspace), "{list}");
                let body = answer.expect(200);
                let shown = body["data"].as_array().unwrap().len();
                assert_eq!(body["total"], json!(shown), "{list}");
            }
        }
        for list in ["agents", "tools", "task-definitions", "task-runs", "approvals", "run-waits", "events", "inbound-hooks",
            "hook-deliveries", "scheduled-tasks", "batch-tasks", "api-keys", "team-activity-logs"]
        {
            assert!(held.contains(&*format!("/v1/{list}")), "{list} has none of what was made: {held:?}");
        }
        assert!(admin.get("/v1/workspaces").await.text.contains(&workspace));
        assert!(!manager.get("/v1/workspaces").await.text.contains(&workspace));
    }

    async fn a_key_of_a_workspace_does_not_reach_beyond_it(app: App) {
        let workspace = strict(&app).await;
        let body = json!({ "name": "k", "scopes": ["*"], "workspaceId": workspace });
        let made = app.acme.owner.post("/v1/api-keys", body).await.expect(201);
        let key = app.anyone().with_key(made["key"].as_str().unwrap());
        let (other, own) = tokio::join!(World::of(&app, &app.acme), World::within(&app, &app.acme, &workspace));
        for kind in WITHIN {
            own.kept(kind).await;
        }
        let count = unknown(&own, &other, &key, &[WITHIN, &["workspace"]].concat()).await;
        assert!(count > 50, "{count}");
        let mut reached = 0;
        for case in cases::all() {
            let Some(row) = case.of().permission.as_deref().and_then(permissions::find) else { continue };
            let request = case.request(&own, None, !row.is_within_workspaces()).await;
            let answer = request.send(&key).await;
            if !row.is_within_workspaces() {
                assert_eq!(answer.problem(403), "permission_missing", "{}", case.operation);
            } else if matches!(case.takes, Takes::Person | Takes::ReachInPerson) {
                assert_eq!(answer.problem(403), "person_only", "{}", case.operation);
            } else if case.takes != Takes::Nothing {
                assert!((200..300).contains(&answer.status), "{}: {}", case.operation, answer.text);
                let belongs = answer.body.get("workspaceId").unwrap_or(&Value::Null);
                assert!(belongs.is_null() || *belongs == json!(workspace), "{}: {}", case.operation, answer.text);
                reached += 1;
            }
        }
        assert!(reached > 40, "{reached}");
    }
}
