//! What the tenant's plan allows, and how much of it is used.
//!
//! Invariant: what a quota counts is counted under the tenant's lock before one more is made, so that any
//! number of creates at once come to exactly the limit. Runs alone are counted beside their creation, by
//! [`crate::engine::Admission`].

mod quotas;

use chrono::{DateTime, Utc};
use entity::identity::tenant::{self, Plan};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tenants::TenantSettings;
use crate::crud::document;
use crate::ctx::Ctx;
use crate::error::{Error, Result};

pub use quotas::Quota;
pub(crate) use quotas::{admit, admit_in, exceeded};

/// How a quota stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaView {
    pub quota: Quota,
    /// How much is used.
    #[schema(minimum = 0, example = 42)]
    pub value: i64,
    /// The most that the plan allows; one more is refused with `quota_exceeded`.
    #[schema(minimum = 0, example = 50)]
    pub limit: i64,
    /// From this value on it is time to act: `quotaAlarmPercent` of the tenant's settings.
    #[schema(minimum = 0, example = 40)]
    pub alarm: i64,
    pub is_alarming: bool,
    /// When it starts again at zero; null where what is counted has to go instead.
    #[schema(required)]
    pub resets_at: Option<DateTime<Utc>>,
}

/// The plan of the tenant and how it stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantLimitsView {
    pub plan: Plan,
    pub quotas: Vec<QuotaView>,
    /// Requests of all callers of the tenant in a minute, at each node: more are answered 429.
    #[schema(minimum = 1)]
    pub requests_per_minute: u32,
    /// The tenant's turns among those that have runs waiting.
    #[schema(minimum = 1)]
    pub weight: u32,
    /// The longest that ended runs and the audit log can be kept.
    #[schema(minimum = 1)]
    pub retention_days: u32,
}

/// # Errors
/// None of its own.
pub async fn get(ctx: &Ctx) -> Result<TenantLimitsView> {
    let db = ctx.db();
    let tenant = db.get::<tenant::Entity>(ctx.tenant).await?.ok_or(Error::not_found("tenant"))?;
    let limits = ctx.core.config.plans.of(tenant.plan);
    let settings: TenantSettings = document::read(tenant.settings);
    let runs = ctx.core.engine.admission().usage(ctx.tenant).await?;
    let mut quotas = Vec::with_capacity(Quota::ALL.len());
    for quota in Quota::ALL {
        let limit = quota.limit(limits);
        let (value, resets_at) = match quota {
            Quota::RunsPerMonth => (runs.this_month, Some(runs.next_month)),
            Quota::QueuedRuns => (runs.queued, None),
            counted => (counted.held(&db, ctx.core.clock.now()).await?, None),
        };
        let alarm = limit.saturating_mul(settings.alarm_percent()) / 100;
        quotas.push(QuotaView { quota, value, limit, alarm, is_alarming: value >= alarm, resets_at });
    }
    Ok(TenantLimitsView {
        plan: tenant.plan,
        quotas,
        requests_per_minute: limits.requests_per_minute,
        weight: limits.weight,
        retention_days: limits.retention_days,
    })
}
