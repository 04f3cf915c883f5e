//! The nodes: real processes on one database, and what is done to them.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use service::clock::Clock;
use service::db::DatabaseConfig;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::sync::watch;

use super::dice::Dice;
use super::plan::{Extent, Fault, FaultKind, LEASE, Plan};
use crate::support::process::{Home, Process};
use crate::support::{Backend, Client, database};

/// How many runs a node executes at once: few, so that there is a queue.
const CONCURRENCY: u32 = 8;
/// Nothing happens at the model server when every node is away; faults go on after this.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct Cluster {
    pub database: DatabaseConfig,
    pub nodes: Vec<Node>,
    clock: Clock,
    moments: watch::Receiver<u64>,
    pub done: Done,
    restarts: Mutex<Vec<Restart>>,
}

/// A killed node that started again.
struct Restart {
    node: String,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

pub struct Node {
    home: Home,
    process: tokio::sync::Mutex<Process>,
    url: Mutex<String>,
}

/// How often each fault was committed.
#[derive(Debug, Default)]
pub struct Done {
    pub kills: AtomicU64,
    pub stops: AtomicU64,
    pub stops_beyond_leases: AtomicU64,
    pub cuts: AtomicU64,
    /// Attempts of nodes that ended because their lease was lost, as far as their metrics were read in time.
    pub attempts_lost: AtomicU64,
}

impl Cluster {
    pub async fn start(
        backend: Backend,
        folder: &Path,
        private_hosts: &str,
        moments: watch::Receiver<u64>,
        clock: Clock,
    ) -> Self {
        let count = match backend {
            Backend::Sqlite => 1,
            Backend::Postgres => 3,
        };
        let database = database::empty(backend, folder).await;
        let mut nodes: Vec<Node> = Vec::new();
        for number in 0..count {
            let own = folder.join(format!("node-{number}"));
            std::fs::create_dir(&own).unwrap();
            if let Some(first) = nodes.first() {
                std::fs::copy(first.home.folder.join("master.key"), own.join("master.key")).unwrap();
            }
            let home = Home {
                folder: own,
                database: database.clone(),
                private_hosts: private_hosts.to_owned(),
                lease_seconds: u32::try_from(LEASE.as_secs()).unwrap(),
                concurrency: CONCURRENCY,
            };
            let process = home.start(0).await;
            let url = Mutex::new(process.url.clone());
            nodes.push(Node { home, process: tokio::sync::Mutex::new(process), url });
        }
        Self { database, nodes, clock, moments, done: Done::default(), restarts: Mutex::default() }
    }

    /// Where some node serves, or served before it was killed.
    pub fn url(&self, dice: &Dice) -> String {
        dice.pick(&self.nodes).unwrap().url.lock().unwrap().clone()
    }

    pub fn first_url(&self) -> String {
        self.nodes[0].url.lock().unwrap().clone()
    }

    /// Does to the node what is planned; in the end it serves.
    pub async fn torment(&self, node: usize, plan: Plan, extent: Extent) {
        let node = &self.nodes[node];
        for (done, fault) in plan.enumerate() {
            self.pass(fault.moments).await;
            tokio::time::sleep(fault.later).await;
            if extent.is_over(done, self.clock.now()) {
                break;
            }
            self.commit(node, fault).await;
        }
    }

    async fn commit(&self, node: &Node, fault: Fault) {
        let add = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        let mut process = node.process.lock().await;
        match fault.kind {
            FaultKind::Kill { away } => {
                self.read_metrics(&process.url).await;
                process.kill();
                add(&self.done.kills);
                self.pass(away).await;
                let from = self.clock.now();
                *process = node.start().await;
                let restart = Restart { node: node.name(), from, to: self.clock.now() };
                self.restarts.lock().unwrap().push(restart);
            }
            FaultKind::Stop(duration) => {
                process.signal("STOP");
                add(if duration > LEASE { &self.done.stops_beyond_leases } else { &self.done.stops });
                tokio::time::sleep(duration).await;
                process.signal("CONT");
            }
            FaultKind::Cut => {
                add(&self.done.cuts);
                cut(&self.database).await;
            }
        }
    }

    /// Whether the node with this name started again then, and so took back what its former self held.
    pub fn restarted(&self, name: &str, at: DateTime<Utc>) -> bool {
        let restarts = self.restarts.lock().unwrap();
        restarts.iter().any(|restart| restart.node == name && restart.from <= at && at <= restart.to)
    }

    /// Waits until so much more has happened at the model server.
    async fn pass(&self, moments: u64) {
        let mut now = self.moments.clone();
        let until = *now.borrow_and_update() + moments;
        let _ = tokio::time::timeout(PATIENCE, now.wait_for(|count| *count >= until)).await;
    }

    /// What the node's metrics say before it is killed, if it can be asked.
    async fn read_metrics(&self, url: &str) {
        let client = Client::new(url);
        let request = client.request("GET", "/metrics").timeout(Duration::from_millis(500));
        let Ok(answer) = client.attempt(request).await else { return };
        let line =
            answer.text.lines().find(|line| line.contains("engine_attempts_total{status=\"lease_lost\"}"));
        let lost = line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0);
        self.done.attempts_lost.fetch_add(lost, Ordering::Relaxed);
    }

    /// The end of every node.
    pub async fn stop(&self) {
        for node in &self.nodes {
            let mut process = node.process.lock().await;
            self.read_metrics(&process.url).await;
            process.kill();
        }
    }
}

impl Node {
    /// Its lasting name among the nodes.
    fn name(&self) -> String {
        std::fs::read_to_string(self.home.folder.join("node")).unwrap().trim().to_owned()
    }

    /// It may be cut off from the database while it starts.
    async fn start(&self) -> Process {
        for _ in 0..20 {
            if let Some(process) = self.home.try_start(0, &[]).await {
                self.url.lock().unwrap().clone_from(&process.url);
                return process;
            }
        }
        panic!("the node does not start; its log is in {}", self.home.folder.display());
    }
}

/// Ends every other connection to the database.
async fn cut(database: &DatabaseConfig) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'mission-control'";
    let mut connection = PgConnection::connect(database.url.expose_secret()).await.unwrap();
    connection.execute(sql).await.unwrap();
    let _ = connection.close().await;
}
