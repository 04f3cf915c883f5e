//! Proof: a run that takes its executors down is found among its neighbours after three of them, and is the only
//! one that ends for it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::tasks::task_run::{Model, RunReason, RunStatus};
use serde_json::json;
use service::db::Reason;
use service::engine::Progress;
use service::engine::transitions::{self, Change, HeldWrite, Queue, Seen};
use uuid::Uuid;

use crate::support::App;

const NEIGHBOURS: usize = 30;
const LEASE: Duration = Duration::from_secs(60);

/// A node that executes up to sixteen runs at once, and dies with them if the guilty one is there.
async fn live(app: &App, queue: (Uuid, Uuid), node: u128, guilty: Uuid, now: DateTime<Utc>) -> (usize, bool) {
    let (tenant, lane) = queue;
    let owner = Uuid::from_u128(node);
    let tx = app.core.db.system(Reason::Engine).begin().await.unwrap();
    let queue = Queue::of_nodes(tenant, lane, "");
    let runs = transitions::claim_queue(&tx, queue, 16, owner, now, LEASE).await.unwrap();
    assert!(runs.iter().filter(|run| run.lost_count >= 2).count() <= 1, "suspects are apart");
    let dies = runs.iter().any(|run| run.id == guilty);
    if dies {
        assert_eq!(transitions::release_node(&tx, owner, now).await.unwrap().len(), runs.len());
    } else {
        let ended: Vec<_> = runs.iter().map(completed).collect();
        assert_eq!(
            transitions::write(&tx, &ended.iter().collect::<Vec<_>>(), now).await.unwrap().len(),
            runs.len()
        );
    }
    tx.commit().await.unwrap();
    (runs.len(), dies)
}

fn completed(run: &Model) -> HeldWrite {
    let to = Some((RunStatus::Completed, RunReason::Output));
    let change = Change { to, event_data: json!({}), ..Change::default() };
    HeldWrite {
        tenant: run.tenant_id,
        run: run.id,
        attempt: run.attempt,
        fence: run.fence,
        parent: run.parent_run_id,
        has_children: run.children > 0,
        progress: Progress::default(),
        change: Some(change),
        seen: Seen::default(),
    }
}

on_both! {
    idle;
    async fn the_guilty_run_is_told_from_its_neighbours(app: App) {
        let tenant: Uuid = app.acme.id.parse().unwrap();
        for place in [0, 13, NEIGHBOURS] {
            let tool = app.acme.builtin(&format!("tool_{place}"), "builtin/echo").await;
            let definition = app.acme.definition(&format!("of {place}"), json!({ "toolId": tool })).await;
            let mut ids = Vec::new();
            for number in 0..=NEIGHBOURS {
                let path = app.acme.create(json!({ "definitionId": definition, "input": number })).await;
                ids.push(path);
            }
            let guilty: Uuid = ids[place].rsplit('/').next().unwrap().parse().unwrap();
            let lane = tool.parse().unwrap();
            let now = app.core.clock.now();
            let (mut deaths, mut node) = (0, u128::try_from(place * 1_000).unwrap());
            loop {
                node += 1;
                let (count, died) = live(&app, (tenant, lane), node, guilty, now).await;
                deaths += usize::from(died);
                if count == 0 {
                    break;
                }
            }
            assert_eq!(deaths, 3, "place {place}");
            for (number, path) in ids.iter().enumerate() {
                let run = app.acme.owner.get(path).await.expect(200);
                if number == place {
                    assert_eq!((&run["status"], &run["reason"]), (&json!("FAILED"), &json!("WORKER_LOST")));
                    assert_eq!((&run["quarantined"], &run["lostCount"]), (&json!(true), &json!(3)));
                    assert_eq!(run["error"]["code"], "quarantined");
                } else {
                    assert_eq!((&run["status"], &run["quarantined"]), (&json!("COMPLETED"), &json!(false)), "{run}");
                }
            }
        }
        let listed = app.acme.owner.get("/v1/task-runs?quarantined=true&count=true").await.expect(200);
        assert_eq!(listed["total"], 3);
        let others = app.acme.owner.get("/v1/task-runs?quarantined=false&count=true").await.expect(200);
        assert_eq!(others["total"], 3 * NEIGHBOURS);
        assert_eq!(app.rival.owner.get("/v1/task-runs?quarantined=true&count=true").await.expect(200)["total"], 0);
    }

    async fn a_retry_releases_a_quarantined_run_on_probation(app: App) {
        let tenant: Uuid = app.acme.id.parse().unwrap();
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let definition = app.acme.definition("echo", json!({ "toolId": tool })).await;
        let path = app.acme.create(json!({ "definitionId": definition, "input": 1 })).await;
        let id: Uuid = path.rsplit('/').next().unwrap().parse().unwrap();
        let queue = (tenant, tool.parse().unwrap());
        let now = app.core.clock.now();
        for node in 1..=3 {
            assert_eq!(live(&app, queue, node, id, now).await, (1, true));
        }
        assert_eq!(live(&app, queue, 4, id, now).await, (0, false), "it is not started again by itself");
        let why = app.acme.owner.get(&format!("{path}/explain")).await.expect(200);
        assert_eq!(why["causes"][0]["code"], "QUARANTINED", "{why}");
        assert_eq!(why["actions"][0]["code"], "RETRY");
        let executors: Vec<_> = why["losses"].as_array().unwrap().iter().map(|loss| loss["executorId"].clone()).collect();
        let nodes: Vec<_> = (1..=3).rev().map(|node| json!(Uuid::from_u128(node))).collect();
        assert_eq!(executors, nodes, "the last first");
        assert_eq!(app.rival.owner.post(&format!("{path}/retry"), json!({})).await.problem(404), "not_found");
        let released = app.acme.owner.post(&format!("{path}/retry"), json!({})).await.expect(200);
        assert_eq!((&released["status"], &released["lostCount"]), (&json!("PENDING"), &json!(2)));
        let why = app.acme.owner.get(&format!("{path}/explain")).await.expect(200);
        assert!(why["causes"].as_array().unwrap().iter().any(|cause| cause["code"] == "SUSPECT"), "{why}");
        let later = app.core.clock.now();
        assert_eq!(live(&app, queue, 5, id, later).await, (1, true));
        assert_eq!(app.acme.owner.get(&path).await.expect(200)["quarantined"], true, "one more loss is enough");
    }
}
