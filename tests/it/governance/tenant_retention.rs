//! `/v1/tenant/retention`, and what it removes.

use std::time::Duration;

use chrono::DateTime;
use sea_orm::ColumnTrait as _;
use serde_json::{Value, json};
use service::clock::Clock;
use service::core::World;
use service::db::Reason;
use service::governance::tenant_retention;
use service::ids::Ids;

use crate::support::{App, Backend, Client};

fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 3600)
}

/// A server that removes nothing by itself, and whose clock the test moves.
async fn still(backend: Backend) -> App {
    let clock = Clock::manual(DateTime::from_timestamp(1_900_000_000, 0).unwrap());
    let world = World { ids: Ids::random(clock.clone()), clock };
    App::start_with(backend, world, |config| config.engine.concurrency = 0).await
}

/// As the engine's sweep does it.
async fn apply(app: &App) -> bool {
    let system = app.core.db.system(Reason::Operations);
    let tenants = system.find::<entity::identity::tenant::Entity>();
    let id: uuid::Uuid = app.acme.id.parse().unwrap();
    let acme = tenants.filter(entity::identity::tenant::Column::Id.eq(id)).one().await.unwrap().unwrap();
    tenant_retention::apply(&app.core, &acme).await.unwrap()
}

async fn class(caller: &Client, name: &str) -> Value {
    let shown = caller.get("/v1/tenant/retention").await.expect(200);
    shown["classes"].as_array().unwrap().iter().find(|class| class["class"] == name).unwrap().clone()
}

async fn ended_runs_go_and_live_ones_stay(app: App) {
    let owner = app.acme.key(&app, &["*"]).await;
    owner.patch("/v1/tenant/retention", json!({ "runsDays": 30 })).await.expect(200);
    let agent = app.acme.agent("a", json!({})).await;
    let run = async |client: &Client| {
        let made = client.post("/v1/task-runs", json!({ "agentId": agent, "input": "x" })).await.expect(201);
        format!("/v1/task-runs/{}", made["id"].as_str().unwrap())
    };
    let (old, live) = (run(&owner).await, run(&owner).await);
    owner.post(&format!("{old}/cancel"), json!({})).await.expect(200);
    let again = owner.post(&format!("{old}/replay"), json!({})).await.expect(201);
    let again = format!("/v1/task-runs/{}", again["id"].as_str().unwrap());
    app.core.clock.advance(days(29));
    let young = run(&owner).await;
    owner.post(&format!("{young}/cancel"), json!({})).await.expect(200);
    assert_eq!(class(&owner, "RUNS").await["due"], 0);
    app.core.clock.advance(days(2));
    let preview = owner.get("/v1/tenant/retention?runsDays=365").await.expect(200);
    let kept_longer =
        preview["classes"].as_array().unwrap().iter().find(|class| class["class"] == "RUNS").unwrap();
    assert_eq!((&kept_longer["due"], &kept_longer["days"]), (&json!(0), &json!(365)));
    let due = class(&owner, "RUNS").await;
    assert_eq!((&due["due"], &due["days"], &due["isOwn"]), (&json!(1), &json!(30), &json!(true)));
    assert!(apply(&app).await);
    assert_eq!(class(&owner, "RUNS").await["due"], 0);
    owner.get(&old).await.problem(404);
    for kept in [&live, &young, &again] {
        owner.get(kept).await.expect(200);
    }
    assert_eq!(owner.get(&again).await.expect(200)["replayOf"], Value::Null);
    let told = owner.get("/v1/audit-logs?action=apply_retention").await.expect(200)["data"].clone();
    let of_runs: Vec<_> =
        told.as_array().unwrap().iter().filter(|row| row["newData"]["of"] == "RUNS").collect();
    assert_eq!(
        (of_runs.len(), &of_runs[0]["newData"]["removed"], &of_runs[0]["actor"]),
        (1, &json!(1), &json!("system"))
    );
    assert!(apply(&app).await, "nothing is left");
}

async fn the_audit_log_keeps_an_anchor(app: App) {
    let owner = app.acme.key(&app, &["*"]).await;
    app.acme.agent("old", json!({})).await;
    let kept = owner.get("/v1/audit-logs/checkpoint").await.expect(200);
    app.core.clock.advance(days(364));
    owner
        .post("/v1/agents", json!({ "name": "young", "type": "TASK_RUNNER", "model": "mock/echo" }))
        .await
        .expect(201);
    app.core.clock.advance(days(2));
    let due = class(&owner, "AUDIT").await["due"].as_i64().unwrap();
    assert!(due > 1);
    assert!(apply(&app).await);
    assert_eq!(class(&owner, "AUDIT").await["due"], 0);
    let verified = owner.get("/v1/audit-logs/verify").await.expect(200);
    assert_eq!((&verified["intact"], &verified["anchor"]), (&json!(true), &json!(due)), "{verified}");
    assert_eq!(kept["number"], due, "the checkpoint is of the last row that went");
    let query = format!("/v1/audit-logs/verify?checkpoint={}", kept["checkpoint"].as_str().unwrap());
    assert_eq!(owner.get(&query).await.expect(200)["checkpoint"], "CONTAINED");
    let left = owner.get("/v1/audit-logs?sort=createdAt&limit=1").await.expect(200);
    assert_eq!(
        (&left["data"][0]["newData"]["name"], &left["data"][0]["number"]),
        (&json!("young"), &json!(due + 1))
    );
    assert!(app.rival.owner.get("/v1/audit-logs").await.status == 401, "a year is over");
}

async fn ended_sessions_go(app: App) {
    let owner = app.acme.key(&app, &["*"]).await;
    app.core.clock.advance(days(31));
    let login = json!({ "email": app.acme.owner_email, "password": crate::support::PASSWORD });
    let fresh = app.anyone().post("/v1/auth/login", login).await.expect(200);
    app.core.clock.advance(days(29));
    assert_eq!(class(&owner, "SESSIONS").await["due"], 0);
    app.core.clock.advance(days(1));
    assert_eq!(class(&owner, "SESSIONS").await["due"], 1, "thirty days after thirty days");
    assert!(apply(&app).await);
    assert_eq!(class(&owner, "SESSIONS").await["due"], 0);
    assert!(fresh["refreshToken"].is_string());
}

macro_rules! on_each {
    ($($name:ident)+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::still(super::Backend::Sqlite).await).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::still(super::Backend::Postgres).await).await;
            })+
        }
    };
}

/// More than one batch of copies of the one event and the one delivery that there are, each with an id of its own.
async fn many_copies(app: &App, tenant: &str, count: usize) {
    let tenant: uuid::Uuid = tenant.parse().unwrap();
    let tx = app.core.db.system(Reason::Operations).begin().await.unwrap();
    let copies = [
        "INSERT INTO event (tenant_id, id, workspace_id, type, data, source, dedupe_id, correlation_key, resumed, created_by, request_id, created_at) \
         SELECT e.tenant_id, $2, e.workspace_id, e.type, e.data, e.source, NULL, NULL, 0, e.created_by, e.request_id, e.created_at \
         FROM event e WHERE e.tenant_id = $1 ORDER BY e.id LIMIT 1",
        "INSERT INTO hook_delivery (tenant_id, id, workspace_id, hook_id, delivery_id, type, verdict, code, message, headers, content_type, body_bytes, run_id, resumed, replay_of, created_by, created_at) \
         SELECT d.tenant_id, $2, d.workspace_id, d.hook_id, NULL, d.type, d.verdict, d.code, d.message, d.headers, d.content_type, d.body_bytes, NULL, 0, NULL, d.created_by, d.created_at \
         FROM hook_delivery d WHERE d.tenant_id = $1 ORDER BY d.id LIMIT 1",
    ];
    for sql in copies {
        for _ in 0..count {
            let id = app.core.ids.next();
            let made = tx.execute(sql, vec![tenant.into(), id.into()]).await.unwrap();
            assert_eq!(made.rows_affected(), 1);
        }
    }
    tx.commit().await.unwrap();
}

/// One event, and one delivery to a hook.
async fn come_in(app: &App, tenant: &crate::support::Tenant, key: &Client) {
    key.post("/v1/events", json!({ "type": "old.event" })).await.expect(201);
    let tool = tenant.builtin("echo", "builtin/echo").await;
    let more = json!({ "type": "WEBHOOK", "toolId": tool, "trigger": { "type": "WEBHOOK" } });
    let definition = tenant.definition("hooked", more).await;
    let hook = json!({ "name": "h", "definitionId": definition, "scheme": "NONE" });
    let hook = tenant.owner.post("/v1/inbound-hooks", hook).await.expect(201);
    let (_, token) = hook["url"].as_str().unwrap().rsplit_once('/').unwrap();
    app.anyone().post(&format!("/v1/hooks/{token}"), json!({ "a": 1 })).await.expect(202);
}

async fn old_events_and_deliveries_go_in_batches(app: App) {
    let keys = [app.acme.key(&app, &["*"]).await, app.rival.key(&app, &["*"]).await];
    keys[0].patch("/v1/tenant/retention", json!({ "runsDays": 30 })).await.expect(200);
    for (tenant, key) in [&app.acme, &app.rival].into_iter().zip(&keys) {
        come_in(&app, tenant, key).await;
        many_copies(&app, &tenant.id, 510).await;
    }
    app.core.clock.advance(days(31));
    keys[0].post("/v1/events", json!({ "type": "young.event" })).await.expect(201);
    for name in ["EVENTS", "HOOK_DELIVERIES"] {
        let due = class(&keys[0], name).await;
        assert_eq!(
            (&due["due"], &due["days"], &due["isOwn"]),
            (&json!(511), &json!(30), &json!(true)),
            "{name}"
        );
    }
    let mut rounds = 1;
    while !apply(&app).await {
        rounds += 1;
        assert!(rounds < 20);
    }
    for name in ["EVENTS", "HOOK_DELIVERIES"] {
        assert_eq!(class(&keys[0], name).await["due"], 0, "{name}");
        let told = keys[0].get("/v1/audit-logs?action=apply_retention&limit=200").await.expect(200);
        let of: Vec<_> =
            told["data"].as_array().unwrap().iter().filter(|row| row["newData"]["of"] == name).collect();
        let removed: Vec<_> = of.iter().map(|row| row["newData"]["removed"].as_i64().unwrap()).collect();
        assert_eq!(removed, [11, 500], "{name}: two batches, the newest first");
    }
    let left = keys[0].get("/v1/events").await.expect(200);
    assert_eq!(
        (&left["data"][0]["type"], left["data"].as_array().unwrap().len()),
        (&json!("young.event"), 1)
    );
    for list in ["events", "hook-deliveries"] {
        let theirs = keys[1].get(&format!("/v1/{list}?count=true&limit=1")).await.expect(200);
        assert_eq!(theirs["total"], 511, "{list} of the rival stay");
    }
}

on_each! {
    ended_runs_go_and_live_ones_stay
    the_audit_log_keeps_an_anchor
    ended_sessions_go
    old_events_and_deliveries_go_in_batches
}

on_both! {
    idle;
    async fn the_days_of_a_tenant_are_no_more_than_its_plan_allows(app: App) {
        let owner = &app.acme.owner;
        let days = |days: i32| json!({ "dataRetentionDays": days });
        owner.patch("/v1/tenant", days(3650)).await.expect(200);
        app.admin.patch(&format!("/v1/tenants/{}", app.acme.id), json!({ "plan": "FREE" })).await.expect(200);
        // What it had before stands, and is held to the plan; it is no reason to refuse another change.
        owner.patch("/v1/tenant", json!({ "name": "Acme", "dataRetentionDays": 3650 })).await.expect(200);
        assert_eq!(class(owner, "RUNS").await["days"], 365);
        for (wish, is_allowed) in [(365, true), (366, false), (3650, false), (364, true)] {
            let answer = owner.patch("/v1/tenant", days(wish)).await;
            if is_allowed {
                assert_eq!(answer.expect(200)["dataRetentionDays"], wish);
                continue;
            }
            let refused = answer.expect(422);
            assert_eq!((&refused["errors"][0]["code"], &refused["errors"][0]["pointer"]), (&json!("above_ceiling"), &json!("/dataRetentionDays")));
        }
        assert_eq!(owner.get("/v1/tenant").await.expect(200)["dataRetentionDays"], 364);
        app.rival.owner.patch("/v1/tenant", days(3650)).await.expect(200);
    }
}

on_both! {
    async fn wishes_are_held_between_floor_and_ceiling(app: App) {
        let owner = &app.acme.owner;
        app.admin.patch(&format!("/v1/tenants/{}", app.acme.id), json!({ "plan": "FREE" })).await.expect(200);
        let shown = owner.get("/v1/tenant/retention").await;
        assert_eq!(shown.headers["etag"], "\"0\"");
        assert_eq!(class(owner, "RUNS").await["days"], 365);
        owner.patch("/v1/tenant", json!({ "dataRetentionDays": 40 })).await.expect(200);
        assert_eq!((&class(owner, "RUNS").await["days"], &class(owner, "AUDIT").await["days"]), (&json!(40), &json!(90)));
        let changed = owner.patch("/v1/tenant/retention", json!({ "runsDays": 10, "auditDays": 200 })).await.expect(200);
        assert_eq!((&changed["revision"], &changed["classes"][0]["days"]), (&json!(1), &json!(10)));
        let changed = owner.patch("/v1/tenant/retention", json!({ "runsDays": null })).await.expect(200);
        assert_eq!((&changed["revision"], &changed["classes"][0]["days"], &changed["classes"][1]["days"]), (&json!(2), &json!(40), &json!(200)));
        for (wrong, pointer) in [
            (json!({ "runsDays": 366 }), "/runsDays"),
            (json!({ "auditDays": 89 }), "/auditDays"),
            (json!({ "sessionsDays": 0 }), "/sessionsDays"),
            (json!({ "memoriesDays": 1 }), "/memoriesDays"),
        ] {
            let refused = owner.patch("/v1/tenant/retention", wrong).await.expect(422);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
        }
        let late = owner.request("PATCH", "/v1/tenant/retention").header("if-match", "\"1\"").json(&json!({ "runsDays": 1 }));
        owner.send(late).await.problem(412);
        app.admin.patch(&format!("/v1/tenants/{}", app.acme.id), json!({ "plan": "ENTERPRISE" })).await.expect(200);
        owner.patch("/v1/tenant/retention", json!({ "runsDays": 3650 })).await.expect(200);
        app.admin.patch(&format!("/v1/tenants/{}", app.acme.id), json!({ "plan": "FREE" })).await.expect(200);
        assert_eq!(class(owner, "RUNS").await["days"], 365, "a smaller plan keeps less");
        assert_eq!(class(&app.rival.owner, "RUNS").await["isOwn"], false);
    }
}
