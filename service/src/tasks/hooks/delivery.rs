//! One delivery: its run, or the runs that go on with it, and its row in the log.

use chrono::{DateTime, Utc};
use entity::tasks::hook_delivery::{Column, DeliveryVerdict, Entity, Model};
use entity::tasks::inbound_hook::Model as Hook;
use entity::tasks::task_definition::Model as Definition;
use entity::tasks::task_run::RunStatus;
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _};
use serde_json::{Value, json};
use uuid::Uuid;

use super::sent::{self, Sent};
use crate::core::Core;
use crate::crud::document;
use crate::ctx::{Automation, Ctx};
use crate::db::{Reason, SystemTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::tasks::events::{self, Came};
use crate::tasks::inbound_hooks::signatures::Unproved;
use crate::tasks::launch::{Launch, Launched};
use crate::tasks::targets::Wanted;
use crate::tasks::triggers::Trigger;

/// Bytes kept of a body that proved nothing.
const KEPT_OF_UNPROVED: usize = 4 << 10;
/// Characters kept of why one was refused.
const LONGEST_MESSAGE: usize = 500;

/// Who brings a delivery.
pub struct How<'a> {
    pub request_id: String,
    /// A person sends one again: it is taken whatever its id.
    pub replay: Option<(&'a Ctx, Uuid)>,
}

pub enum Delivered {
    Done(Box<Model>),
    /// The filter does not take it.
    Ignored,
    /// The first one with the sender's id.
    Before(Uuid),
}

/// Starts a run with the delivery, or lets the runs that wait for its key go on.
///
/// # Errors
/// Why the run is not started, as `POST /v1/task-runs` would say.
pub async fn deliver(
    core: &Core,
    hook: &Hook,
    definition: &Definition,
    sent: &Sent,
    body: &Value,
    how: How<'_>,
) -> Result<Delivered> {
    let trigger: Trigger = document::read(definition.trigger_config.clone());
    let now = core.clock.now();
    let (id, kind) = (sent.delivery_id(hook, body), sent.kind(hook.scheme, body));
    if let Some(filter) = &trigger.filter
        && !filter.matches(kind.as_deref().unwrap_or_default(), body)
    {
        return Ok(Delivered::Ignored);
    }
    let context = sent::context(hook, sent, body, kind.as_deref(), id.as_deref(), now);
    let ctx = Ctx::automation(core, hook.tenant_id, Automation::Trigger, definition.id, "receive_hook");
    let ctx = Ctx { request_id: how.request_id, ..ctx };
    let mut launch = Launch::default();
    let admitted = async {
        let input = trigger.input_of(&context, body)?;
        launch.add(&ctx, Wanted::Definition(definition.id), input).await.map(|run| run.id)
    };
    let admitted = admitted.await;
    let mut delivery = row(core, hook, sent, DeliveryVerdict::Accepted, now);
    delivery.delivery_id = id;
    delivery.kind.clone_from(&kind);
    if let Some((person, of)) = how.replay {
        delivery.replay_of = Some(of);
        delivery.created_by = person.actor.to_string();
    }
    let tx = core.db.system(Reason::Engine).begin().await?;
    if how.replay.is_none() && !claim(&tx, &delivery, &sent.body).await? {
        drop(tx);
        return first(core, hook, delivery.delivery_id.as_deref()).await.map(Delivered::Before);
    }
    let came = Came {
        output: json!({ "id": delivery.id, "type": kind, "data": body }),
        by: format!("hook:{}", hook.id),
        event: None,
    };
    let key = trigger.key_of(&context);
    let (satisfied, runs) = match &key {
        None => (0, Vec::new()),
        Some(key) => {
            let place = (hook.tenant_id, definition.workspace_id);
            let resumed = events::resume(core, &tx, place, key, &came).await?;
            (resumed.satisfied, resumed.runs)
        }
    };
    delivery.resumed = i32::try_from(satisfied).unwrap_or(i32::MAX);
    let mut launched = Launched::default();
    if satisfied == 0 {
        let run = admitted?;
        launched = launch.create(&tx).await?;
        delivery.run_id = Some(launched.of(run)?);
    }
    match how.replay {
        None => settle(&tx, &delivery).await?,
        Some((person, of)) => {
            insert(&tx, delivery.clone(), &sent.body).await?;
            person
                .keep_answer(&tx, &crate::tasks::hook_deliveries::HookDeliveryView::from(delivery.clone()))
                .await?;
            let change =
                Change::of::<Entity>(of).with(json!({ "deliveryId": delivery.id, "runId": delivery.run_id }));
            let _recorded = person.record(tx.connection(), change).await?;
        }
    }
    tx.commit().await?;
    launch.committed(core, launched);
    for run in runs {
        core.engine.announce(run, RunStatus::Pending);
    }
    Ok(Delivered::Done(Box::new(delivery)))
}

fn row(core: &Core, hook: &Hook, sent: &Sent, verdict: DeliveryVerdict, now: DateTime<Utc>) -> Model {
    Model {
        tenant_id: hook.tenant_id,
        id: core.ids.next(),
        workspace_id: hook.workspace_id,
        hook_id: hook.id,
        delivery_id: None,
        kind: None,
        verdict,
        code: None,
        message: None,
        headers: sent.shown_headers(hook),
        content_type: sent.content_type(),
        body_bytes: i64::try_from(sent.body.len()).unwrap_or(i64::MAX),
        run_id: None,
        resumed: 0,
        replay_of: None,
        created_by: format!("hook:{}", hook.id),
        created_at: now,
    }
}

/// Whether it is the first with its id: its row is there then, and another one with the id waits for this commit.
async fn claim(tx: &SystemTx, delivery: &Model, body: &[u8]) -> Result<bool> {
    let is_first = tx.insert_new(delivery.clone()).await?;
    if is_first {
        keep_body(tx, delivery, body).await?;
    }
    Ok(is_first)
}

async fn keep_body(tx: &SystemTx, delivery: &Model, body: &[u8]) -> Result<()> {
    let sql = "INSERT INTO hook_body (tenant_id, delivery_id, body) VALUES ($1, $2, $3)";
    tx.execute(sql, vec![delivery.tenant_id.into(), delivery.id.into(), body.to_vec().into()]).await?;
    Ok(())
}

/// What became of the claimed one.
async fn settle(tx: &SystemTx, delivery: &Model) -> Result<()> {
    let sql = "UPDATE hook_delivery SET run_id = $3, resumed = $4 WHERE tenant_id = $1 AND id = $2";
    let values =
        vec![delivery.tenant_id.into(), delivery.id.into(), delivery.run_id.into(), delivery.resumed.into()];
    tx.execute(sql, values).await?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the row carries its hook's tenant")]
async fn insert(tx: &SystemTx, delivery: Model, body: &[u8]) -> Result<()> {
    let row = delivery.clone().into_active_model().reset_all();
    Entity::insert(row).exec_without_returning(tx.connection()).await?;
    keep_body(tx, &delivery, body).await
}

async fn first(core: &Core, hook: &Hook, id: Option<&str>) -> Result<Uuid> {
    let db = core.db.tenant(hook.tenant_id);
    let same = db
        .find::<Entity>()
        .filter(Column::HookId.eq(hook.id))
        .filter(Column::DeliveryId.eq(id))
        .filter(Column::Verdict.eq(DeliveryVerdict::Accepted))
        .filter(Column::ReplayOf.is_null());
    let first = same.one().await?.map(|delivery| delivery.id);
    first.ok_or_else(|| Error::internal("a delivery was neither made nor found"))
}

/// The log of what started nothing. What is refused is logged in bounded numbers.
pub struct Log<'a> {
    pub core: &'a Core,
    pub hook: &'a Hook,
    pub sent: &'a Sent,
}

impl Log<'_> {
    pub async fn unproved(&self, unproved: Unproved) -> Result<()> {
        let code = match unproved {
            Unproved::Missing => "signature_missing",
            Unproved::Wrong => "signature_wrong",
            Unproved::Stale => "signature_stale",
        };
        let mut row = self.row(DeliveryVerdict::Unsigned);
        row.code = Some(code.to_owned());
        row.message = Some(unproved.message().to_owned());
        self.write(row).await
    }

    pub async fn refused(&self, verdict: DeliveryVerdict, error: &Error) -> Result<()> {
        let (code, message) = events::refusal_of(error);
        let mut row = self.row(verdict);
        row.code = Some(code.to_owned());
        row.message = Some(message.chars().take(LONGEST_MESSAGE).collect());
        self.write(row).await
    }

    /// One that was answered well without a run.
    pub async fn note(&self, verdict: DeliveryVerdict, body: &Value) -> Result<Uuid> {
        let mut row = self.row(verdict);
        row.delivery_id = self.sent.delivery_id(self.hook, body);
        row.kind = self.sent.kind(self.hook.scheme, body);
        let id = row.id;
        self.write(row).await?;
        Ok(id)
    }

    fn row(&self, verdict: DeliveryVerdict) -> Model {
        row(self.core, self.hook, self.sent, verdict, self.core.clock.now())
    }

    async fn write(&self, row: Model) -> Result<()> {
        if !self.core.hook_rates.may_log(self.hook.id).await {
            return Ok(());
        }
        let tx = self.core.db.system(Reason::Engine).begin().await?;
        let kept =
            if row.verdict == DeliveryVerdict::Unsigned { KEPT_OF_UNPROVED } else { self.sent.body.len() };
        insert(&tx, row, self.sent.body.get(..kept).unwrap_or(&self.sent.body)).await?;
        tx.commit().await
    }
}
