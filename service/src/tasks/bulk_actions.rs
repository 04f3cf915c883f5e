//! Cancel, retry or replay all runs that a filter matches. The filter is counted first, if that is wanted, and
//! worked off in the background.
//!
//! Invariants: each run is acted on once, because its result and the place of the action are written in the
//! transaction of the change; only runs that were there when the action was created are acted on; it acts with
//! the rights that its creator has at that moment.

mod filter;
mod item;
mod view;
mod work;

use entity::tasks::bulk_action::{Column, Entity, Model};
use entity::tasks::{bulk_action_item, task_run};
use sea_orm::{ColumnTrait as _, Condition, Set};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

pub use entity::tasks::bulk_action::{BulkKind, BulkStatus};
pub use entity::tasks::bulk_action_item::ItemOutcome;
pub use filter::BulkFilter;
pub use view::{BulkActionItemPage, BulkActionItemView, BulkActionPage, BulkActionView};
pub use work::{work, work_once};

use crate::auth::principal::client_token_limited;
use crate::crud::{self, Once, Page, Paging, Resource, document};
use crate::ctx::{Actor, Ctx};
use crate::db::TenantTx;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;

/// Matches are counted no further.
const MOST_COUNTED: u64 = 10_000;
/// Running actions of a tenant.
const MOST_RUNNING: u64 = 100;

pub(super) struct BulkActions;

impl Resource for BulkActions {
    type Entity = Entity;
    type View = BulkActionView;

    fn taken() -> Error {
        Error::conflict("already_exists", "There is such an action.")
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateBulkAction {
    pub kind: BulkKind,
    #[validate(nested)]
    pub filter: BulkFilter,
    /// Only counts what it would act on; `POST /v1/bulk-actions/{id}/start` starts it.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a list of bulk actions may be narrowed to.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct BulkActionFilter {
    pub kind: Option<BulkKind>,
    pub status: Option<BulkStatus>,
}

/// What a list of results may be narrowed to.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct BulkActionItemFilter {
    pub outcome: Option<ItemOutcome>,
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: BulkActionFilter) -> Result<Page<BulkActionView>> {
    let BulkActionFilter { kind, status } = filter;
    let all = Condition::all()
        .add_option(kind.map(|kind| Column::Kind.eq(kind)))
        .add_option(status.map(|status| Column::Status.eq(status)));
    crud::list::<BulkActions>(ctx, paging, all).await
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<BulkActionView> {
    crud::get::<BulkActions>(ctx, id).await
}

/// The results of the runs that the caller sees.
pub async fn list_items(
    ctx: &Ctx,
    id: Uuid,
    paging: &Paging,
    filter: BulkActionItemFilter,
) -> Result<Page<BulkActionItemView>> {
    use bulk_action_item::Column;
    crud::load::<BulkActions>(ctx, id).await?;
    let all = Condition::all()
        .add(Column::BulkActionId.eq(id))
        .add_option(filter.outcome.map(|outcome| Column::Outcome.eq(outcome)));
    let rows = crud::rows::<bulk_action_item::Entity>(ctx, paging, all).await?;
    Ok(rows.map(BulkActionItemView::from))
}

/// # Errors
/// 422 under `/filter`; 409 `too_many_bulk_actions`; 403 for a client token.
pub async fn create(ctx: &Ctx, body: CreateBulkAction) -> Result<BulkActionView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let CreateBulkAction { kind, filter, dry_run } = body;
    let user_id = match ctx.actor {
        Actor::User { id } | Actor::ApiKey { created_by: id, .. } => id,
        Actor::ClientToken { .. } | Actor::Automation { .. } | Actor::System => {
            return Err(client_token_limited());
        }
    };
    filter.check_named(ctx).await?;
    let last_id = ctx.core.ids.next();
    let matching = filter.condition(kind)?.add(task_run::Column::Id.lte(last_id));
    let matched = ctx.db().find::<task_run::Entity>().filter(matching).count(MOST_COUNTED).await?;
    let now = ctx.core.clock.now();
    let tx = match ctx.begin_once().await? {
        Once::Replay(answer) => return Ok(answer),
        Once::First(tx) => tx,
    };
    if !dry_run {
        admit(&tx).await?;
    }
    let row = Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        kind,
        filter: document::stored(&filter)?,
        status: if dry_run { BulkStatus::Draft } else { BulkStatus::Running },
        status_reason: None,
        matched: i64::try_from(matched).unwrap_or(i64::MAX),
        succeeded: 0,
        skipped: 0,
        failed: 0,
        position: Uuid::nil(),
        last_id,
        worked_by: None,
        worked_until: None,
        user_id,
        api_key_id: ctx.actor.api_key(),
        created_by: ctx.actor.to_string(),
        revision: 1,
        created_at: now,
        updated_at: now,
        started_at: (!dry_run).then_some(now),
        completed_at: None,
    };
    let view = BulkActionView::from(tx.insert::<Entity>(row).await?);
    tx.finish(Change::created::<Entity>(view.id, &view), &view).await?;
    Ok(view)
}

/// Counted under the tenant's lock, so that any number of starts at once come to exactly the limit.
async fn admit(tx: &TenantTx) -> Result<()> {
    tx.lock_tenant().await?;
    let running = tx.find::<Entity>().filter(Column::Status.eq(BulkStatus::Running));
    if running.count(MOST_RUNNING).await? < MOST_RUNNING {
        return Ok(());
    }
    let message = format!("{MOST_RUNNING} bulk actions run: wait for one, or abort one.");
    Err(Error::conflict("too_many_bulk_actions", message))
}

/// DRAFT → RUNNING.
///
/// # Errors
/// 409 `invalid_transition` in another status, `too_many_bulk_actions`.
pub async fn start(ctx: &Ctx, id: Uuid) -> Result<BulkActionView> {
    let now = ctx.core.clock.now();
    let changes = entity::tasks::bulk_action::ActiveModel {
        status: Set(BulkStatus::Running),
        started_at: Set(Some(now)),
        ..Default::default()
    };
    turn(ctx, id, &[BulkStatus::Draft], changes, "started").await
}

/// DRAFT or RUNNING → ABORTED: what was done stays done, and no further run is acted on.
///
/// # Errors
/// 409 `invalid_transition` in another status.
pub async fn abort(ctx: &Ctx, id: Uuid) -> Result<BulkActionView> {
    let now = ctx.core.clock.now();
    let changes = entity::tasks::bulk_action::ActiveModel {
        status: Set(BulkStatus::Aborted),
        completed_at: Set(Some(now)),
        ..Default::default()
    };
    turn(ctx, id, &[BulkStatus::Draft, BulkStatus::Running], changes, "aborted").await
}

async fn turn(
    ctx: &Ctx,
    id: Uuid,
    from: &[BulkStatus],
    mut changes: entity::tasks::bulk_action::ActiveModel,
    action: &str,
) -> Result<BulkActionView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let old = crud::load::<BulkActions>(ctx, id).await?;
    changes.updated_at = Set(ctx.core.clock.now());
    changes.revision = Set(old.revision + 1);
    let tx = match ctx.begin_once().await? {
        Once::Replay(answer) => return Ok(answer),
        Once::First(tx) => tx,
    };
    if from == [BulkStatus::Draft] {
        admit(&tx).await?;
    }
    let Some(new) = tx.update::<Entity>(id, Column::Status.is_in(from.iter().copied()), changes).await?
    else {
        let message = format!("A bulk action in this status cannot be {action}.");
        return Err(Error::conflict("invalid_transition", message));
    };
    let (old, new) = (BulkActionView::from(old), BulkActionView::from(new));
    tx.finish(Change::updated::<Entity>(id, &old, &new), &new).await?;
    Ok(new)
}
