//! The tenant matrix: another tenant's id is answered like one that does not exist, wherever it stands.

use std::collections::{BTreeMap, BTreeSet};

use api::openapi::operations;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use service::db::Reason;

use super::cases::{self, Case, Takes};
use super::request::Request;
use super::world::World;
use super::{positions, rows};
use crate::support::{Answer, App, Client, eventually};

/// Requests under way at once.
const AT_ONCE: usize = 8;
/// What nobody has.
pub const NOBODYS: &str = "01980000-0000-7000-8000-00000000dead";
const NO_CURSOR: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// Answers each lease of its body by itself: an unknown one is lost.
const ANSWERED: [&str; 1] = ["beat_worker"];
/// Says in `next` how far its reader is, which is another place with each event of the tenant and each moment.
const OF_THE_MOMENT: [&str; 1] = ["get_stream"];
/// Their cursors are numbers within one run, which the path names.
const COUNTED: [&str; 2] = ["list_run_events", "list_run_steps"];

#[test]
fn the_table_has_every_operation_and_fills_every_place_of_an_id() {
    let mut filled = BTreeMap::<_, BTreeSet<String>>::new();
    for case in cases::all() {
        let places = case.places().into_iter();
        let is_filled = |kind: &str| kind.starts_with('@') || COUNTED.contains(&case.operation);
        let places = places.filter(|place| is_filled(&place.kind)).map(|place| place.position);
        filled.entry(case.operation).or_default().extend(places);
    }
    let mut count = 0;
    for operation in operations() {
        let filled = filled.get(operation.id.as_str());
        let filled = filled.unwrap_or_else(|| panic!("no case for {}", operation.id));
        for position in positions::of(operation) {
            assert!(filled.contains(&position), "{}: no case fills {position}", operation.id);
            count += 1;
        }
    }
    assert_eq!(filled.len(), operations().len());
    assert!(count > 60, "only {count} places of ids were found");
}

on_both! {
    async fn another_tenants_ids_are_unknown(app: App) {
        let (own, other) = tokio::join!(World::of(&app, &app.acme), World::of(&app, &app.rival));
        let key = app.acme.key(&app, &["*"]).await;
        let cases = cases::all();
        eventually("who may decide is told", async || all_are_told(&app).await).await;
        let before = rows::of(&app, &app.rival.id).await;
        for caller in [&app.acme.owner, &key] {
            let cells = cases.iter().flat_map(|case| case.places().into_iter().map(move |place| (case, place)));
            let cells = cells.filter(|(_, place)| place.kind.starts_with('@') && is_reference(&place.kind));
            let done = stream::iter(cells).map(|(case, place)| {
                let (own, other) = (&own, &other);
                async move { compare(own, other, caller, case, &place.position, &place.kind).await }
            });
            let count = done.buffer_unordered(AT_ONCE).count().await;
            assert!(count > 60, "{count}");
        }
        let mut after = rows::of(&app, &app.rival.id).await;
        // The other tenant's owner asks for a page of the platform's on the way, and is refused.
        let asked = |row: &String|  ["list_tenants", "list_tenant_erasures", "list_mails", "list_users"].iter().any(|name| row.contains(name));
        after.get_mut("audit_log").unwrap().retain(|row| !(row.contains("REFUSED") && asked(row)));
        // What was created before is written a moment later.
        for written in ["audit_chain", "run_usage"] {
            after.insert(written.to_owned(), before[written].clone());
        }
        for (table, rows) in &before {
            let changed: Vec<_> = after[table].iter().filter(|row| !rows.contains(row)).collect();
            assert!(changed.is_empty() && rows.len() == after[table].len(), "{table}: {changed:#?}");
        }
        assert_eq!(before.len(), after.len());
    }

    async fn the_same_requests_with_own_ids_succeed(app: App) {
        let own = World::of(&app, &app.acme).await;
        let everything = app.acme.key(&app, &["*"]).await;
        let admins = app.admin.post("/v1/api-keys", json!({ "name": "all", "scopes": ["*"] })).await.expect(201);
        let admins = app.anyone().with_key(admins["key"].as_str().unwrap());
        for case in cases::all() {
            let platform = case.is_of_platform();
            let [person, key] = if platform { [&app.admin, &admins] } else { [&app.acme.owner, &everything] };
            for (caller, is_key) in [(person, false), (key, true)] {
                let request = case.request(&own, None, false).await;
                let request = if platform && case.is_list() {
                    Request { query: Vec::new(), ..request }
                } else {
                    request
                };
                let answer = request.send(caller).await;
                let refused = case.takes == Takes::Nothing || (is_key && matches!(case.takes, Takes::Person | Takes::ReachInPerson));
                let succeeded = (200..300).contains(&answer.status);
                assert_ne!(succeeded, refused, "{} {}: {} {}", request.method, request.path, answer.status, answer.text);
                let filtered = request.query.iter().any(|(name, _)| name.ends_with("Id") && name != "parentRunId");
                if succeeded && filtered {
                    assert_ne!(answer.body["data"], json!([]), "{}: the filter finds its own", request.path);
                }
            }
        }
    }

    async fn a_stream_of_another_tenants_run_does_not_open(app: App) {
        let other = World::of(&app, &app.rival).await;
        let mut answers = Vec::new();
        for id in [other.kept("run").await, NOBODYS.to_owned()] {
            let request = app.acme.owner.request("GET", &format!("/v1/task-runs/{id}/events"));
            let request = request.header("accept", "text/event-stream").header("last-event-id", "1");
            answers.push(shown(&app.acme.owner.send(request).await, &id));
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0].0, 404);
    }
}

/// Whether nothing is told any more that was caused before, and no worker's lease is left to end.
async fn all_are_told(app: &App) -> bool {
    let sql = "SELECT 1 AS untold FROM approval WHERE told_at IS NULL AND status = 'PENDING' \
         UNION ALL SELECT 1 AS untold FROM schedule_fire WHERE settled_at IS NULL \
         UNION ALL SELECT 1 AS untold FROM batch_task b WHERE deleted_at IS NULL AND (status = 'VALIDATING' \
         OR (status = 'RUNNING' AND NOT EXISTS (SELECT 1 FROM task_target t WHERE t.tenant_id = b.tenant_id \
         AND t.batch_id = b.id AND t.status = 'RUNNING'))) \
         UNION ALL SELECT 1 AS untold FROM task_run WHERE status = 'RUNNING' AND capability IS NOT NULL";
    app.core.db.system(Reason::Operations).query(sql, Vec::new()).await.unwrap().is_empty()
}

/// Whether a place names something that is another tenant's.
fn is_reference(kind: &str) -> bool {
    !matches!(kind, "@email" | "@password" | "@new:session") && !kind.ends_with("-token")
}

pub async fn compare(
    own: &World<'_>,
    other: &World<'_>,
    caller: &Client,
    case: &Case,
    position: &str,
    kind: &str,
) {
    let path = &case.of().path;
    // A list below a resource is read of the other tenant's own resource.
    let foreign = if kind == "@cursor" {
        foreign_cursor(other, case).await
    } else {
        other.value(kind, path, true).await
    };
    let nobodys = if kind == "@cursor" { NO_CURSOR } else { NOBODYS };
    let mut answers = Vec::new();
    for id in [foreign.as_str(), nobodys] {
        let request = case.request(own, Some((position, id)), true).await;
        let (status, mut body) = shown(&request.send(caller).await, id);
        if OF_THE_MOMENT.contains(&case.operation) && status == 200 {
            let next = body["next"].take();
            let is_place = |next: &str| next.split('-').all(|number| number.parse::<i64>().is_ok());
            assert!(next.as_str().is_some_and(is_place), "{}: {next}", case.operation);
        }
        answers.push((status, body));
    }
    let place = format!("{} {position}", case.operation);
    assert_eq!(answers[0], answers[1], "{place}: the other tenant's id, and nobody's");
    let (status, body) = &answers[0];
    if *status == 200 && ANSWERED.contains(&case.operation) && position.starts_with("body:") {
        assert_eq!(body["leases"][0]["state"], "LOST", "{place}");
        return;
    }
    let filters = position.starts_with("query:") && kind != "@cursor";
    if filters && *status == 200 {
        assert_eq!(body["data"], json!([]), "{place}");
    } else {
        assert!((400..500).contains(status), "{place}: {status} {body}");
    }
}

async fn foreign_cursor(other: &World<'_>, case: &Case) -> String {
    let request = case.request(other, None, true).await;
    request.query.into_iter().find(|(name, _)| name == "cursor").unwrap().1
}

/// Status and body, without what differs in every answer and what the caller sent.
fn shown(answer: &Answer, id: &str) -> (u16, Value) {
    let mut body: Value = serde_json::from_str(&answer.text.replace(id, "<id>")).unwrap_or(Value::Null);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("requestId");
        fields.remove("instance");
    }
    (answer.status, body)
}
