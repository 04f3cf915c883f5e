//! Proof: nodes that are killed, stopped and cut off from their database at random moments lose nothing that was
//! acknowledged, do nothing twice and accept nothing that is stale. `docs/chaos.md` says what is checked.
//!
//! A short slice runs with the tests; `tests/chaos` runs the same for as long as one likes.

mod batches;
mod callers;
mod cluster;
mod dice;
mod history;
mod plan;
mod stand_in;
mod targets;
mod verdict;
mod watch;
mod workers;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use service::clock::Clock;
use service::db::{Db, Reason};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::callers::Caller;
use self::cluster::Cluster;
use self::dice::Dice;
use self::history::History;
use self::plan::{Extent, Plan};
use self::stand_in::StandIn;
use self::targets::Targets;
use self::verdict::Story;
use self::watch::Watch;
use self::workers::Stale;
use crate::support::Backend;

const CALLERS: usize = 6;
const WORKERS: usize = 2;
/// After this much quiet nothing is left over.
const QUIET: Duration = Duration::from_secs(60);
const SHOWN: usize = 20;

/// Everything that takes part.
pub struct Stage {
    clock: Clock,
    cluster: Cluster,
    stand_in: StandIn,
    targets: Targets,
    history: History,
    watch: Watch,
    stale: Stale,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    unleash(Backend::Sqlite, Dice::any_seed(), Extent::Faults(14)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    unleash(Backend::Postgres, Dice::any_seed(), Extent::Faults(8)).await;
}

/// What `tests/chaos` runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/chaos says for how long"]
async fn on_demand() {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let backend = match set("CHAOS_DATABASE").as_deref() {
        Some("sqlite") => Backend::Sqlite,
        _ => Backend::Postgres,
    };
    let seed = set("CHAOS_SEED").map_or_else(Dice::any_seed, |seed| seed.parse().unwrap());
    let extent = match (set("CHAOS_MINUTES"), set("CHAOS_FAULTS")) {
        (_, Some(faults)) => Extent::Faults(faults.parse().unwrap()),
        (minutes, None) => {
            let minutes = minutes.map_or(1.0, |minutes| minutes.parse().unwrap());
            Extent::Until(Clock::system().after(Duration::from_secs_f64(minutes * 60.0)))
        }
    };
    unleash(backend, seed, extent).await;
}

async fn unleash(backend: Backend, seed: u64, extent: Extent) {
    println!("seed {seed}");
    let dice = Dice::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let stand_in = StandIn::start(clock.clone());
    let server = &stand_in.server;
    let cluster = Cluster::start(backend, folder.path(), &server.host, server.moments(), clock.clone()).await;
    let targets = Targets::make(&cluster.first_url(), &stand_in).await;
    let db = Db::connect_beside(&cluster.database).await.unwrap();
    let watch = Watch::new(db.clone(), clock.clone());
    let stage = Arc::new(Stage {
        clock,
        cluster,
        stand_in,
        targets,
        history: History::default(),
        watch,
        stale: Stale::default(),
    });

    let left = play(&stage, &dice, backend, extent, &db).await;
    stage.cluster.stop().await;
    db.close().await;
    // A connection that was cut would be noticed by its next use only.
    let db = Db::connect_beside(&stage.cluster.database).await.unwrap();
    let story = Story::read(&db).await;
    let mut wrong: Vec<_> =
        left.iter().map(|run| format!("{run} is left over after a minute of quiet")).collect();
    wrong.extend(verdict::judge(&stage, &story, &db).await);
    report(&stage, &story);
    db.close().await;
    if !wrong.is_empty() {
        let kept = folder.keep();
        let shown: Vec<_> = wrong.iter().take(SHOWN).map(String::as_str).collect();
        let database = format!("{backend:?}").to_lowercase();
        panic!(
            "{} things are wrong:\n{}\nlogs: {}\nthe same faults again: tests/chaos --database {database} --seed {seed}",
            wrong.len(),
            shown.join("\n"),
            kept.display()
        );
    }
}

/// Callers call while the nodes are tormented; then there is quiet. What is left over then is the answer.
async fn play(stage: &Arc<Stage>, dice: &Dice, backend: Backend, extent: Extent, db: &Db) -> Vec<String> {
    let (calls, looks) = (CancellationToken::new(), CancellationToken::new());
    let mut faults = JoinSet::new();
    for node in 0..stage.cluster.nodes.len() {
        let (stage, plan) = (stage.clone(), Plan::new(dice.split(), backend));
        faults.spawn(async move { stage.cluster.torment(node, plan, extent).await });
    }
    let mut callers = JoinSet::new();
    for number in 1..=CALLERS {
        let caller = Caller { stage: stage.clone(), number, dice: dice.split() };
        callers.spawn(caller.call(calls.clone()));
    }
    let mut others = JoinSet::new();
    others.spawn(callers::review(stage.clone(), dice.split(), looks.clone()));
    for number in 1..=WORKERS {
        others.spawn(workers::work(stage.clone(), number, dice.split(), looks.clone()));
    }
    let (watching, looking) = (stage.clone(), looks.clone());
    others.spawn(async move { watching.watch.look_on(&watching.targets, looking).await });

    all(faults).await;
    calls.cancel();
    all(callers).await;
    callers::pause_schedule(stage.clone(), dice.split()).await;
    let left = quiet(db, &stage.clock).await;
    looks.cancel();
    all(others).await;
    left
}

async fn all(mut tasks: JoinSet<()>) {
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// The live runs after a minute without faults and new requests, or none before.
async fn quiet(db: &Db, clock: &Clock) -> Vec<String> {
    let end = clock.now() + TimeDelta::from_std(QUIET).unwrap();
    let sql = "SELECT id, status, reason FROM task_run WHERE status IN ('PENDING', 'RUNNING', 'WAITING') \
         UNION ALL SELECT id, status, 'batch' FROM batch_task WHERE status IN ('VALIDATING', 'RUNNING') \
         UNION ALL SELECT id, status, 'wait' FROM run_wait WHERE status = 'OPEN' \
         UNION ALL SELECT id, status, 'approval' FROM approval WHERE status = 'PENDING' \
         UNION ALL SELECT id, status, 'fire' FROM schedule_fire WHERE status = 'PENDING'";
    loop {
        let live: Vec<_> = match db.system(Reason::Operations).query(sql, Vec::new()).await {
            Ok(rows) => rows
                .iter()
                .map(|row| {
                    let id: uuid::Uuid = row.try_get("", "id").unwrap();
                    let text = |name: &str| row.try_get::<String>("", name).unwrap();
                    format!("{id} {}({})", text("status"), text("reason"))
                })
                .collect(),
            // A cut connection is replaced by the next look.
            Err(_) => vec!["unknown".to_owned()],
        };
        if live.is_empty() || clock.now() >= end {
            return live;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn report(stage: &Stage, story: &Story) {
    let record = stage.history.record();
    let mut ends = std::collections::BTreeMap::<String, usize>::new();
    for run in story.runs.values() {
        *ends.entry(format!("{:?}({:?})", run.status, run.reason)).or_default() += 1;
    }
    let events = |kind: &str| story.runs.keys().map(|run| story.count(*run, kind)).sum::<usize>();
    let acknowledged = record.creations.iter().filter(|creation| !creation.acknowledged.is_empty()).count();
    println!("{:?}", stage.cluster.done);
    println!(
        "{} runs, {acknowledged} of {} creations acknowledged: {ends:?}",
        story.runs.len(),
        record.creations.len()
    );
    println!("answers: {:?}", record.answers);
    println!(
        "workers: {:?}; {} batches of {} targets",
        stage.stale,
        story.batches.len(),
        story.targets.len()
    );
    println!(
        "{} leases lost, {} runs resumed, {} retried; {} model calls, {} effects; {} samples, at most {} at a limit of {}",
        events("run.lease_lost"),
        events("run.resumed"),
        events("run.retried"),
        stage.stand_in.asks().len(),
        stage.stand_in.server.effects().len(),
        stage.watch.samples.load(Ordering::Relaxed),
        stage.watch.most_narrow.load(Ordering::Relaxed),
        targets::NARROW,
    );
}
