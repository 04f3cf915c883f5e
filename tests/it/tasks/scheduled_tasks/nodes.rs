//! Any number of nodes, without a leader: each time is fired once, also where nodes die.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use service::clock::Clock;
use service::core::{Core, World};
use service::db::{Db, Reason};
use service::ids::Ids;
use service::tasks::scheduled_tasks::round;
use uuid::Uuid;

use super::herd::{multiply, number};
use super::{Stage, seconds};
use crate::support::process::{Home, Process};
use crate::support::{App, Backend, database, eventually, first_tenant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_at_once_fire_each_time_once() {
    const SCHEDULES: usize = 300;
    const TIMES: usize = 8;
    let clock = Clock::manual(DateTime::from_timestamp(1_900_000_000, 0).unwrap());
    let world = World { ids: Ids::random(clock.clone()), clock: clock.clone() };
    let app = App::start_with(Backend::Postgres, world, |config| config.engine.concurrency = 0).await;
    let stage = Stage::of(&app).await;
    let id = stage.create("first", json!({ "overlap": "ALLOW", "catchup": "ALL" })).await;
    multiply(&app, &id, SCHEDULES - 1).await;
    let mut nodes = vec![app.core.clone()];
    for _ in 0..2 {
        let world = World { ids: Ids::random(clock.clone()), clock: clock.clone() };
        nodes.push(Core::open(app.core.config.clone(), world).await.unwrap());
    }
    for _ in 0..TIMES {
        clock.advance(seconds(60));
        let rounds = nodes.iter().cloned().map(|node| tokio::spawn(async move { round(&node).await }));
        for done in rounds.collect::<Vec<_>>() {
            done.await.unwrap().unwrap();
        }
    }
    round(&app.core).await.unwrap();
    let expected = i64::try_from(SCHEDULES * TIMES).unwrap();
    for (sql, wanted) in [
        ("SELECT COUNT(*) AS number FROM schedule_fire WHERE status = 'STARTED'", expected),
        ("SELECT COUNT(*) AS number FROM schedule_fire", expected),
        (
            "SELECT COUNT(*) AS number FROM (SELECT DISTINCT schedule_id, due_at FROM schedule_fire) d",
            expected,
        ),
        ("SELECT COUNT(*) AS number FROM task_run", expected),
        (
            "SELECT COUNT(*) AS number FROM schedule_fire f JOIN task_run r ON r.tenant_id = f.tenant_id AND r.id = f.run_id",
            expected,
        ),
        ("SELECT COUNT(DISTINCT next_due_at) AS number FROM scheduled_task", 1),
    ] {
        assert_eq!(number(&app, sql).await, wanted, "{sql}");
    }
}

/// What the database has of each schedule: its fires by time, with the run of each.
async fn history(db: &Db) -> BTreeMap<Uuid, Vec<(DateTime<Utc>, String, Option<Uuid>)>> {
    let sql = "SELECT schedule_id, due_at, status, run_id FROM schedule_fire ORDER BY due_at";
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for row in db.system(Reason::Operations).query(sql, Vec::new()).await.unwrap() {
        let fire = (
            row.try_get("", "due_at").unwrap(),
            row.try_get("", "status").unwrap(),
            row.try_get("", "run_id").unwrap(),
        );
        all.entry(row.try_get("", "schedule_id").unwrap()).or_default().push(fire);
    }
    all
}

/// Nodes that are killed while they fire, over and over: no time is left out, none is fired twice, and no run
/// is without its fire.
async fn killed_nodes(backend: Backend, nodes: usize, kills: usize) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home {
        folder: folder.path().to_owned(),
        database: database::fresh(backend, folder.path()).await,
        private_hosts: "127.0.0.1".to_owned(),
        lease_seconds: 5,
        concurrency: 4,
    };
    let mut processes: Vec<Process> = Vec::new();
    processes.push(home.start(0).await);
    let acme = first_tenant(&processes[0].url).await;
    let tool = acme.builtin("echo", "builtin/echo").await;
    let definition = acme.definition("echo", json!({ "toolId": tool })).await;
    let mut ids = Vec::new();
    for n in 0..12 {
        let recurrence = json!({ "intervalSeconds": 1 });
        let body = json!({ "name": format!("s{n}"), "definitionId": definition, "recurrence": recurrence,
            "overlap": "ALLOW", "catchup": "ALL", "maxRetries": null });
        ids.push(acme.owner.post("/v1/scheduled-tasks", body).await.expect(201)["id"].clone());
    }
    for _ in 1..nodes {
        processes.push(home.start(0).await);
    }
    for n in 0..kills {
        let at = n % processes.len();
        let owner = acme.owner.at(&processes[at].url);
        eventually("each life has its fires", async || {
            let fires = owner.get("/v1/schedule-fires?limit=1&count=true").await.expect(200);
            fires["total"].as_u64().unwrap() as usize > ids.len() * (n + 1)
        })
        .await;
        processes[at].kill();
        let started = home.start(0).await;
        processes[at] = started;
    }
    let owner = acme.owner.at(&processes[0].url);
    for id in &ids {
        let path = format!("/v1/scheduled-tasks/{}/pause", id.as_str().unwrap());
        owner.post(&path, json!({})).await.expect(200);
    }
    processes.iter_mut().for_each(Process::kill);
    drop(processes);
    let db = Db::connect(&home.database).await.unwrap();
    let rows =
        db.system(Reason::Operations).query("SELECT id, metadata FROM task_run", Vec::new()).await.unwrap();
    let runs: HashMap<Uuid, Value> = rows
        .iter()
        .map(|row| (row.try_get("", "id").unwrap(), row.try_get("", "metadata").unwrap()))
        .collect();
    let mut fires = 0;
    for (schedule, history) in history(&db).await {
        for pair in history.windows(2) {
            assert_eq!(pair[1].0 - pair[0].0, chrono::TimeDelta::seconds(1), "{schedule}: {pair:?}");
        }
        for (due, status, run) in &history {
            assert_eq!(status, "STARTED", "{schedule} {due}");
            let run = runs.get(&run.unwrap()).unwrap_or_else(|| panic!("{schedule} {due} has no run"));
            assert_eq!(run["scheduledTaskId"], json!(schedule));
        }
        fires += history.len();
    }
    assert_eq!(fires, runs.len(), "no run is without its fire");
    assert!(fires > 12 * kills, "{fires}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_nodes_on_postgres_leave_nothing_out() {
    killed_nodes(Backend::Postgres, 3, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_on_sqlite_leaves_nothing_out() {
    killed_nodes(Backend::Sqlite, 1, 4).await;
}
