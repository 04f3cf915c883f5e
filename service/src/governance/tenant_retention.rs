//! How long a tenant's data is kept, by class: its own wish, within the floor of the class and the
//! ceiling of its plan.
//!
//! Invariant: what is live is never removed, and what is removed leaves an audit row in the same
//! transaction that says how much of what.

mod removal;
mod rounds;

use chrono::{DateTime, TimeDelta, Utc};
use entity::governance::retention_policy::{ActiveModel, Entity, Model};
use entity::identity::tenant;
use sea_orm::ActiveValue::Set;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use crate::crud::{self, Expected, Patch, Resource};
use crate::ctx::Ctx;
use crate::db::{TenantDb, Violation, on_violation};
use crate::error::{Error, FieldError, Result};
use crate::governance::audit_logs::Change;
use crate::identity::plans::PlanLimits;

pub(super) use removal::remove_audit;
pub use rounds::{Rounds, apply, sweep};

/// Of ended sessions, whatever the plan: they tell where somebody was.
const MOST_SESSIONS_DAYS: i32 = 365;

/// What is kept for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RetentionClass {
    /// Runs that have ended, with their steps, events and approvals.
    Runs,
    /// The audit log, and with it the team's activity.
    Audit,
    /// Sessions that have ended.
    Sessions,
    /// Events that were posted; as long as runs.
    Events,
    /// What inbound hooks were sent; as long as runs.
    HookDeliveries,
}

impl RetentionClass {
    const ALL: [Self; 5] = [Self::Runs, Self::Audit, Self::Sessions, Self::Events, Self::HookDeliveries];

    fn floor(self) -> i32 {
        match self {
            Self::Audit => 90,
            Self::Runs | Self::Sessions | Self::Events | Self::HookDeliveries => 1,
        }
    }

    fn ceiling(self, limits: &PlanLimits) -> i32 {
        let days = i32::try_from(limits.retention_days).unwrap_or(i32::MAX);
        match self {
            Self::Sessions => days.min(MOST_SESSIONS_DAYS),
            Self::Runs | Self::Audit | Self::Events | Self::HookDeliveries => days,
        }
    }

    fn wish(self, policy: &Model) -> Option<i32> {
        match self {
            Self::Runs | Self::Events | Self::HookDeliveries => policy.runs_days,
            Self::Audit => policy.audit_days,
            Self::Sessions => policy.sessions_days,
        }
    }

    fn field(self) -> &'static str {
        match self {
            Self::Runs | Self::Events | Self::HookDeliveries => "runsDays",
            Self::Audit => "auditDays",
            Self::Sessions => "sessionsDays",
        }
    }

    /// Without a wish: the tenant's `dataRetentionDays`; ended sessions tell little after a month.
    fn default_days(self, tenant: &tenant::Model) -> i32 {
        match self {
            Self::Runs | Self::Audit | Self::Events | Self::HookDeliveries => tenant.data_retention_days,
            Self::Sessions => 30,
        }
    }

    /// A tenant that moved to a smaller plan keeps no more than that plan allows.
    fn days(self, tenant: &tenant::Model, policy: &Model, limits: &PlanLimits) -> i32 {
        let days = self.wish(policy).unwrap_or_else(|| self.default_days(tenant));
        days.clamp(self.floor(), self.ceiling(limits))
    }
}

/// What would be removed of one class now.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionClassView {
    pub class: RetentionClass,
    /// For how many days it is kept.
    pub days: i32,
    /// Whether the tenant chose so, or asks for a preview of it; else it follows `dataRetentionDays`.
    pub is_own: bool,
    pub floor_days: i32,
    /// The most that the plan allows.
    pub ceiling_days: i32,
    /// What ended (for the audit log: was written) before this time is removed.
    pub before: DateTime<Utc>,
    /// How many rows are to be removed, counted up to 10,000.
    pub due: i64,
}

/// How long what is kept, and what would go now. Answers kept for `Idempotency-Key` go after seven days.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantRetentionView {
    pub classes: Vec<RetentionClassView>,
    /// 0 while the tenant has chosen nothing.
    pub revision: i64,
}

/// A merge patch: absent keeps, `null` goes back to the default.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "runsDays": 90, "auditDays": 365 }))]
pub struct UpdateTenantRetention {
    #[serde(default)]
    #[validate(range(min = 1, max = 3650))]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 3650)]
    pub runs_days: Patch<i32>,
    #[serde(default)]
    #[validate(range(min = 90, max = 3650))]
    #[schema(value_type = Option<i32>, minimum = 90, maximum = 3650)]
    pub audit_days: Patch<i32>,
    #[serde(default)]
    #[validate(range(min = 1, max = 365))]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 365)]
    pub sessions_days: Patch<i32>,
}

/// What the audit log keeps of a policy.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyView {
    runs_days: Option<i32>,
    audit_days: Option<i32>,
    sessions_days: Option<i32>,
    revision: i64,
}

impl From<Model> for PolicyView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id: _,
            runs_days,
            audit_days,
            sessions_days,
            revision,
            created_at: _,
            updated_at: _,
        } = row;
        Self { runs_days, audit_days, sessions_days, revision }
    }
}

/// Days to look at instead of those that hold.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct RetentionPreview {
    /// What would be due if runs were kept so long.
    #[param(minimum = 1, maximum = 3650)]
    pub runs_days: Option<i32>,
    /// What would be due if the audit log were kept so long.
    #[param(minimum = 90, maximum = 3650)]
    pub audit_days: Option<i32>,
    /// What would be due if ended sessions were kept so long.
    #[param(minimum = 1, maximum = 365)]
    pub sessions_days: Option<i32>,
}

/// What holds, or would hold with the days of a preview.
///
/// # Errors
/// None of its own.
pub async fn get(ctx: &Ctx, preview: RetentionPreview) -> Result<TenantRetentionView> {
    let db = ctx.db();
    let (tenant, mut policy) = (tenant(&db).await?, policy(&db, ctx.core.clock.now()).await?);
    let RetentionPreview { runs_days, audit_days, sessions_days } = preview;
    policy.runs_days = runs_days.or(policy.runs_days);
    policy.audit_days = audit_days.or(policy.audit_days);
    policy.sessions_days = sessions_days.or(policy.sessions_days);
    let limits = ctx.core.config.plans.of(tenant.plan);
    let mut classes = Vec::with_capacity(RetentionClass::ALL.len());
    for class in RetentionClass::ALL {
        let days = class.days(&tenant, &policy, limits);
        let before = ctx.core.clock.now() - TimeDelta::days(i64::from(days));
        classes.push(RetentionClassView {
            class,
            days,
            is_own: class.wish(&policy).is_some(),
            floor_days: class.floor(),
            ceiling_days: class.ceiling(limits),
            before,
            due: removal::due(&db, class, before).await?,
        });
    }
    Ok(TenantRetentionView { classes, revision: policy.revision })
}

/// # Errors
/// 412; 422 `above_ceiling` for more than the plan allows.
pub async fn update(
    ctx: &Ctx,
    expected: Expected,
    update: UpdateTenantRetention,
) -> Result<TenantRetentionView> {
    let db = ctx.db();
    let tenant = tenant(&db).await?;
    let current = policy(&db, ctx.core.clock.now()).await?;
    expected.check(current.revision)?;
    let UpdateTenantRetention { runs_days, audit_days, sessions_days } = update;
    let wanted = Model {
        runs_days: runs_days.over(current.runs_days),
        audit_days: audit_days.over(current.audit_days),
        sessions_days: sessions_days.over(current.sessions_days),
        ..current.clone()
    };
    let limits = ctx.core.config.plans.of(tenant.plan);
    let too_many = |class: &RetentionClass| {
        let ceiling = class.ceiling(limits);
        let days =
            class.wish(&wanted).filter(|days| *days > ceiling && class.wish(&current) != Some(*days))?;
        let message = format!("{days} days are more than the {ceiling} that the plan allows");
        Some(FieldError::new(format!("/{}", class.field()), "above_ceiling", message))
    };
    let errors: Vec<_> = RetentionClass::ALL.iter().filter_map(too_many).collect();
    if !errors.is_empty() {
        return Err(Error::Invalid { errors });
    }
    if wanted != current {
        write(ctx, current, wanted).await?;
    }
    get(ctx, RetentionPreview::default()).await
}

async fn write(ctx: &Ctx, current: Model, wanted: Model) -> Result<()> {
    let tx = ctx.db().begin().await?;
    let concurrent =
        || Error::conflict("concurrent_update", "The retention is being changed by others: try again.");
    let written = if current.revision == 0 {
        let first = Model { revision: 1, ..wanted };
        tx.insert::<Entity>(first).await.map_err(on_violation(Violation::Unique, concurrent()))?
    } else {
        let changes = ActiveModel {
            runs_days: Set(wanted.runs_days),
            audit_days: Set(wanted.audit_days),
            sessions_days: Set(wanted.sessions_days),
            ..ActiveModel::default()
        };
        let written = crud::write::<Policies>(ctx, &tx, ctx.tenant, current.revision, changes).await?;
        written.ok_or_else(concurrent)?
    };
    let change =
        Change::updated::<Entity>(ctx.tenant, &PolicyView::from(current), &PolicyView::from(written));
    ctx.commit(tx, change).await
}

struct Policies;

impl Resource for Policies {
    type Entity = Entity;
    type View = PolicyView;

    fn taken() -> Error {
        Error::conflict("concurrent_update", "The retention is being changed by others: try again.")
    }
}

async fn tenant(db: &TenantDb) -> Result<tenant::Model> {
    db.get::<tenant::Entity>(db.tenant()).await?.ok_or(Error::not_found("tenant"))
}

/// The tenant's policy; one that wishes nothing where there is none.
async fn policy(db: &TenantDb, now: DateTime<Utc>) -> Result<Model> {
    let none = Model {
        tenant_id: db.tenant(),
        id: db.tenant(),
        runs_days: None,
        audit_days: None,
        sessions_days: None,
        revision: 0,
        created_at: now,
        updated_at: now,
    };
    Ok(db.get::<Entity>(db.tenant()).await?.unwrap_or(none))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::plans::Plans;

    #[test]
    fn every_class_has_room_between_floor_and_ceiling() {
        for class in RetentionClass::ALL {
            let plans = Plans::default();
            let ceilings: Vec<_> = Plans::ALL.into_iter().map(|plan| class.ceiling(plans.of(plan))).collect();
            assert!(ceilings.is_sorted() && class.floor() < ceilings[0], "{class:?}");
        }
    }
}
