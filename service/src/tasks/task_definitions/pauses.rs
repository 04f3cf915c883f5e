//! A paused definition starts nothing: new runs are accepted and queued, what executes goes on to its end.
//!
//! Its row alone says so, to whatever starts runs; what it holds of the queue follows.

use entity::tasks::task_definition::{ActiveModel, Column, Entity, Model};
use sea_orm::{ColumnTrait as _, ExprTrait as _, Set};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::TaskDefinitionView;
use crate::crud::Once;
use crate::ctx::Ctx;
use crate::engine::releases;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;

const TRIES: usize = 5;

/// Why a task definition is paused.
#[derive(Clone, Debug, Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PauseTaskDefinition {
    #[validate(length(min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    pub reason: Option<String>,
}

/// # Errors
/// 409 `invalid_transition` for one that is paused.
pub async fn pause(ctx: &Ctx, id: Uuid, body: PauseTaskDefinition) -> Result<TaskDefinitionView> {
    let PauseTaskDefinition { reason } = body;
    let changes = ActiveModel {
        paused_at: Set(Some(ctx.core.clock.now())),
        paused_reason: Set(reason),
        releasing_at: Set(None),
        ..ActiveModel::default()
    };
    change(ctx, id, |row| row.paused_at.is_none(), "The task definition is paused.", changes).await
}

/// # Errors
/// 409 `invalid_transition` for one that is not paused.
pub async fn resume(ctx: &Ctx, id: Uuid) -> Result<TaskDefinitionView> {
    let now = ctx.core.clock.now();
    let changes = ActiveModel {
        paused_at: Set(None),
        paused_reason: Set(None),
        releasing_at: Set(Some(now)),
        ..ActiveModel::default()
    };
    let view = change(ctx, id, |row| row.paused_at.is_some(), "The task definition is not paused.", changes);
    let view = view.await?;
    // It is resumed, whatever becomes of this: the rounds release what it still holds.
    if let Err(error) = releases::begin(&ctx.core, ctx.tenant, id, now).await {
        tracing::warn!(%error, "what a definition held is left to the next round");
    }
    Ok(view)
}

async fn change(
    ctx: &Ctx,
    id: Uuid,
    from: impl Fn(&Model) -> bool + Send,
    otherwise: &'static str,
    changes: ActiveModel,
) -> Result<TaskDefinitionView> {
    for _ in 0..TRIES {
        let tx = match ctx.begin_once().await? {
            Once::Replay(view) => return Ok(view),
            Once::First(tx) => tx,
        };
        let found = tx.get::<Entity>(id).await?.filter(|row| row.deleted_at.is_none());
        let row = found.ok_or(Error::not_found("task definition"))?;
        if !from(&row) {
            return Err(Error::conflict("invalid_transition", otherwise));
        }
        let changes = ActiveModel {
            revision: Set(row.revision + 1),
            updated_at: Set(ctx.core.clock.now()),
            ..changes.clone()
        };
        let same = Column::Revision.eq(row.revision).and(Column::DeletedAt.is_null());
        if let Some(written) = tx.update::<Entity>(id, same, changes).await? {
            let (old, view) = (TaskDefinitionView::from(row), TaskDefinitionView::from(written));
            tx.finish(Change::updated::<Entity>(id, &old, &view), &view).await?;
            return Ok(view);
        }
    }
    Err(Error::conflict("concurrent_update", "The task definition is being changed by others: try again."))
}
