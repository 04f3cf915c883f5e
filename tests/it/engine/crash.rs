//! Proof: runs of six steps survive any number of `kill -9` of the server. Each completes, no finished
//! step is made or paid again, and no acknowledged run is lost.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sea_orm::prelude::Json;
use serde_json::{Value, json};
use service::clock::Clock;
use service::db::{Db, Reason};
use service::ids::Ids;

use crate::support::model_server::{ANSWER, Conversation, ModelServer, PROMPT, Reply, frames};
use crate::support::process::{Home, Process, free_port};
use crate::support::{Backend, Client, Tenant, database, eventually, first_tenant};

const KILLS: u64 = 50;
/// Runs created in each life of the server.
const EACH: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    survive(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    survive(Backend::Postgres).await;
}

/// Three model turns and three tool calls.
fn script(conversation: &Conversation) -> Reply {
    let case = json!({ "case": conversation.said });
    Reply::Frames(match conversation.turn {
        0 => frames("", &[("call_charge", "charge", case)]),
        1 => frames("Next.", &[("call_echo", "echo", case.clone()), ("call_send", "send", case)]),
        _ => frames("done", &[]),
    })
}

async fn survive(backend: Backend) {
    let seed = Ids::random(Clock::system()).below(u64::MAX);
    println!("seed {seed}");
    let dice = Ids::seeded(Clock::system(), seed);
    let folder = tempfile::tempdir().unwrap();
    let server = ModelServer::start(script);
    let home = Home {
        folder: folder.path().to_owned(),
        database: database::fresh(backend, folder.path()).await,
        private_hosts: server.host.clone(),
        lease_seconds: 30,
        concurrency: 16,
    };
    let port = free_port();
    let mut process = home.start(port).await;
    let acme = first_tenant(&process.url).await;
    let agent = agent(&acme, &server).await;
    let mut story = Story::default();

    for life in 0..KILLS {
        story.revive(&acme.owner).await;
        let mut moments = server.moments();
        let last = *moments.borrow_and_update() + 1 + dice.below(10);
        let pause = Duration::from_micros(dice.below(15_000));
        let kill = async {
            moments.wait_for(|count| *count >= last).await.unwrap();
            // Not to wait for something: to fall between two moments.
            tokio::time::sleep(pause).await;
            process.kill();
        };
        let creates = async {
            let mut acknowledged = Vec::new();
            for index in 0..EACH {
                let body = json!({ "agentId": agent, "input": format!("case {life}-{index}") });
                if let Some(id) = create(&acme.owner, body).await {
                    acknowledged.push(id);
                }
            }
            acknowledged
        };
        let ((), acknowledged) = tokio::join!(kill, creates);
        story.acknowledged.extend(acknowledged);
        story.read(&home, &server).await;
        process = home.start(port).await;
    }
    finish(&acme.owner).await;
    story.check(&home, &server, &acme.owner, &mut process).await;
}

async fn agent(acme: &Tenant, server: &ModelServer) -> String {
    let agent = acme.model_agent("survivor", server, json!({})).await;
    let echo = acme.builtin("echo", "builtin/echo").await;
    let charge = acme.effect("charge", server, "KEYED").await;
    let send = acme.effect("send", server, "ONCE").await;
    for tool in [echo, charge, send] {
        acme.bind(&agent, &tool, json!({})).await;
    }
    agent
}

/// The id, if the server lived to say it.
async fn create(owner: &Client, body: Value) -> Option<String> {
    let answer = owner.attempt(owner.request("POST", "/v1/task-runs").json(&body)).await.ok()?;
    Some(answer.expect(201)["id"].as_str().unwrap().to_owned())
}

/// Lets every ONCE call of unknown outcome be made again.
async fn review(owner: &Client) {
    let open = owner.get("/v1/approvals?status=PENDING&limit=100").await.expect(200);
    for approval in open["data"].as_array().unwrap() {
        assert_eq!(approval["kind"], "REVIEW");
        let path = format!("/v1/approvals/{}/decide", approval["id"].as_str().unwrap());
        owner.post(&path, json!({ "decision": "APPROVE" })).await.expect(200);
    }
}

/// Until every run has ended.
async fn finish(owner: &Client) {
    eventually("every run ends", async || {
        review(owner).await;
        for status in ["PENDING", "RUNNING", "WAITING"] {
            let live = owner.get(&format!("/v1/task-runs?status={status}&limit=1")).await.expect(200);
            if !live["data"].as_array().unwrap().is_empty() {
                return false;
            }
        }
        true
    })
    .await;
}

/// What the test saw over all lives of the server.
#[derive(Default)]
struct Story {
    acknowledged: Vec<String>,
    /// Model turns and effects whose outcome was durable when the server died, and how many requests
    /// had been made by then.
    journaled: HashMap<(String, usize), usize>,
    settled: HashMap<String, usize>,
    /// Steps of each live run at its last death, and how many deaths it saw without a new one.
    progress: HashMap<String, (i64, u32)>,
}

impl Story {
    /// Decides what is asked, and waits until every run that lost two executors without a new step has
    /// made one: after a third such loss a run fails, as it should.
    async fn revive(&self, owner: &Client) {
        eventually("unlucky runs go on", async || {
            review(owner).await;
            for (run, (steps, deaths)) in &self.progress {
                if *deaths < 2 {
                    continue;
                }
                let page = owner.get(&format!("/v1/task-runs/{run}/steps?limit=100")).await.expect(200);
                let now = i64::try_from(page["data"].as_array().unwrap().len()).unwrap();
                let view = owner.get(&format!("/v1/task-runs/{run}")).await.expect(200);
                let live = ["PENDING", "RUNNING", "WAITING"].contains(&view["status"].as_str().unwrap());
                if live && now <= *steps {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// What is durable while the server is dead.
    async fn read(&mut self, home: &Home, server: &ModelServer) {
        let (asked, effects) = (server.asked().len(), server.effects().len());
        let db = Db::connect(&home.database).await.unwrap();
        let system = db.system(Reason::Operations);
        let sql = "SELECT s.kind, s.turn, s.effect_key, s.response, r.input FROM run_step s JOIN task_run r \
                   ON r.tenant_id = s.tenant_id AND r.id = s.run_id WHERE s.status <> 'STARTED'";
        for row in system.query(sql, Vec::new()).await.unwrap() {
            if row.try_get::<String>("", "kind").unwrap() == "MODEL" {
                let said: Json = row.try_get("", "input").unwrap();
                let turn: i32 = row.try_get("", "turn").unwrap();
                let key = (said.as_str().unwrap().to_owned(), usize::try_from(turn - 1).unwrap());
                self.journaled.entry(key).or_insert(asked);
            } else if let Some(key) = row.try_get::<Option<String>>("", "effect_key").unwrap() {
                // After a review a call is made again under its key, and this one's end stays unknown.
                let response: Json = row.try_get("", "response").unwrap();
                if response["error"]["code"] != "outcome_unknown" {
                    self.settled.entry(key).or_insert(effects);
                }
            }
        }
        let sql = "SELECT id, step_count FROM task_run WHERE status = 'RUNNING'";
        let mut progress = HashMap::new();
        for row in system.query(sql, Vec::new()).await.unwrap() {
            let id = row.try_get::<uuid::Uuid>("", "id").unwrap().to_string();
            let steps = i64::from(row.try_get::<i32>("", "step_count").unwrap());
            let before = self.progress.get(&id).filter(|(before, _)| *before == steps);
            let deaths = before.map_or(1, |(_, deaths)| deaths + 1);
            progress.insert(id, (steps, deaths));
        }
        self.progress = progress;
        db.close().await;
    }

    async fn check(&self, home: &Home, server: &ModelServer, owner: &Client, process: &mut Process) {
        assert_eq!(server.faults(), Vec::<String>::new());
        let (asked, effects) = (server.asked(), server.effects());
        for (index, conversation) in asked.iter().enumerate() {
            let durable = self.journaled.get(&(conversation.said.clone(), conversation.turn));
            assert!(
                durable.is_none_or(|at| index < *at),
                "a journaled turn is asked again: {conversation:?}"
            );
        }
        for (index, effect) in effects.iter().enumerate() {
            let durable = self.settled.get(&effect.key);
            assert!(durable.is_none_or(|at| index < *at), "a finished call is made again: {effect:?}");
        }
        let mut conversations: HashMap<_, &Conversation> = HashMap::new();
        for conversation in &asked {
            let known = conversations.entry((&conversation.said, conversation.turn)).or_insert(conversation);
            assert_eq!(known.messages, conversation.messages, "a resumed run asks as an undisturbed one");
        }
        let mut keys: HashMap<_, HashSet<&str>> = HashMap::new();
        for effect in &effects {
            keys.entry((&effect.path, effect.body["case"].as_str())).or_default().insert(&effect.key);
        }
        assert!(keys.values().all(|keys| keys.len() == 1), "a repeated call has its key: {keys:?}");
        let reviews = reviews(owner).await;
        for key in effects.iter().filter(|effect| effect.path == "send").map(|effect| &effect.key) {
            let made = effects.iter().filter(|effect| effect.key == *key).count();
            let run = key.split(':').next().unwrap_or_default();
            let allowed = 1 + reviews.get(run).copied().unwrap_or_default();
            assert!(made <= allowed, "{key} was made {made} times, allowed {allowed}");
        }
        process.kill();
        self.check_rows(home).await;
        let turns: HashSet<_> = asked.iter().map(|c| (&c.said, c.turn)).collect();
        println!(
            "{KILLS} kills, {} acknowledged runs; {} model calls for {} turns; {} effects for {} keys; {} reviews",
            self.acknowledged.len(),
            asked.len(),
            turns.len(),
            effects.len(),
            keys.len(),
            reviews.values().sum::<usize>(),
        );
    }

    async fn check_rows(&self, home: &Home) {
        let db = Db::connect(&home.database).await.unwrap();
        let system = db.system(Reason::Operations);
        let sql = "SELECT r.id, r.status, r.reason, r.tokens_input, r.tokens_output, r.cost_nanos, \
                   (SELECT CAST(SUM(s.cost_nanos) AS BIGINT) FROM run_step s WHERE s.tenant_id = r.tenant_id AND s.run_id = r.id) AS paid, \
                   (SELECT COUNT(*) FROM run_step s WHERE s.tenant_id = r.tenant_id AND s.run_id = r.id AND s.kind = 'MODEL') AS turns \
                   FROM task_run r";
        let mut runs = HashSet::new();
        for row in system.query(sql, Vec::new()).await.unwrap() {
            let id = row.try_get::<uuid::Uuid>("", "id").unwrap().to_string();
            let status: String = row.try_get("", "status").unwrap();
            let reason: String = row.try_get("", "reason").unwrap();
            assert_eq!(status, "COMPLETED", "{id}: {reason}");
            let number = |column: &str| row.try_get::<i64>("", column).unwrap();
            assert_eq!(number("turns"), 3);
            assert_eq!((number("tokens_input"), number("tokens_output")), (3 * PROMPT, 3 * ANSWER), "{id}");
            assert_eq!(number("cost_nanos"), number("paid"), "{id}");
            runs.insert(id);
        }
        db.close().await;
        let lost: Vec<_> = self.acknowledged.iter().filter(|id| !runs.contains(*id)).collect();
        assert!(lost.is_empty(), "acknowledged runs are lost: {lost:?}");
        assert!(!self.acknowledged.is_empty());
    }
}

/// How often each run's calls were allowed again.
async fn reviews(owner: &Client) -> HashMap<String, usize> {
    let mut reviews = HashMap::new();
    let mut path = "/v1/approvals?status=APPROVED&limit=100".to_owned();
    loop {
        let page = owner.get(&path).await.expect(200);
        for approval in page["data"].as_array().unwrap() {
            *reviews.entry(approval["runId"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let Some(cursor) = page["nextCursor"].as_str() else { return reviews };
        path = format!("/v1/approvals?status=APPROVED&limit=100&cursor={cursor}");
    }
}
