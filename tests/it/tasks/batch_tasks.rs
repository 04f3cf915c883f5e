//! Batches: targets from any text, one run each, as fast as they may, within their budgets.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use service::clock::Clock;
use service::core::{Core, World};
use service::db::{Db, Reason};
use service::ids::Ids;
use service::tasks::batch_tasks::round;

use crate::support::process::Home;
use crate::support::{App, Backend, Client, Tenant, database, eventually, first_tenant};

struct Stage {
    owner: Client,
    definition: String,
}

impl Stage {
    async fn of(app: &App, config: Value) -> Self {
        let owner = app.acme.key(app, &["*"]).await;
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let definition = app.acme.definition("echo", json!({ "toolId": tool, "config": config })).await;
        Self { owner, definition }
    }

    /// Over an agent that is paused, so that runs stay until it is resumed.
    async fn held(app: &App) -> (Self, String) {
        let owner = app.acme.key(app, &["*"]).await;
        let agent = app.acme.agent("held", json!({})).await;
        owner.post(&format!("/v1/agents/{agent}/pause"), json!({})).await.expect(200);
        let definition = app.acme.definition("held", json!({ "agentId": agent })).await;
        (Self { owner, definition }, agent)
    }

    /// A draft with so many targets.
    async fn draft(&self, name: &str, count: usize, more: Value) -> String {
        let mut body = json!({ "name": name, "definitionId": self.definition });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.owner.post("/v1/batch-tasks", body).await.expect(201);
        let path = format!("/v1/batch-tasks/{}", made["id"].as_str().unwrap());
        if count > 0 {
            let added = upload(&self.owner, &path, "application/jsonl", lines(count)).await;
            assert_eq!((&added["added"], &added["rejected"]), (&json!(count), &json!(0)), "{added}");
        }
        path
    }

    async fn post(&self, path: &str, action: &str) -> Value {
        self.owner.post(&format!("{path}/{action}"), json!({})).await.expect(200)
    }

    async fn until(&self, path: &str, status: &str) -> Value {
        eventually(status, async || self.owner.get(path).await.expect(200)["status"] == status).await;
        self.owner.get(path).await.expect(200)
    }
}

fn lines(count: usize) -> String {
    (0..count)
        .map(|n| json!({ "targetKey": format!("t{n}"), "input": { "n": n } }).to_string() + "\n")
        .collect()
}

async fn upload(owner: &Client, path: &str, kind: &str, text: impl Into<String>) -> Value {
    let request = owner.request("POST", &format!("{path}/targets"));
    owner.send(request.header("content-type", kind).body(text.into())).await.expect(200)
}

fn counters(total: i64, completed: i64, failed: i64) -> Value {
    counters_at(total, completed, failed, "0")
}

fn counters_at(total: i64, completed: i64, failed: i64, cost: &str) -> Value {
    json!({ "total": total, "pending": total - completed - failed, "running": 0, "completed": completed,
        "failed": failed, "cancelled": 0, "cost": cost })
}

async fn number(app: &App, sql: &str) -> i64 {
    let rows = app.core.db.system(Reason::Operations).query(sql, Vec::new()).await.unwrap();
    rows[0].try_get("", "number").unwrap()
}

on_both! {
    async fn each_target_has_one_run_and_its_result(app: App) {
        let stage = Stage::of(&app, json!({})).await;
        let path = stage.draft("all", 300, json!({ "pacing": { "maxInFlight": 40 } })).await;
        let draft = stage.owner.get(&path).await.expect(200);
        assert_eq!((&draft["status"], &draft["counters"]), (&json!("DRAFT"), &counters(300, 0, 0)));
        let rehearsed = stage.owner.get(&format!("{path}/dry-run")).await.expect(200);
        assert_eq!((&rehearsed["checked"], &rehearsed["invalid"]), (&json!(300), &json!(0)));
        let estimate = stage.owner.get(&format!("{path}/estimate")).await.expect(200);
        assert_eq!((&estimate["targets"], &estimate["basis"], &estimate["cost"]), (&json!(300), &json!("TOOL_COST"), &json!("0")));
        assert_eq!(number(&app, "SELECT COUNT(*) AS number FROM task_run").await, 0, "nothing ran before its start");
        stage.post(&path, "start").await;
        let done = stage.until(&path, "COMPLETED").await;
        assert_eq!(done["counters"], counters(300, 300, 0));
        assert_eq!(number(&app, "SELECT COUNT(DISTINCT run_id) AS number FROM task_target").await, 300);
        assert_eq!(number(&app, "SELECT COUNT(*) AS number FROM task_run").await, 300);
        let results = stage.owner.get(&format!("{path}/results")).await;
        assert_eq!(results.headers["content-type"], "application/jsonl");
        let rows: Vec<Value> = results.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 300);
        for (n, row) in rows.iter().enumerate() {
            assert_eq!((&row["number"], &row["targetKey"]), (&json!(n + 1), &json!(format!("t{n}"))));
            assert_eq!((&row["output"], &row["status"]), (&json!({ "n": n }), &json!("COMPLETED")));
        }
        let rest = stage.owner.get(&format!("{path}/results?after=298&format=CSV")).await;
        assert_eq!(rest.headers["content-type"], "text/csv; charset=utf-8");
        let rest: Vec<&str> = rest.text.lines().collect();
        assert!(rest[0].starts_with("number,targetKey,status,"), "{rest:?}");
        assert!(rest.len() == 3 && rest[1].starts_with("299,t298,COMPLETED,\"{\"\"n\"\":298}\""), "{rest:?}");
        let one = stage.owner.get(&format!("{path}/targets?targetKey=t7")).await.expect(200);
        let run = stage.owner.get(&format!("/v1/task-runs/{}", one["data"][0]["runId"].as_str().unwrap())).await.expect(200);
        assert_eq!((&run["metadata"]["targetKey"], &run["input"]), (&json!("t7"), &json!({ "n": 7 })));
        assert!(run["createdBy"].as_str().unwrap().starts_with("batch:"));
        let again = stage.owner.get(&format!("{path}/estimate")).await.expect(200);
        assert_eq!((&again["basis"], &again["targets"], &again["sampled"]), (&json!("HISTORY"), &json!(0), &json!(100)));
        assert_eq!(stage.owner.get(&format!("{path}/targets?status=FAILED")).await.expect(200)["data"], json!([]));
    }

    async fn rows_that_are_wrong_are_named_by_line(app: App) {
        let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" }, "ok": { "type": "boolean" }, "name": { "type": "string" } }, "required": ["n"] });
        let stage = Stage::of(&app, json!({ "inputSchema": schema })).await;
        let path = stage.draft("rows", 0, json!({})).await;
        let text = "{\"targetKey\": \"a\", \"input\": {\"n\": 1}}\n\n{\"targetKey\": \"b\"\n{\"targetKey\": \"a\", \"input\": {\"n\": 2}}\n\
             {\"targetKey\": \"c\", \"input\": {\"n\": \"x\"}}\n{\"targetKey\": \"\", \"input\": {\"n\": 1}}\n{\"targetKey\": \"d\", \"input\": {\"n\": 1}, \"x\": 1}";
        let added = upload(&stage.owner, &path, "application/x-ndjson", text).await;
        assert_eq!((&added["added"], &added["rejected"]), (&json!(1), &json!(5)), "{added}");
        let errors: Vec<_> = added["errors"].as_array().unwrap().iter().map(|error| (error["line"].as_u64().unwrap(), error["code"].as_str().unwrap())).collect();
        assert_eq!(errors, [(3, "json"), (4, "duplicate"), (5, "input_invalid"), (6, "target_key"), (7, "json")]);

        let csv = "targetKey,n,ok,name\ne,5,true,\"Smith, Ada\"\nf,no,true,x\na,1,,\ng,1\n\"h\n2\",7,false,\n";
        let added = upload(&stage.owner, &path, "text/csv", csv).await;
        assert_eq!((&added["added"], &added["known"], &added["rejected"]), (&json!(2), &json!(1), &json!(2)), "{added}");
        let errors: Vec<_> = added["errors"].as_array().unwrap().iter().map(|error| (error["line"].as_u64().unwrap(), error["code"].as_str().unwrap())).collect();
        assert_eq!(errors, [(3, "input_invalid"), (5, "csv")]);
        let found = stage.owner.get(&format!("{path}/targets?targetKey=e")).await.expect(200);
        assert_eq!(found["data"][0]["input"], json!({ "n": 5, "ok": true, "name": "Smith, Ada" }));
    }

    async fn uploads_are_bounded_and_repeatable(app: App) {
        let stage = Stage::of(&app, json!({})).await;
        let path = stage.draft("again", 700, json!({})).await;
        let again = upload(&stage.owner, &path, "application/jsonl", lines(701)).await;
        assert_eq!((&again["added"], &again["known"]), (&json!(1), &json!(700)));
        let body = json!({ "targets": [{ "targetKey": "j", "input": 1 }] });
        let targets = format!("{path}/targets");
        let first = stage.owner.post_once(&targets, "k", body.clone()).await.expect(200);
        assert_eq!(first["added"], 1);
        assert_eq!(stage.owner.post_once(&targets, "k", body).await.expect(200), first);
        let request = |kind: &str, text: String| stage.owner.request("POST", &targets).header("content-type", kind).body(text);
        let refused = stage.owner.send(request("text/plain", "x".to_owned())).await;
        assert_eq!(refused.problem(415), "unsupported_media_type");
        let refused = stage.owner.send(request("text/csv", "id,n\nz,9\n".to_owned())).await;
        assert_eq!(refused.body["errors"][0]["code"], "csv", "{}", refused.text);
        let keyed = stage.owner.request("POST", &format!("{targets}?keyColumn=id")).header("content-type", "text/csv").body("id,n\nz,9\n");
        assert_eq!(stage.owner.send(keyed).await.expect(200)["added"], 1);
        let large = stage.owner.send(request("text/csv", format!("targetKey,n\n{}", "x".repeat(16 << 20)))).await;
        assert_eq!(large.problem(413), "payload_too_large");
        let large = format!("targetKey,n\nbig,{}\n", "x".repeat(2 << 20));
        let large = stage.owner.send(request("text/csv", large)).await.expect(200);
        assert_eq!(large["errors"][0]["code"], "too_large");
        stage.post(&path, "start").await;
        assert_eq!(stage.owner.send(request("application/jsonl", lines(1))).await.problem(409), "invalid_transition");
    }

    async fn failures_stop_it_and_are_retried(app: App) {
        let config = json!({ "outputSchema": { "type": "object", "properties": { "n": { "maximum": 9 } } }, "retry": { "maxAttempts": 1 } });
        let stage = Stage::of(&app, config).await;
        let path = stage.draft("failing", 30, json!({ "maxFailures": 4, "pacing": { "maxInFlight": 1 } })).await;
        stage.post(&path, "start").await;
        let paused = stage.until(&path, "PAUSED").await;
        assert_eq!((&paused["statusReason"], &paused["counters"]), (&json!("FAILURES"), &counters(30, 10, 5)));
        let told = stage.owner.get("/v1/audit-logs?action=pause_batch_task").await.expect(200);
        assert_eq!(told["data"][0]["actor"], "system");
        let failed = stage.owner.get(&format!("{path}/targets?status=FAILED&sort=createdAt")).await.expect(200);
        assert_eq!(failed["data"].as_array().unwrap().len(), 5);
        assert_eq!(failed["data"][0]["error"]["code"], "invalid_output", "{failed}");
        stage.owner.patch(&path, json!({ "maxFailures": null })).await.expect(200);
        stage.post(&path, "resume").await;
        let done = stage.until(&path, "COMPLETED_WITH_ERRORS").await;
        assert_eq!(done["counters"], counters(30, 10, 20));
        let definition = format!("/v1/task-definitions/{}", stage.definition);
        stage.owner.patch(&definition, json!({ "config": { "outputSchema": null } })).await.expect(200);
        stage.post(&path, "retry").await;
        let done = stage.until(&path, "COMPLETED").await;
        assert_eq!(done["counters"], counters(30, 30, 0));
        // What its steps decided is replayed: the failed run stays as it is.
        let again = stage.owner.get(&format!("{path}/targets?targetKey=t29")).await.expect(200);
        assert_eq!(again["data"][0]["tries"], 2);
        let run = stage.owner.get(&format!("/v1/task-runs/{}", again["data"][0]["runId"].as_str().unwrap())).await.expect(200);
        assert!(!run["replayOf"].is_null());
        assert_eq!(stage.owner.post(&format!("{path}/retry"), json!({})).await.problem(409), "nothing_failed");
    }

    async fn a_budget_stops_it(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let tool = json!({ "name": "paid", "description": "Costs.", "type": "FUNCTION", "config": { "function": "builtin/echo" }, "costPerCall": "0.5" });
        let tool = owner.post("/v1/tools", tool).await.expect(201)["id"].clone();
        let definition = app.acme.definition("paid", json!({ "toolId": tool })).await;
        let stage = Stage { owner, definition };
        let path = stage.draft("paid", 20, json!({ "maxCost": "2", "pacing": { "maxInFlight": 1 } })).await;
        let estimate = stage.owner.get(&format!("{path}/estimate")).await.expect(200);
        assert_eq!((&estimate["costPerTarget"], &estimate["cost"]), (&json!("0.5"), &json!("10")));
        stage.post(&path, "start").await;
        let paused = stage.until(&path, "PAUSED").await;
        assert_eq!((&paused["statusReason"], &paused["counters"]["cost"]), (&json!("BUDGET"), &json!("2")));
        stage.owner.patch(&path, json!({ "maxCost": null })).await.expect(200);
        stage.post(&path, "resume").await;
        assert_eq!(stage.until(&path, "COMPLETED").await["counters"]["cost"], "10");
    }

    async fn what_is_sent_again_is_paid_for_again(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let tool = json!({ "name": "paid", "description": "Costs.", "type": "FUNCTION", "config": { "function": "builtin/echo" }, "costPerCall": "0.5" });
        let tool = owner.post("/v1/tools", tool).await.expect(201)["id"].clone();
        let config = json!({ "outputSchema": { "properties": { "n": { "maximum": 0 } } }, "retry": { "maxAttempts": 1 } });
        let definition = app.acme.definition("paid", json!({ "toolId": tool, "config": config })).await;
        let stage = Stage { owner, definition };
        let path = stage.draft("dear", 2, json!({})).await;
        stage.post(&path, "start").await;
        assert_eq!(stage.until(&path, "COMPLETED_WITH_ERRORS").await["counters"]["cost"], "1");
        let definition = format!("/v1/task-definitions/{}", stage.definition);
        stage.owner.patch(&definition, json!({ "config": { "outputSchema": null } })).await.expect(200);
        stage.post(&path, "retry").await;
        assert_eq!(stage.until(&path, "COMPLETED").await["counters"]["cost"], "1.5");
    }

    async fn keys_of_the_definition_hold(app: App) {
        let (stage, agent) = Stage::held(&app).await;
        let keyed = json!({ "config": { "concurrency": { "key": "one", "strategy": "REJECT" } } });
        stage.owner.patch(&format!("/v1/task-definitions/{}", stage.definition), keyed).await.expect(200);
        let path = stage.draft("keyed", 3, json!({})).await;
        stage.post(&path, "start").await;
        eventually("two are refused", async || stage.owner.get(&path).await.expect(200)["counters"]["failed"] == 2).await;
        let refused = stage.owner.get(&format!("{path}/targets?targetKey=t2")).await.expect(200)["data"][0].clone();
        assert_eq!((&refused["error"]["code"], &refused["runId"], &refused["tries"]), (&json!("key_taken"), &Value::Null, &json!(0)));
        assert_eq!(number(&app, "SELECT COUNT(*) AS number FROM task_run").await, 1);
        stage.owner.post(&format!("/v1/agents/{agent}/resume"), json!({})).await.expect(200);
        let done = stage.until(&path, "COMPLETED_WITH_ERRORS").await;
        // A run of this agent costs 1400 nanos.
        assert_eq!(done["counters"], counters_at(3, 1, 2, "0.0000014"));
        // One after the other, none is refused.
        stage.owner.patch(&path, json!({ "pacing": { "maxInFlight": 1 } })).await.expect(200);
        stage.post(&path, "retry").await;
        assert_eq!(stage.until(&path, "COMPLETED").await["counters"], counters_at(3, 3, 0, "0.0000042"));
    }

    async fn bounds_hold_while_people_pause_and_cancel(app: App) {
        let (stage, agent) = Stage::held(&app).await;
        let path = stage.draft("held", 60, json!({ "pacing": { "maxInFlight": 7 } })).await;
        let empty = stage.draft("empty", 0, json!({})).await;
        assert_eq!(stage.owner.post(&format!("{empty}/start"), json!({})).await.problem(409), "batch_empty");
        stage.post(&path, "start").await;
        let running = async || stage.owner.get(&path).await.expect(200)["counters"]["running"].clone();
        eventually("all places are taken", async || running().await == 7).await;
        let paused = stage.owner.post(&format!("{path}/pause"), json!({ "reason": "Lunch." })).await.expect(200);
        assert_eq!((&paused["statusReason"], &paused["statusNote"]), (&json!("BY_USER"), &json!("Lunch.")));
        stage.owner.post(&format!("/v1/agents/{agent}/resume"), json!({})).await.expect(200);
        eventually("what ran goes on", async || stage.owner.get(&path).await.expect(200)["counters"]["completed"] == 7).await;
        assert_eq!(number(&app, "SELECT COUNT(*) AS number FROM task_run").await, 7, "no run is created");
        assert_eq!(stage.owner.delete(&path).await.problem(409), "invalid_transition");
        stage.owner.post(&format!("/v1/agents/{agent}/pause"), json!({})).await.expect(200);
        stage.post(&path, "resume").await;
        eventually("all places are taken again", async || running().await == 7).await;
        stage.post(&path, "cancel").await;
        eventually("all is cancelled", async || {
            let counters = stage.owner.get(&path).await.expect(200)["counters"].clone();
            counters["cancelled"] == 53 && counters["completed"] == 7 && counters["running"] == 0
        })
        .await;
        let cancelled = "SELECT COUNT(*) AS number FROM task_run WHERE status = 'CANCELLED'";
        assert_eq!(number(&app, cancelled).await, 7);
        // A person did it, and no policy.
        assert_eq!(number(&app, &format!("{cancelled} AND reason = 'BY_USER'")).await, 7);
        assert_eq!(stage.owner.post(&format!("{path}/retry"), json!({})).await.problem(409), "invalid_transition");
        assert_eq!(stage.owner.delete(&path).await.status, 204);
        eventually("its targets go", async || number(&app, "SELECT COUNT(*) AS number FROM task_target").await == 0).await;
    }

    async fn a_definition_that_is_gone_pauses_it(app: App) {
        let stage = Stage::of(&app, json!({})).await;
        let path = stage.draft("gone", 3, json!({})).await;
        let definition = format!("/v1/task-definitions/{}", stage.definition);
        stage.owner.patch(&definition, json!({ "isActive": false })).await.expect(200);
        stage.post(&path, "start").await;
        assert_eq!(stage.until(&path, "PAUSED").await["statusReason"], "DEFINITION_UNAVAILABLE");
        stage.owner.patch(&definition, json!({ "isActive": true })).await.expect(200);
        stage.post(&path, "resume").await;
        stage.until(&path, "COMPLETED").await;
    }

    async fn what_no_longer_fits_fails_before_it_runs(app: App) {
        let stage = Stage::of(&app, json!({})).await;
        let path = stage.draft("old", 4, json!({})).await;
        let schema = json!({ "config": { "inputSchema": { "properties": { "n": { "maximum": 1 } } } } });
        stage.owner.patch(&format!("/v1/task-definitions/{}", stage.definition), schema).await.expect(200);
        let rehearsed = stage.owner.get(&format!("{path}/dry-run")).await.expect(200);
        assert_eq!((&rehearsed["invalid"], &rehearsed["errors"][0]["targetKey"]), (&json!(2), &json!("t2")));
        stage.post(&path, "start").await;
        let done = stage.until(&path, "COMPLETED_WITH_ERRORS").await;
        assert_eq!(done["counters"], counters(4, 2, 2));
        let failed = stage.owner.get(&format!("{path}/targets?targetKey=t3")).await.expect(200);
        assert_eq!((&failed["data"][0]["error"]["code"], &failed["data"][0]["runId"]), (&json!("input_invalid"), &Value::Null));
    }
}

on_both! {
    manual;

    async fn the_rate_is_kept(app: App) {
        let stage = Stage::of(&app, json!({})).await;
        let path = stage.draft("slow", 30, json!({ "pacing": { "ratePerMinute": 6 } })).await;
        stage.post(&path, "start").await;
        let created = async || number(&app, "SELECT COUNT(*) AS number FROM task_run").await;
        eventually("the first has run", async || created().await == 1).await;
        for minute in 1..=3 {
            for _ in 0..60 {
                app.core.clock.advance(Duration::from_secs(1));
                round(&app.core).await.unwrap();
            }
            let now = created().await;
            assert!((6 * minute..=6 * minute + 1).contains(&now), "{now} after {minute} minutes");
        }
    }
}

/// Three nodes at once: each target one run, and never more of them than may be in flight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_send_each_target_once() {
    let clock = Clock::manual(chrono::DateTime::from_timestamp(1_900_000_000, 0).unwrap());
    let world = World { ids: Ids::random(clock.clone()), clock: clock.clone() };
    let app = App::start_with(Backend::Postgres, world, |config| config.engine.concurrency = 0).await;
    let stage = Stage::of(&app, json!({})).await;
    let path = stage.draft("wide", 900, json!({ "pacing": { "maxInFlight": 800 } })).await;
    stage.post(&path, "start").await;
    let mut nodes = vec![app.core.clone()];
    for _ in 0..2 {
        let world = World { ids: Ids::random(clock.clone()), clock: clock.clone() };
        nodes.push(Core::open(app.core.config.clone(), world).await.unwrap());
    }
    for _ in 0..6 {
        clock.advance(Duration::from_secs(1));
        let rounds = nodes.iter().cloned().map(|node| tokio::spawn(async move { round(&node).await }));
        for done in join_all(rounds).await {
            done.unwrap().unwrap();
        }
    }
    for (sql, wanted) in [
        ("SELECT COUNT(*) AS number FROM task_target WHERE status = 'RUNNING'", 800),
        ("SELECT COUNT(DISTINCT run_id) AS number FROM task_target", 800),
        ("SELECT COUNT(*) AS number FROM task_run", 800),
    ] {
        assert_eq!(number(&app, sql).await, wanted, "{sql}");
    }
}

/// `MC_BATCH` overrides it; the long proof takes 100,000.
const TARGETS: usize = 400;
const KILLS: usize = 4;

/// Nodes are killed while they send: counters equal rows, and each target has exactly one run.
async fn survive(backend: Backend, nodes: usize) {
    let size =
        |name: &str, default| std::env::var(name).ok().and_then(|size| size.parse().ok()).unwrap_or(default);
    let (targets, kills) = (size("MC_BATCH", TARGETS), size("MC_BATCH_KILLS", KILLS));
    let folder = tempfile::tempdir().unwrap();
    let home = Home {
        folder: folder.path().to_owned(),
        database: database::fresh(backend, folder.path()).await,
        private_hosts: "127.0.0.1".to_owned(),
        lease_seconds: 3,
        concurrency: 16,
    };
    let mut processes = Vec::new();
    for _ in 0..nodes {
        processes.push(home.start(0).await);
    }
    let acme: Tenant = first_tenant(&processes[0].url).await;
    let tool = acme.builtin("echo", "builtin/echo").await;
    let definition = acme.definition("echo", json!({ "toolId": tool })).await;
    let stage = Stage { owner: acme.owner.clone(), definition };
    let rate = u32::try_from(targets * 12).unwrap().min(60_000);
    let path =
        stage.draft("long", 0, json!({ "pacing": { "ratePerMinute": rate, "maxInFlight": 500 } })).await;
    let all: Vec<String> = lines(targets).lines().map(str::to_owned).collect();
    for some in all.chunks(50_000) {
        upload(&acme.owner, &path, "application/jsonl", some.join("\n")).await;
    }
    stage.post(&path, "start").await;
    for kill in 0..kills {
        let at = kill % processes.len();
        let owner = acme.owner.at(&processes[at].url);
        let share = i64::try_from(targets * (kill + 1) / (kills + 2)).unwrap();
        eventually("some have run", async || {
            owner.get(&path).await.expect(200)["counters"]["completed"].as_i64().unwrap() >= share
        })
        .await;
        processes[at].kill();
        processes[at] = home.start(0).await;
    }
    let owner = acme.owner.at(&processes[0].url);
    eventually("all have run", async || owner.get(&path).await.expect(200)["status"] == "COMPLETED").await;
    let counters = owner.get(&path).await.expect(200)["counters"].clone();
    processes.iter_mut().for_each(crate::support::process::Process::kill);
    drop(processes);
    let db = Db::connect(&home.database).await.unwrap();
    let number = async |sql: &str| {
        let rows = db.system(Reason::Operations).query(sql, Vec::new()).await.unwrap();
        rows[0].try_get::<i64>("", "number").unwrap()
    };
    let all = i64::try_from(targets).unwrap();
    assert_eq!((&counters["total"], &counters["completed"]), (&json!(all), &json!(all)));
    for sql in [
        "SELECT COUNT(*) AS number FROM task_target WHERE status = 'COMPLETED'",
        "SELECT COUNT(*) AS number FROM task_run",
        "SELECT COUNT(DISTINCT run_id) AS number FROM task_target",
        "SELECT COUNT(*) AS number FROM task_target t JOIN task_run r ON r.tenant_id = t.tenant_id AND r.id = t.run_id \
         WHERE r.status = 'COMPLETED' AND t.tries = 1",
    ] {
        assert_eq!(number(sql).await, all, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_nodes_on_postgres_send_each_target_once() {
    survive(Backend::Postgres, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_on_sqlite_sends_each_target_once() {
    survive(Backend::Sqlite, 1).await;
}
