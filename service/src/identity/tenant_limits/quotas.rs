//! What is counted, and the check before one more is made.

use chrono::{DateTime, Utc};
use entity::identity::tenant::Plan;
use sea_orm::{ConnectionTrait, Statement, Value};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::Core;
use crate::ctx::Ctx;
use crate::db::{Reason, TenantDb, TenantTx};
use crate::error::{Error, Result};
use crate::identity::plans::PlanLimits;

/// What a plan limits by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Quota {
    /// Memberships, whatever their status.
    Members,
    Agents,
    Tools,
    TaskDefinitions,
    ScheduledTasks,
    BatchTasks,
    Integrations,
    /// Keys that work.
    ApiKeys,
    /// Runs created in a calendar month, in UTC.
    RunsPerMonth,
    /// Runs that wait to be started.
    QueuedRuns,
}

impl Quota {
    pub(super) const ALL: [Self; 10] = [
        Self::Members,
        Self::Agents,
        Self::Tools,
        Self::TaskDefinitions,
        Self::ScheduledTasks,
        Self::BatchTasks,
        Self::Integrations,
        Self::ApiKeys,
        Self::RunsPerMonth,
        Self::QueuedRuns,
    ];

    pub(super) fn limit(self, limits: &PlanLimits) -> i64 {
        i64::from(match self {
            Self::Members => limits.members,
            Self::Agents => limits.agents,
            Self::Tools => limits.tools,
            Self::TaskDefinitions => limits.task_definitions,
            Self::ScheduledTasks => limits.scheduled_tasks,
            Self::BatchTasks => limits.batch_tasks,
            Self::Integrations => limits.integrations,
            Self::ApiKeys => limits.api_keys,
            Self::RunsPerMonth => limits.runs_per_month,
            Self::QueuedRuns => limits.queued_runs,
        })
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::Agents => "agents",
            Self::Tools => "tools",
            Self::TaskDefinitions => "task definitions",
            Self::ScheduledTasks => "scheduled tasks",
            Self::BatchTasks => "batch tasks",
            Self::Integrations => "integrations",
            Self::ApiKeys => "working API keys",
            Self::RunsPerMonth => "runs a month",
            Self::QueuedRuns => "queued runs",
        }
    }

    /// Counts the rows, with the tenant as `$1` and more values from `$2` on.
    fn count(self, now: DateTime<Utc>) -> Result<(String, Vec<Value>)> {
        let (table, counted) = match self {
            Self::Members => ("membership", ""),
            Self::Agents => ("agent", " AND deleted_at IS NULL"),
            Self::Tools => ("tool", " AND deleted_at IS NULL"),
            Self::TaskDefinitions => ("task_definition", " AND deleted_at IS NULL"),
            Self::ScheduledTasks => ("scheduled_task", " AND deleted_at IS NULL"),
            Self::BatchTasks => ("batch_task", " AND deleted_at IS NULL"),
            Self::Integrations => ("integration", " AND deleted_at IS NULL"),
            Self::ApiKeys => {
                ("api_key", " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)")
            }
            Self::RunsPerMonth | Self::QueuedRuns => {
                return Err(Error::internal("runs are counted beside their creation"));
            }
        };
        let values = if self == Self::ApiKeys { vec![now.into()] } else { Vec::new() };
        Ok((format!("SELECT COUNT(*) AS held FROM {table} WHERE tenant_id = $1{counted}"), values))
    }

    pub(super) async fn held(self, db: &TenantDb, now: DateTime<Utc>) -> Result<i64> {
        let (sql, values) = self.count(now)?;
        let rows = db.query(&sql, values).await?;
        Ok(rows.first().map(|row| row.try_get("", "held")).transpose()?.unwrap_or(0))
    }
}

/// Whether the plan allows one more, until this transaction ends.
///
/// # Errors
/// 403 `quota_exceeded`.
pub(crate) async fn admit(ctx: &Ctx, tx: &TenantTx, quota: Quota) -> Result<()> {
    admit_in(&ctx.core, tx.system(Reason::Platform), tx.tenant(), quota).await
}

/// The same in a transaction that is not bound to the tenant: somebody joins it from outside.
pub(crate) async fn admit_in(
    core: &Core,
    tx: &impl ConnectionTrait,
    tenant: Uuid,
    quota: Quota,
) -> Result<()> {
    let query = |sql: String, values: Vec<Value>| {
        Statement::from_sql_and_values(tx.get_database_backend(), sql, values)
    };
    let lock = format!("SELECT plan FROM tenant WHERE id = $1{}", core.db.dialect().for_update());
    let found =
        tx.query_one_raw(query(lock, vec![tenant.into()])).await?.ok_or(Error::not_found("tenant"))?;
    let plan: Plan = found.try_get("", "plan")?;
    let limit = quota.limit(core.config.plans.of(plan));
    let (sql, values) = quota.count(core.clock.now())?;
    let values = std::iter::once(tenant.into()).chain(values).collect();
    let counted = tx.query_one_raw(query(sql, values)).await?;
    let held: i64 = counted.map(|row| row.try_get("", "held")).transpose()?.unwrap_or(0);
    if held < limit { Ok(()) } else { Err(exceeded(quota, limit)) }
}

pub(crate) fn exceeded(quota: Quota, limit: i64) -> Error {
    let what = quota.plural();
    let message = format!("The tenant's plan allows {limit} {what}: see GET /v1/tenant/limits.");
    Error::denied("quota_exceeded", message)
}
