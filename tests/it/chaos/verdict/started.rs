//! What starts runs beside callers: each event and each due second, once.

use std::collections::HashSet;

use chrono::TimeDelta;
use entity::tasks::schedule_fire::{self, FireStatus};
use sea_orm::QueryResult;
use service::db::{Db, Reason};
use uuid::Uuid;

use super::{Story, all};
use crate::chaos::Stage;
use crate::chaos::targets::HAPPENED;

pub async fn check(stage: &Stage, story: &Story, db: &Db) -> Vec<String> {
    let mut wrong = events(stage, story, db).await;
    wrong.extend(fires(stage, story, db).await);
    wrong
}

async fn rows(db: &Db, sql: &str) -> Vec<QueryResult> {
    db.system(Reason::Operations).query(sql, Vec::new()).await.unwrap()
}

/// An event that was acknowledged is there once and has started its run.
async fn events(stage: &Stage, story: &Story, db: &Db) -> Vec<String> {
    let mut wrong = Vec::new();
    let stored: Vec<String> = rows(db, "SELECT dedupe_id FROM event WHERE dedupe_id IS NOT NULL")
        .await
        .iter()
        .map(|row| row.try_get("", "dedupe_id").unwrap())
        .collect();
    let ids: HashSet<&str> = stored.iter().map(String::as_str).collect();
    if ids.len() < stored.len() {
        wrong.push("an event is stored twice".to_owned());
    }
    let acknowledged = stage.history.record().events.clone();
    let lost = acknowledged.iter().filter(|id| !ids.contains(id.as_str()));
    wrong.extend(lost.map(|id| format!("the event {id} was acknowledged and is lost")));
    let sql = format!(
        "SELECT e.dedupe_id, r.run_id, r.code FROM event e LEFT JOIN event_run r \
         ON r.tenant_id = e.tenant_id AND r.event_id = e.id WHERE e.type = '{HAPPENED}'"
    );
    let mut started = HashSet::new();
    for row in rows(db, &sql).await {
        let event: String = row.try_get("", "dedupe_id").unwrap();
        let run: Option<Uuid> = row.try_get("", "run_id").unwrap();
        let code: Option<String> = row.try_get("", "code").unwrap();
        match run {
            None => wrong.push(format!("the event {event} started nothing: {code:?}")),
            Some(run) if !started.insert(run) => wrong.push(format!("{run} was started by two events")),
            Some(run) if !story.runs.contains_key(&run) => {
                wrong.push(format!("the run of the event {event} is lost"))
            }
            Some(_) => {}
        }
    }
    wrong.extend(unexplained(story, stage.targets.listening, &started));
    wrong
}

/// Each second between the first and the last fire has its record, and each run of the schedule is that of one.
async fn fires(stage: &Stage, story: &Story, db: &Db) -> Vec<String> {
    let mut wrong = Vec::new();
    let fires: Vec<schedule_fire::Model> = all(db, "SELECT * FROM schedule_fire ORDER BY due_at").await;
    if fires.is_empty() {
        wrong.push("the schedule never fired".to_owned());
    }
    for pair in fires.windows(2) {
        if pair[1].due_at != pair[0].last_due_at + TimeDelta::seconds(1) {
            wrong.push(format!("a fire of {} is followed by one of {}", pair[0].last_due_at, pair[1].due_at));
        }
    }
    let mut started = HashSet::new();
    for fire in fires {
        match fire.run_id {
            Some(run) if !started.insert(run) => wrong.push(format!("{run} is the run of two fires")),
            Some(run) if !story.runs.contains_key(&run) => {
                wrong.push(format!("the run of {} is lost", fire.due_at))
            }
            None if fire.status == FireStatus::Started => {
                wrong.push(format!("{} started no run", fire.due_at))
            }
            _ => {}
        }
    }
    wrong.extend(unexplained(story, stage.targets.scheduled, &started));
    wrong
}

/// Runs of the definition that nothing has started.
fn unexplained(story: &Story, definition: Uuid, started: &HashSet<Uuid>) -> Vec<String> {
    let runs = story.runs.values().filter(|run| run.definition_id == Some(definition));
    runs.filter(|run| !started.contains(&run.id)).map(|run| format!("nothing started {}", run.id)).collect()
}
