//! Holds what the callers know, what the stand-in counted and what the database says against each other.

mod acknowledged;
mod effects;
mod leases;
mod money;
mod started;
mod timeline;
mod trees;

use std::collections::HashMap;

use entity::tasks::{approval, batch_task, run_event, run_step, task_run, task_target};
use sea_orm::FromQueryResult;
use service::db::{Db, Reason};
use uuid::Uuid;

use super::{Stage, batches};

/// Everything that the database holds of runs.
pub struct Story {
    pub runs: HashMap<Uuid, task_run::Model>,
    pub events: HashMap<Uuid, Vec<run_event::Model>>,
    pub steps: HashMap<Uuid, Vec<run_step::Model>>,
    pub approvals: Vec<approval::Model>,
    pub batches: Vec<batch_task::Model>,
    pub targets: Vec<task_target::Model>,
}

impl Story {
    pub async fn read(db: &Db) -> Self {
        let runs: Vec<task_run::Model> = all(db, "SELECT * FROM task_run").await;
        let mut events: HashMap<Uuid, Vec<_>> = HashMap::new();
        for event in all::<run_event::Model>(db, "SELECT * FROM run_event ORDER BY run_id, seq").await {
            events.entry(event.run_id).or_default().push(event);
        }
        let mut steps: HashMap<Uuid, Vec<_>> = HashMap::new();
        for step in all::<run_step::Model>(db, "SELECT * FROM run_step ORDER BY run_id, number").await {
            steps.entry(step.run_id).or_default().push(step);
        }
        let approvals = all(db, "SELECT * FROM approval").await;
        let batches = all(db, "SELECT * FROM batch_task").await;
        let targets = all(db, "SELECT * FROM task_target").await;
        let runs = runs.into_iter().map(|run| (run.id, run)).collect();
        Self { runs, events, steps, approvals, batches, targets }
    }

    pub fn events(&self, run: Uuid) -> &[run_event::Model] {
        self.events.get(&run).map_or(&[], Vec::as_slice)
    }

    pub fn steps(&self, run: Uuid) -> &[run_step::Model] {
        self.steps.get(&run).map_or(&[], Vec::as_slice)
    }

    pub fn count(&self, run: Uuid, kind: &str) -> usize {
        self.events(run).iter().filter(|event| event.kind == kind).count()
    }

    /// The run's changes as one line, for whoever looks for the cause.
    pub fn told(&self, run: Uuid) -> String {
        let changes = self.events(run).iter().filter(|event| event.kind != "model.delta");
        let kinds: Vec<_> = changes.map(|event| format!("{} {}", event.seq, event.kind)).collect();
        kinds.join(", ")
    }
}

async fn all<M: FromQueryResult>(db: &Db, sql: &str) -> Vec<M> {
    let rows = db.system(Reason::Operations).query(sql, Vec::new()).await.unwrap();
    rows.iter().map(|row| M::from_query_result(row, "").unwrap()).collect()
}

/// Everything that is wrong.
pub async fn judge(stage: &Stage, story: &Story, db: &Db) -> Vec<String> {
    let mut wrong = stage.history.record().wrong.clone();
    wrong.extend(stage.watch.wrong());
    wrong.extend(stage.stand_in.server.faults());
    wrong.extend(acknowledged::check(&stage.history.record(), story));
    for run in story.runs.values() {
        let mut mine = timeline::check(run, story.events(run.id), story.steps(run.id));
        mine.extend(money::check(run, story));
        mine.extend(leases::check(run, stage, story));
        wrong.extend(mine.iter().map(|what| format!("{}: {what}; {}", run.id, story.told(run.id))));
    }
    wrong.extend(effects::check(stage, story));
    wrong.extend(started::check(stage, story, db).await);
    wrong.extend(trees::check(story, stage.targets.graph));
    wrong.extend(batches::check(story, &stage.history.record().batches, stage.targets.batch));
    wrong
}
