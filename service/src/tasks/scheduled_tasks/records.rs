//! Writing fires and what they change of their schedules, many rows in a statement each.

use chrono::{DateTime, Utc};
use entity::tasks::schedule_fire::{FireKind, FireReason, FireStatus, Model};
use entity::tasks::scheduled_task;
use sea_orm::{ActiveEnum as _, DbErr};
use uuid::Uuid;

use super::overlap::Key;
use crate::core::Core;
use crate::ctx::{Actor, Automation};
use crate::db::Kind::{Int, Json, Text, Time, Uuid as Id};
use crate::db::{Column, SystemTx};

/// A fire of the schedule that waits for its turn at `due_at`.
pub fn waiting(
    core: &Core,
    schedule: &scheduled_task::Model,
    kind: FireKind,
    due_at: DateTime<Utc>,
    fire_at: DateTime<Utc>,
) -> Model {
    let now = core.clock.now();
    Model {
        tenant_id: schedule.tenant_id,
        id: core.ids.next(),
        workspace_id: schedule.workspace_id,
        schedule_id: schedule.id,
        due_at,
        last_due_at: due_at,
        instants: 1,
        fire_at,
        kind,
        status: FireStatus::Pending,
        reason: None,
        detail: None,
        input: None,
        run_id: None,
        run_status: None,
        created_by: Actor::Automation { kind: Automation::Schedule, id: schedule.id }.to_string(),
        settled_at: None,
        created_at: now,
        updated_at: now,
    }
}

/// What becomes of a fire.
pub trait Becomes {
    fn start(&mut self, run: Uuid);
    fn skip(&mut self, reason: FireReason, detail: Option<String>);
    fn coalesce(&mut self);
}

impl Becomes for Model {
    fn start(&mut self, run: Uuid) {
        (self.status, self.run_id, self.reason) = (FireStatus::Started, Some(run), None);
    }

    fn skip(&mut self, reason: FireReason, detail: Option<String>) {
        (self.status, self.reason, self.run_id) = (FireStatus::Skipped, Some(reason), None);
        self.detail = detail;
        self.settled_at = Some(self.updated_at);
    }

    fn coalesce(&mut self) {
        (self.status, self.run_id) = (FireStatus::Coalesced, None);
        self.settled_at = Some(self.updated_at);
    }
}

const FIRES: [Column<Model>; 18] = [
    Column::new("tenant_id", Id, |fire| fire.tenant_id.into()),
    Column::new("id", Id, |fire| fire.id.into()),
    Column::optional("workspace_id", Id, |fire| fire.workspace_id.into()),
    Column::new("schedule_id", Id, |fire| fire.schedule_id.into()),
    Column::new("due_at", Time, |fire| fire.due_at.into()),
    Column::new("last_due_at", Time, |fire| fire.last_due_at.into()),
    Column::new("instants", Int, |fire| i64::from(fire.instants).into()),
    Column::new("fire_at", Time, |fire| fire.fire_at.into()),
    Column::new("kind", Text, |fire| fire.kind.to_value().into()),
    Column::new("status", Text, |fire| fire.status.to_value().into()),
    Column::optional("reason", Text, |fire| fire.reason.map(|reason| reason.to_value()).into()),
    Column::optional("detail", Text, |fire| fire.detail.clone().into()),
    Column::optional("input", Json, |fire| fire.input.clone().into()),
    Column::optional("run_id", Id, |fire| fire.run_id.into()),
    Column::new("created_by", Text, |fire| fire.created_by.clone().into()),
    Column::optional("settled_at", Time, |fire| fire.settled_at.into()),
    Column::new("created_at", Time, |fire| fire.created_at.into()),
    Column::new("updated_at", Time, |fire| fire.updated_at.into()),
];

/// Inserts new fires. Two of a schedule for one time are refused by the database.
pub async fn insert(tx: &SystemTx, fires: &[Model]) -> Result<(), DbErr> {
    if fires.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = FIRES.iter().map(Column::name).collect();
    let names = names.join(", ");
    let sql =
        format!("INSERT INTO schedule_fire ({names}) SELECT {names} FROM {}", tx.dialect().rows(1, &FIRES));
    tx.execute(&sql, tx.dialect().bind(&FIRES, fires)).await?;
    Ok(())
}

/// Writes what became of fires that waited.
pub async fn decide(tx: &SystemTx, fires: &[Model]) -> Result<(), DbErr> {
    if fires.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE schedule_fire AS f SET status = v.status, kind = v.kind, reason = v.reason, detail = v.detail, \
         run_id = v.run_id, settled_at = v.settled_at, updated_at = v.updated_at \
         FROM {} WHERE f.tenant_id = v.tenant_id AND f.id = v.id",
        tx.dialect().rows(1, &FIRES),
    );
    tx.execute(&sql, tx.dialect().bind(&FIRES, fires)).await?;
    Ok(())
}

/// A schedule and one time of it.
pub type Instant = (Uuid, Uuid, DateTime<Utc>);

const INSTANTS: [Column<Instant>; 3] = [
    Column::new("tenant_id", Id, |at| at.0.into()),
    Column::new("schedule_id", Id, |at| at.1.into()),
    Column::new("due_at", Time, |at| at.2.into()),
];

/// Those of the times that have a fire already.
pub async fn recorded(tx: &SystemTx, instants: &[Instant]) -> Result<Vec<Instant>, DbErr> {
    if instants.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT f.tenant_id, f.schedule_id, f.due_at FROM {} JOIN schedule_fire f ON f.tenant_id = v.tenant_id \
         AND f.schedule_id = v.schedule_id AND f.due_at = v.due_at",
        tx.dialect().rows(1, &INSTANTS),
    );
    let rows = tx.query(&sql, tx.dialect().bind(&INSTANTS, instants)).await?;
    let read = |row: &sea_orm::QueryResult| {
        Ok((row.try_get("", "tenant_id")?, row.try_get("", "schedule_id")?, row.try_get("", "due_at")?))
    };
    rows.iter().map(read).collect()
}

/// Where a schedule goes on.
#[derive(Clone, Debug)]
pub struct Moved {
    pub key: Key,
    pub last_due_at: DateTime<Utc>,
    pub next: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// No time is left.
    pub is_over: bool,
    pub at: DateTime<Utc>,
}

const MOVED: [Column<Moved>; 7] = [
    Column::new("tenant_id", Id, |moved| moved.key.0.into()),
    Column::new("id", Id, |moved| moved.key.1.into()),
    Column::new("last_due_at", Time, |moved| moved.last_due_at.into()),
    Column::optional("next_due_at", Time, |moved| moved.next.map(|next| next.0).into()),
    Column::optional("next_fire_at", Time, |moved| moved.next.map(|next| next.1).into()),
    Column::new("is_over", Int, |moved| i64::from(moved.is_over).into()),
    Column::new("at", Time, |moved| moved.at.into()),
];

/// Firing is no change by anybody: the revision stays, but where the schedule is over.
pub async fn advance(tx: &SystemTx, moved: &[Moved]) -> Result<(), DbErr> {
    if moved.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE scheduled_task AS s SET last_due_at = v.last_due_at, next_due_at = v.next_due_at, \
         next_fire_at = v.next_fire_at, revision = s.revision + v.is_over, \
         status = CASE WHEN v.is_over = 1 THEN 'COMPLETED' ELSE s.status END, \
         updated_at = CASE WHEN v.is_over = 1 THEN v.at ELSE s.updated_at END \
         FROM {} WHERE s.tenant_id = v.tenant_id AND s.id = v.id",
        tx.dialect().rows(1, &MOVED),
    );
    tx.execute(&sql, tx.dialect().bind(&MOVED, moved)).await?;
    Ok(())
}
