//! Group commit: what waits while a commit is in flight goes into the next one, and each caller is
//! answered after its own rows are durable. A lone caller waits for nobody; a bad row fails alone.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use entity::governance::idempotency_record;
use entity::tasks::{approval, run_wait, task_run};
use sea_orm::{
    ActiveModelTrait, ColumnTrait as _, DbErr, EntityTrait, FromQueryResult as _, IntoActiveModel,
    ModelTrait, QueryFilter as _,
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::LeaseLost;
use super::bells::Bells;
use super::transitions::tree::{self, Place};
use super::transitions::{self, Ended, HeldWrite, NewRun, Ripple, Spawn, Written};
use super::watch::Watch;
use crate::clock::Clock;
use crate::crud::in_flight;
use crate::db::{Column, Db, Dialect, Kind, Reason, SystemDb, SystemTx, Violation, is_overload, violation};
use crate::error::{Error, Result};

/// Most commands in one commit, and most bytes of JSON in them.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 8 << 20;
/// Milliseconds between tries while the database cannot be reached: half a minute in all.
const PAUSES: [u64; 20] = [
    50, 100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000,
    2_000, 2_000, 2_000, 0,
];
/// Commands that may wait; more creates are refused.
const QUEUE: usize = 8_192;

enum Command {
    Create(Box<Create>),
    Write(Box<Write>),
}

struct Create {
    new: NewRun,
    record: Option<idempotency_record::Model>,
    bytes: usize,
    reply: oneshot::Sender<Result<Created>>,
}

struct Write {
    write: HeldWrite,
    awaited: Awaited,
    bytes: usize,
    reply: oneshot::Sender<Result<Written, LeaseLost>>,
}

/// What a run waits for, registered in the commit that makes it wait.
#[derive(Clone, Debug, Default)]
pub struct Awaited {
    pub questions: Vec<approval::Model>,
    pub waits: Vec<run_wait::Model>,
}

/// What became of a run to be created.
#[derive(Debug)]
pub enum Created {
    New(Box<task_run::Model>),
    /// A live run has the same dedupe key.
    Duplicate(Box<task_run::Model>),
}

impl Command {
    fn run(&self) -> Uuid {
        match self {
            Self::Create(create) => create.new.run.id,
            Self::Write(write) => write.write.run,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Create(create) => create.bytes,
            Self::Write(write) => write.bytes,
        }
    }
}

/// Hands commands to the tasks that commit them. A run's commands always go to the same task, so
/// they keep their order.
#[derive(Clone)]
pub struct Committer {
    lanes: Vec<mpsc::Sender<Command>>,
}

impl Committer {
    pub fn start(db: &Db, clock: &Clock, watch: &Watch, bells: &Bells) -> Self {
        let count = match db.dialect() {
            Dialect::Sqlite => 1,
            Dialect::Postgres => 2,
        };
        let lanes = (0..count)
            .map(|_| {
                let (sender, receiver) = mpsc::channel(QUEUE);
                let worker = Worker {
                    db: db.system(Reason::Engine),
                    clock: clock.clone(),
                    watch: watch.clone(),
                    bells: bells.clone(),
                    receiver,
                };
                tokio::spawn(worker.run());
                sender
            })
            .collect();
        Self { lanes }
    }

    fn lane(&self, run: Uuid) -> Option<&mpsc::Sender<Command>> {
        let byte = usize::from(run.as_bytes()[15]);
        self.lanes.get(byte % self.lanes.len().max(1))
    }

    /// # Errors
    /// [`Error::Unavailable`] `engine_busy` when too many wait already.
    pub async fn create(&self, new: NewRun, record: Option<idempotency_record::Model>) -> Result<Created> {
        let busy = || Error::Unavailable { code: "engine_busy", retry_after: Duration::from_secs(1) };
        let bytes = size(&new.run.input) + size(&new.run.metadata) + 1024;
        let lane = self.lane(new.run.id).ok_or_else(busy)?;
        let (reply, answer) = oneshot::channel();
        lane.try_send(Command::Create(Box::new(Create { new, record, bytes, reply }))).map_err(|_| busy())?;
        answer.await.map_err(Error::internal)?
    }

    pub async fn write(&self, write: HeldWrite, awaited: Awaited) -> Result<Written, LeaseLost> {
        let steps = write
            .progress
            .steps
            .iter()
            .map(|step| size(&step.request) + step.response.as_ref().map_or(0, size));
        let output = write.change.as_ref().and_then(|change| change.output.as_ref()).map_or(0, size);
        let children = spawned(&write).map(|run| size(&run.input) + size(&run.policy) + 1024);
        let bytes = steps.sum::<usize>() + output + children.sum::<usize>() + 1024;
        let lane = self.lane(write.run).ok_or(LeaseLost)?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Write(Box::new(Write { write, awaited, bytes, reply }));
        lane.send(command).await.map_err(|_| LeaseLost)?;
        answer.await.map_err(|_| LeaseLost)?
    }
}

fn spawned(write: &HeldWrite) -> impl Iterator<Item = &task_run::Model> {
    let spawn = write.change.as_ref().and_then(|change| change.spawn.as_ref());
    spawn.into_iter().flat_map(|spawn| &spawn.children)
}

/// The order of magnitude of a value's JSON text.
fn size(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => 8,
        serde_json::Value::String(text) => text.len() + 2,
        serde_json::Value::Array(items) => items.iter().map(size).sum::<usize>() + 2,
        serde_json::Value::Object(fields) => {
            fields.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>() + 2
        }
    }
}

struct Worker {
    db: SystemDb,
    clock: Clock,
    watch: Watch,
    bells: Bells,
    receiver: mpsc::Receiver<Command>,
}

impl Worker {
    async fn run(mut self) {
        let mut deferred: VecDeque<Command> = VecDeque::new();
        loop {
            let first = match deferred.pop_front() {
                Some(command) => command,
                None => match self.receiver.recv().await {
                    Some(command) => command,
                    None => return,
                },
            };
            let batch = self.gather(first, &mut deferred);
            metrics::histogram!("engine_commit_rows").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
            self.commit(batch).await;
        }
    }

    /// What waits now, at most one command a run: a statement changes a row once.
    fn gather(&mut self, first: Command, deferred: &mut VecDeque<Command>) -> Vec<Command> {
        let mut runs = HashSet::from([first.run()]);
        let mut bytes = first.bytes();
        let mut batch = vec![first];
        let mut again = VecDeque::new();
        while batch.len() < BATCH && bytes < BATCH_BYTES && again.len() < BATCH {
            let Some(next) = deferred.pop_front().or_else(|| self.receiver.try_recv().ok()) else { break };
            if runs.insert(next.run()) {
                bytes += next.bytes();
                batch.push(next);
            } else {
                again.push_back(next);
            }
        }
        again.append(deferred);
        *deferred = again;
        batch
    }

    async fn commit(&self, batch: Vec<Command>) {
        let (mut creates, mut writes) = (Vec::new(), Vec::new());
        for command in batch {
            match command {
                Command::Create(create) => creates.push(*create),
                Command::Write(write) => writes.push(*write),
            }
        }
        self.commit_together(creates, writes).await;
    }

    /// One commit; a row that the database refuses is found by committing one by one. While the database
    /// cannot be reached creates are refused, and writes are tried again until their leases are over:
    /// the work behind them is done and paid.
    async fn commit_together(&self, mut creates: Vec<Create>, writes: Vec<Write>) {
        for pause in PAUSES {
            match self.apply(&creates, &writes).await {
                Ok(done) => return self.answer(creates, writes, done).await,
                Err(Failure::Row(cause)) if creates.len() + writes.len() > 1 => {
                    tracing::warn!(%cause, "a group commit failed: its rows are tried one by one");
                    for create in creates {
                        Box::pin(self.commit_together(vec![create], Vec::new())).await;
                    }
                    for write in writes {
                        Box::pin(self.commit_together(Vec::new(), vec![write])).await;
                    }
                    return;
                }
                Err(Failure::Busy(cause)) if !writes.is_empty() => {
                    tracing::warn!(%cause, "the database cannot commit now: trying again");
                    fail(std::mem::take(&mut creates), Vec::new(), Failure::Busy(cause));
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                Err(failure) => return fail(creates, writes, failure),
            }
        }
        fail(
            creates,
            writes,
            Failure::Busy(Error::internal("the database could not commit for half a minute")),
        );
    }

    async fn apply(&self, creates: &[Create], writes: &[Write]) -> Result<Done, Failure> {
        let now = self.clock.now();
        let tx = self.db.begin().await.map_err(Failure::Busy)?;
        let mut done = Done::default();
        if !creates.is_empty() {
            let runs: Vec<&NewRun> = creates.iter().map(|create| &create.new).collect();
            done.created = transitions::create(&tx, &runs).await?;
            let records = creates.iter().filter(|create| done.created.contains_key(&create.new.run.id));
            insert_all(&tx, records.filter_map(|create| create.record.clone())).await?;
        }
        if !writes.is_empty() {
            let held: Vec<&HeldWrite> = writes.iter().map(|write| &write.write).collect();
            done.written = transitions::write(&tx, &held, now).await?;
            // A run that was cancelled meanwhile waits for nothing.
            let waits =
                |run| done.written.get(run).is_some_and(|run| run.status == task_run::RunStatus::Waiting);
            let awaited: Vec<_> = writes.iter().filter(|write| waits(&write.write.run)).collect();
            insert_all(&tx, awaited.iter().flat_map(|write| write.awaited.questions.clone())).await?;
            insert_all(&tx, awaited.iter().flat_map(|write| write.awaited.waits.clone())).await?;
            done.ripple = ripple(&tx, &held, &done.written, now).await?;
        }
        tx.commit().await.map_err(Failure::Doubt)?;
        Ok(done)
    }

    async fn answer(&self, creates: Vec<Create>, writes: Vec<Write>, mut done: Done) {
        let mut ended = Vec::new();
        for create in creates {
            let answer = match done.created.remove(&create.new.run.id) {
                Some(run) => {
                    self.watch.notify(run.id, run.status);
                    Ok(Created::New(Box::new(run)))
                }
                None => why_not(&self.db, &create.new).await,
            };
            // A caller that no longer waits needs no answer.
            let _ = create.reply.send(answer);
        }
        for write in writes {
            let HeldWrite { tenant, run, .. } = write.write;
            let answer = done.written.get(&run).copied().ok_or(LeaseLost);
            match answer {
                Ok(written) if written.status.is_terminal() && self.watch.is_watched(run) => {
                    ended.push((tenant, run));
                }
                Ok(written) => self.watch.notify(run, written.status),
                Err(LeaseLost) => {}
            }
            let _ = write.reply.send(answer);
        }
        self.tell_tree(&done.ripple);
        if !ended.is_empty() {
            tokio::spawn(tell_ended(self.db.clone(), self.watch.clone(), ended));
        }
    }

    /// Children and parents that the commit changed.
    fn tell_tree(&self, ripple: &Ripple) {
        for (run, status) in &ripple.changed {
            self.watch.notify(*run, *status);
        }
        if ripple.changed.iter().any(|(_, status)| *status == task_run::RunStatus::Pending) {
            self.bells.claim();
        }
        if ripple.again {
            self.bells.settle();
        }
    }
}

/// Why a run was not inserted.
#[expect(clippy::disallowed_methods, reason = "the engine serves every tenant")]
pub(super) async fn why_not(db: &SystemDb, new: &NewRun) -> Result<Created> {
    let mine = task_run::Entity::find().filter(task_run::Column::TenantId.eq(new.run.tenant_id));
    if let Some(run) = mine.filter(task_run::Column::Id.eq(new.run.id)).one(db.connection()).await? {
        return Ok(Created::New(Box::new(run)));
    }
    if let Some((sql, values)) = transitions::live_duplicate(&new.run)
        && let Some(row) = db.query(&sql, values).await?.first()
    {
        return Ok(Created::Duplicate(Box::new(task_run::Model::from_query_result(row, "")?)));
    }
    let sql = "SELECT id FROM tenant WHERE id = $1 AND status = 'ACTIVE'";
    if db.query(sql, vec![new.run.tenant_id.into()]).await?.is_empty() {
        return Err(Error::denied("tenant_suspended", "The tenant is not active: no run can be created."));
    }
    Err(busy())
}

/// The run with this dedupe key ended meanwhile: another try creates one.
pub fn busy() -> Error {
    Error::Unavailable { code: "engine_busy", retry_after: Duration::from_millis(100) }
}

/// Reads the ended runs of a commit together, for those who wait for them. Who is not told looks again soon.
async fn tell_ended(db: SystemDb, watch: Watch, ended: Vec<(Uuid, Uuid)>) {
    let columns: [Column<(Uuid, Uuid)>; 2] = [
        Column::new("tenant_id", Kind::Uuid, |run| run.0.into()),
        Column::new("id", Kind::Uuid, |run| run.1.into()),
    ];
    let sql = format!(
        "SELECT r.* FROM {} JOIN task_run r ON r.tenant_id = v.tenant_id AND r.id = v.id",
        db.dialect().rows(1, &columns),
    );
    match db.query(&sql, db.dialect().bind(&columns, &ended)).await {
        Ok(rows) => {
            let runs = rows.iter().filter_map(|row| task_run::Model::from_query_result(row, "").ok());
            runs.for_each(|run| watch.ended(run));
        }
        Err(cause) => tracing::warn!(%cause, "could not read runs that ended"),
    }
}

#[derive(Default)]
struct Done {
    created: std::collections::HashMap<Uuid, task_run::Model>,
    written: std::collections::HashMap<Uuid, Written>,
    ripple: Ripple,
}

/// What the writes mean for the trees of their runs: nothing, for most.
async fn ripple(
    tx: &SystemTx,
    writes: &[&HeldWrite],
    written: &std::collections::HashMap<Uuid, Written>,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Ripple, DbErr> {
    let mut ripple = Ripple::default();
    let after = |write: &HeldWrite| written.get(&write.run).copied();
    let spawns: Vec<(Place, &Spawn)> = writes
        .iter()
        .filter(|write| after(write).is_some_and(|run| run.status == task_run::RunStatus::Waiting))
        .filter_map(|write| Some(((write.tenant, write.run), write.change.as_ref()?.spawn.as_ref()?)))
        .collect();
    if !spawns.is_empty() {
        ripple.add(tree::spawn(tx, &spawns, now).await?);
    }
    let ended: Vec<Ended> = writes.iter().filter_map(|write| write.ended(&after(write)?)).collect();
    if !ended.is_empty() {
        ripple.add(tree::ended(tx, &ended, now).await?);
    }
    Ok(ripple)
}

enum Failure {
    /// Nothing was committed, and the same may succeed later.
    Busy(Error),
    /// Nothing was committed: a row is refused.
    Row(DbErr),
    /// Whether it was committed is not known.
    Doubt(Error),
}

impl From<DbErr> for Failure {
    fn from(cause: DbErr) -> Self {
        if is_overload(&cause) { Self::Busy(cause.into()) } else { Self::Row(cause) }
    }
}

/// A write whose commit is in doubt counts as lost: its run is recovered when the lease expires.
fn fail(creates: Vec<Create>, writes: Vec<Write>, failure: Failure) {
    let cause = match failure {
        Failure::Busy(error) | Failure::Doubt(error) => error,
        Failure::Row(cause) if repeats_a_key(&creates, &cause) => in_flight(),
        Failure::Row(cause) => cause.into(),
    };
    if !matches!(cause, Error::Conflict { .. }) {
        tracing::error!(%cause, "an engine commit failed");
    }
    let mut cause = Some(cause);
    for create in creates {
        let busy = || Error::Unavailable { code: "database_busy", retry_after: Duration::from_secs(1) };
        let _ = create.reply.send(Err(cause.take().unwrap_or_else(busy)));
    }
    for write in writes {
        let _ = write.reply.send(Err(LeaseLost));
    }
}

/// A run itself conflicts silently, so a broken unique index is that of its idempotency record.
fn repeats_a_key(creates: &[Create], cause: &DbErr) -> bool {
    creates.iter().any(|create| create.record.is_some()) && violation(cause) == Some(Violation::Unique)
}

pub(super) async fn insert_all<M>(tx: &SystemTx, rows: impl Iterator<Item = M>) -> Result<(), DbErr>
where
    M: ModelTrait + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
    <M::Entity as EntityTrait>::ActiveModel: ActiveModelTrait<Entity = M::Entity> + Send,
{
    let rows: Vec<_> = rows.map(|row| row.into_active_model().reset_all()).collect();
    if !rows.is_empty() {
        <M::Entity as EntityTrait>::insert_many(rows).exec_without_returning(tx.connection()).await?;
    }
    Ok(())
}
