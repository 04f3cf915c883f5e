//! One run of a bulk action: the change, its result and the place of the action in one transaction.

use entity::tasks::bulk_action::Model;
use entity::tasks::bulk_action_item;
use entity::tasks::task_run::{self, RunReason, RunStatus};
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};
use uuid::Uuid;

use super::{BulkKind, ItemOutcome};
use crate::ctx::Ctx;
use crate::db::{Reason, SystemTx};
use crate::engine::transitions::{self, CancelOutcome};
use crate::error::{Error, Result};
use crate::tasks::launch::{Launch, Launched};
use crate::tasks::task_runs::{TaskRunView, change, launch_replay, require_still_there, why_not_retried};

/// The place behind this run, which only one node and one try gets to.
const ADVANCE: &str = "UPDATE bulk_action SET position = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2 \
     AND status = 'RUNNING' AND worked_by = $5 AND position < $3";
const COUNT: &str = "UPDATE bulk_action SET succeeded = succeeded + $3, skipped = skipped + $4, failed = failed + $5, \
     revision = revision + 1 WHERE tenant_id = $1 AND id = $2";

/// What became of the run.
struct Done {
    outcome: ItemOutcome,
    why: Option<(String, String)>,
    new_run: Option<Uuid>,
    /// As it is now.
    changed: Option<task_run::Model>,
}

impl Done {
    fn succeeded(changed: Option<task_run::Model>, new_run: Option<Uuid>) -> Self {
        Self { outcome: ItemOutcome::Succeeded, why: None, new_run, changed }
    }

    fn not(outcome: ItemOutcome, code: &str, message: impl Into<String>) -> Self {
        Self { outcome, why: Some((code.to_owned(), message.into())), new_run: None, changed: None }
    }

    fn passed_over() -> Self {
        Self::not(ItemOutcome::Skipped, "invalid_transition", "The run had changed meanwhile.")
    }

    /// # Errors
    /// What is nobody's refusal: it is tried again.
    fn refused(error: Error) -> Result<Self> {
        let (code, message) = match error {
            Error::Conflict { code, detail } | Error::Denied { code, detail } => (code, detail.into_owned()),
            Error::NotFound { .. } => ("not_found", error.to_string()),
            Error::Forbidden { .. } => ("permission_missing", error.to_string()),
            Error::Invalid { errors } => {
                ("invalid", errors.into_iter().next().map(|error| error.message).unwrap_or_default())
            }
            other => return Err(other),
        };
        Ok(Self::not(ItemOutcome::Failed, code, message))
    }
}

/// `false` when the action is not to go on here.
pub async fn act(ctx: &Ctx, action: &Model, run: task_run::Model) -> Result<bool> {
    let mut launch = Launch::default();
    // What has to be looked up is looked up before the transaction.
    let admitted = match action.kind {
        BulkKind::Cancel => Ok(None),
        BulkKind::Retry => require_still_there(ctx, run.id).await.map(|()| None),
        BulkKind::Replay => launch_replay(ctx, &mut launch, run.clone()).await.map(Some),
    };
    let admitted = match admitted {
        Ok(new_run) => Ok(new_run),
        Err(error) => Err(Done::refused(error)?),
    };
    let tx = ctx.core.db.system(Reason::Engine).begin().await?;
    let (node, now) = (ctx.core.engine.instance(), ctx.core.clock.now());
    let place = vec![ctx.tenant.into(), action.id.into(), run.id.into(), now.into(), node.into()];
    if tx.execute(ADVANCE, place).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let mut launched = Launched::default();
    let done = match admitted {
        Err(done) => done,
        Ok(new_run) => match action.kind {
            BulkKind::Cancel => cancel(ctx, &tx, run.id).await?,
            BulkKind::Retry => retry(ctx, &tx, &run).await?,
            BulkKind::Replay => {
                launched = launch.create(&tx).await?;
                let there = new_run.map_or_else(|| Err(Error::not_found("task run")), |id| launched.of(id));
                there.map_or_else(Done::refused, |id| Ok(Done::succeeded(None, Some(id))))?
            }
        },
    };
    let Done { outcome, why, new_run, changed } = done;
    metrics::counter!("bulk_action_items_total", "outcome" => label(outcome)).increment(1);
    let (code, message) = why.unzip();
    let item = bulk_action_item::Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        bulk_action_id: action.id,
        workspace_id: run.workspace_id,
        run_id: run.id,
        new_run_id: new_run,
        outcome,
        code,
        message,
        created_at: now,
    };
    bulk_action_item::Entity::insert_many([item.into_active_model().reset_all()])
        .exec(tx.connection())
        .await?;
    let is = |wanted| i64::from(outcome == wanted);
    let counts =
        [ItemOutcome::Succeeded, ItemOutcome::Skipped, ItemOutcome::Failed].map(|wanted| is(wanted).into());
    tx.execute(COUNT, [vec![ctx.tenant.into(), action.id.into()], counts.to_vec()].concat()).await?;
    // A replay is audited by the run that it creates.
    if let Some(changed) = &changed {
        let _recorded = ctx.record(tx.connection(), change(&TaskRunView::from(changed.clone()))).await?;
    }
    tx.commit().await?;
    if let Some(changed) = changed {
        if changed.status == RunStatus::Running {
            ctx.core.engine.cancel_here(changed.id);
        }
        ctx.core.engine.announce(changed.id, changed.status);
    }
    launch.committed(&ctx.core, launched);
    Ok(true)
}

async fn cancel(ctx: &Ctx, tx: &SystemTx, id: Uuid) -> Result<Done> {
    let (by, now) = (ctx.actor.to_string(), ctx.core.clock.now());
    match transitions::cancel(tx, ctx.tenant, id, RunReason::ByUser, &by, now).await? {
        CancelOutcome::Cancelled(run) | CancelOutcome::Requested(run) => {
            transitions::close_questions(tx, ctx.tenant, id, now).await?;
            Ok(Done::succeeded(Some(*run), None))
        }
        CancelOutcome::NotLive => Ok(Done::passed_over()),
    }
}

async fn retry(ctx: &Ctx, tx: &SystemTx, run: &task_run::Model) -> Result<Done> {
    let (by, now) = (ctx.actor.to_string(), ctx.core.clock.now());
    match transitions::retry(tx, ctx.tenant, run.id, &by, now).await? {
        Some(again) => {
            transitions::reopen_questions(tx, ctx.tenant, run.id, now).await?;
            Ok(Done::succeeded(Some(again), None))
        }
        None if matches!(run.status, RunStatus::Failed | RunStatus::Cancelled) => {
            Done::refused(why_not_retried(run))
        }
        None => Ok(Done::passed_over()),
    }
}

fn label(outcome: ItemOutcome) -> &'static str {
    match outcome {
        ItemOutcome::Succeeded => "succeeded",
        ItemOutcome::Skipped => "skipped",
        ItemOutcome::Failed => "failed",
    }
}
