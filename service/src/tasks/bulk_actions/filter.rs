//! Which runs a bulk action is about.

use chrono::{DateTime, Utc};
use entity::agents::{agent, tool};
use entity::identity::workspace;
use entity::scope::TenantOwned;
use entity::tasks::task_run::{Column, RunReason, RunStatus};
use entity::tasks::{task_definition, task_run};
use sea_orm::{ColumnTrait as _, Condition};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::BulkKind;
use crate::ctx::Ctx;
use crate::error::{Error, Result};
use crate::tasks::task_runs::TaskRunFilter;

/// The runs that fulfil all that is given; something has to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BulkFilter {
    /// CANCEL acts on PENDING, RUNNING and WAITING runs, RETRY on FAILED and CANCELLED ones, REPLAY on all that
    /// have ended.
    pub status: Option<RunStatus>,
    pub reason: Option<RunReason>,
    pub agent_id: Option<Uuid>,
    pub definition_id: Option<Uuid>,
    pub tool_id: Option<Uuid>,
    pub workspace_id: Option<Uuid>,
    pub parent_run_id: Option<Uuid>,
    /// Those that failed because too many executors vanished under them, or the others.
    pub quarantined: Option<bool>,
    /// The definition's key that its input made; with `definitionId`.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub concurrency_key: Option<String>,
    #[serde(deserialize_with = "crate::crud::time::optional")]
    pub created_after: Option<DateTime<Utc>>,
    #[serde(deserialize_with = "crate::crud::time::optional")]
    pub created_before: Option<DateTime<Utc>>,
}

async fn named<E: TenantOwned>(ctx: &Ctx, id: Option<Uuid>, pointer: &str) -> Result<()> {
    let Some(id) = id else { return Ok(()) };
    if ctx.db().get::<E>(id).await?.is_some() {
        return Ok(());
    }
    Err(Error::invalid(pointer, "not_found", format!("There is no such {}.", E::KIND)))
}

/// What a kind can act on at all.
fn acted_on(kind: BulkKind) -> &'static [RunStatus] {
    use RunStatus::{Cancelled, Completed, Failed, Pending, Running, Waiting};
    match kind {
        BulkKind::Cancel => &[Pending, Running, Waiting],
        BulkKind::Retry => &[Failed, Cancelled],
        BulkKind::Replay => &[Completed, Failed, Cancelled],
    }
}

impl BulkFilter {
    /// What is named is there, and the caller sees it.
    ///
    /// # Errors
    /// 422 under `/filter`.
    pub async fn check_named(&self, ctx: &Ctx) -> Result<()> {
        named::<agent::Entity>(ctx, self.agent_id, "/filter/agentId").await?;
        named::<task_definition::Entity>(ctx, self.definition_id, "/filter/definitionId").await?;
        named::<tool::Entity>(ctx, self.tool_id, "/filter/toolId").await?;
        named::<workspace::Entity>(ctx, self.workspace_id, "/filter/workspaceId").await?;
        named::<task_run::Entity>(ctx, self.parent_run_id, "/filter/parentRunId").await
    }

    /// # Errors
    /// 422 under `/filter`.
    pub fn condition(&self, kind: BulkKind) -> Result<Condition> {
        if *self == Self::default() {
            return Err(Error::invalid(
                "/filter",
                "required",
                "Say which runs: a filter has to narrow something.",
            ));
        }
        if self.status.is_some_and(|status| !acted_on(kind).contains(&status)) {
            return Err(Error::invalid(
                "/filter/status",
                "unsupported",
                "This kind does not act on such runs.",
            ));
        }
        if self.concurrency_key.is_some() && self.definition_id.is_none() {
            let message = "concurrencyKey needs definitionId, whose key it is.";
            return Err(Error::invalid("/filter/concurrencyKey", "required", message));
        }
        let Self {
            status,
            reason,
            agent_id,
            definition_id,
            tool_id,
            workspace_id,
            parent_run_id,
            quarantined,
            concurrency_key,
            created_after,
            created_before,
        } = self.clone();
        let runs = TaskRunFilter {
            status,
            reason,
            agent_id,
            definition_id,
            tool_id,
            workspace_id,
            parent_run_id,
            root_run_id: None,
            quarantined,
            concurrency_key,
        };
        Ok(runs
            .condition()?
            .add(Column::Status.is_in(acted_on(kind).iter().copied()))
            .add_option(created_after.map(|time| Column::CreatedAt.gte(time)))
            .add_option(created_before.map(|time| Column::CreatedAt.lt(time))))
    }
}
