//! What a paused definition has queued leaves the queue: each run once, a bounded number in one claim, and all of
//! it comes back.

use std::time::Duration;

use entity::tasks::task_run;
use sea_orm::ColumnTrait as _;
use serde_json::json;
use service::db::Reason;
use service::engine::transitions::{self, NewRun, Queue};
use service::engine::{Claim, Claimed, Reserve, Taker, Turns};
use uuid::Uuid;

use crate::support::App;

const MANY: u128 = 2_500;

async fn number(app: &App, condition: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) AS number FROM task_run WHERE {condition}");
    let rows = app.core.db.system(Reason::Engine).query(&sql, Vec::new()).await.unwrap();
    rows[0].try_get("", "number").unwrap()
}

async fn held(app: &App) -> i64 {
    number(app, "held_at IS NOT NULL").await
}

/// A claim of a node.
async fn claim(app: &App, turns: &Turns, most: u64) -> Claimed {
    let claim = Claim {
        db: &app.core.db,
        plans: &app.core.config.plans,
        turns,
        taker: &Taker::Node(Reserve::default()),
        owner: Uuid::from_u128(1),
        now: app.core.clock.now(),
        lease: Duration::from_secs(60),
    };
    claim.take(most).await.unwrap()
}

/// Runs like this one, as many as there are ids; each with a key of its own where it has one.
async fn copies(app: &App, path: &str, ids: std::ops::Range<u128>) {
    let id: Uuid = path.rsplit('/').next().unwrap().parse().unwrap();
    let system = app.core.db.system(Reason::Engine);
    let run =
        system.find::<task_run::Entity>().filter(task_run::Column::Id.eq(id)).one().await.unwrap().unwrap();
    let like = |number: u128| {
        let mut run = task_run::Model { id: Uuid::from_u128(number), ..run.clone() };
        if !run.concurrency_key.is_empty() {
            run.concurrency_key = format!("{}{number}", run.concurrency_key);
        }
        NewRun { run, request_id: None, born: None }
    };
    let runs: Vec<_> = ids.map(like).collect();
    let tx = system.begin().await.unwrap();
    assert_eq!(transitions::create(&tx, &runs.iter().collect::<Vec<_>>()).await.unwrap().len(), runs.len());
    tx.commit().await.unwrap();
}

async fn post(app: &App, definition: &str, action: &str) {
    let path = format!("/v1/task-definitions/{definition}/{action}");
    app.acme.owner.post(&path, json!({})).await.expect(200);
}

on_both! {
    idle;
    async fn each_is_passed_once(app: App) {
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let config = json!({ "concurrency": { "key": "{{ input.customer }}" } });
        let [plain, keyed, other] = [
            app.acme.definition("plain", json!({ "toolId": tool })).await,
            app.acme.definition("keyed", json!({ "toolId": tool, "config": config })).await,
            app.acme.definition("other", json!({ "toolId": tool })).await,
        ];
        let input = json!({ "customer": "a" });
        let path = app.acme.create(json!({ "definitionId": plain, "input": input })).await;
        copies(&app, &path, 0..MANY).await;
        let path = app.acme.create(json!({ "definitionId": keyed, "input": input })).await;
        copies(&app, &path, MANY..2 * MANY).await;
        for definition in [&plain, &keyed] {
            post(&app, definition, "pause").await;
        }
        let behind = app.acme.create(json!({ "definitionId": other, "input": input })).await;

        let turns = Turns::default();
        let mut claims = 0;
        let run = loop {
            let claimed = claim(&app, &turns, 10).await;
            claims += 1;
            if let [run] = claimed.runs.as_slice() {
                break run.id;
            }
            assert!(claimed.runs.is_empty() && claimed.more, "another claim goes on");
            assert!(claims < 10, "{} are held", held(&app).await);
        };
        assert!(behind.ends_with(&run.to_string()));
        while claim(&app, &turns, 10).await.more {
            claims += 1;
            assert!(claims < 20, "a thousand in one claim, whatever their keys");
        }
        let all = i64::try_from(2 * MANY + 2).unwrap();
        assert_eq!(held(&app).await, all);
        assert_eq!(number(&app, "status = 'PENDING' AND held_at IS NULL").await, 0, "no claim sees them again");
        let at_a_glance = app.acme.owner.get("/v1/queue").await;
        assert_eq!(at_a_glance.body["pending"]["count"], json!(all), "{}", at_a_glance.text);

        post(&app, &plain, "resume").await;
        assert_eq!(held(&app).await, i64::try_from(MANY + 1).unwrap());
        let claimed = claim(&app, &turns, 10).await;
        assert!(claimed.runs.iter().all(|run| run.definition_id.unwrap().to_string() == plain));
        assert_eq!(claimed.runs.len(), 10);
        post(&app, &keyed, "resume").await;
        assert_eq!(held(&app).await, 0);
        let releasing = "SELECT id FROM task_definition WHERE releasing_at IS NOT NULL";
        let system = app.core.db.system(Reason::Engine);
        assert_eq!(system.query(releasing, Vec::new()).await.unwrap().len(), 0);
    }

    async fn nothing_is_held_behind_a_resume(app: App) {
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let definition = app.acme.definition("d", json!({ "toolId": tool })).await;
        let path = app.acme.create(json!({ "definitionId": definition, "input": {} })).await;
        copies(&app, &path, 0..40).await;
        for round in 0..15 {
            post(&app, &definition, "pause").await;
            let looks = async {
                for _ in 0..4 {
                    let tx = app.core.db.system(Reason::Engine).begin().await.unwrap();
                    let queue = Queue::of_nodes(app.acme.id.parse().unwrap(), tool.parse().unwrap(), "");
                    transitions::hold(&tx, queue, 10, app.core.clock.now()).await.unwrap();
                    tokio::task::yield_now().await;
                    tx.commit().await.unwrap();
                }
            };
            tokio::join!(looks, post(&app, &definition, "resume"));
            assert_eq!(held(&app).await, 0, "round {round}");
        }
        assert_eq!(claim(&app, &Turns::default(), 100).await.runs.len(), 41);
    }

    async fn a_claim_that_began_before_the_pause_starts_nothing_after_it(app: App) {
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let definition = app.acme.definition("d", json!({ "toolId": tool })).await;
        app.acme.create(json!({ "definitionId": definition, "input": {} })).await;
        post(&app, &definition, "pause").await;
        // It asks nobody before whether something is paused.
        let tx = app.core.db.system(Reason::Engine).begin().await.unwrap();
        let queue = Queue::of_nodes(app.acme.id.parse().unwrap(), tool.parse().unwrap(), "");
        let (now, lease) = (app.core.clock.now(), Duration::from_secs(60));
        let taken = transitions::claim_queue(&tx, queue, 9, Uuid::from_u128(1), now, lease).await.unwrap();
        assert!(taken.is_empty());
    }
}
