//! The states of a tenant: ACTIVE, SUSPENDED by the platform, CLOSING until it is reopened or its time is
//! over, ERASING (which [`crate::governance::tenant_erasures`] begins) and gone.
//!
//! Invariant: only an ACTIVE tenant starts anything. Each step holds the tenant's lock, and what a closed
//! tenant was before it is again when it is reopened: closing is no way out of a suspension.

use chrono::TimeDelta;
use entity::identity::membership::Role;
use entity::identity::tenant::{ActiveModel, Column, Entity, Model, TenantStatus};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, ConnectionTrait as _, Statement};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{TenantView, within};
use crate::crud::{Once, document};
use crate::ctx::{Actor, Ctx};
use crate::db::{Reason, TenantTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::memberships;
use crate::notifications::notify::{Notice, notify};

const DEFAULT_DAYS: i64 = 30;

/// Administrators of the platform who would have no other tenant to sign in to; or there is no other tenant.
const PLATFORM_HOME: &str = "SELECT 1 AS home FROM app_user u \
     JOIN membership m ON m.user_id = u.id AND m.tenant_id = $1 AND m.status = 'ACTIVE' \
     WHERE u.platform_role = 'ADMIN' AND u.is_active AND NOT EXISTS (SELECT 1 FROM membership o \
     JOIN tenant t ON t.id = o.tenant_id AND t.status IN ('ACTIVE', 'SUSPENDED') \
     WHERE o.user_id = u.id AND o.tenant_id <> $1 AND o.status = 'ACTIVE') \
     UNION ALL SELECT 1 AS home WHERE NOT EXISTS (SELECT 1 FROM tenant t \
     WHERE t.id <> $1 AND t.status IN ('ACTIVE', 'SUSPENDED')) LIMIT 1";

#[derive(Clone, Debug, Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SuspendTenant {
    /// Members read it.
    #[serde(default)]
    #[validate(length(min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500, example = "An invoice is overdue.")]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CloseTenant {
    /// How long it can be reopened.
    #[serde(default)]
    #[validate(range(min = 1, max = 90))]
    #[schema(minimum = 1, maximum = 90, default = 30)]
    pub erase_after_days: Option<i64>,
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CloseOwnTenant {
    /// The tenant's own, so that no other one is closed by mistake.
    #[validate(length(max = 63))]
    #[schema(max_length = 63, example = "example")]
    pub slug: String,
    /// How long it can be reopened.
    #[serde(default)]
    #[validate(range(min = 1, max = 90))]
    #[schema(minimum = 1, maximum = 90, default = 30)]
    pub erase_after_days: Option<i64>,
}

/// ACTIVE → SUSPENDED: what runs comes to its end, and nothing new starts.
///
/// # Errors
/// 404; 409 `invalid_transition`.
pub async fn suspend(ctx: &Ctx, id: Uuid, body: SuspendTenant) -> Result<TenantView> {
    let SuspendTenant { reason } = body;
    step(&within(ctx, id), |row| {
        require(row, &[TenantStatus::Active])?;
        let to = ActiveModel {
            status: Set(TenantStatus::Suspended),
            status_reason: Set(reason.clone()),
            ..ActiveModel::default()
        };
        Ok((to, Some(Notice::tenant_suspended(row.id, &row.name, reason.as_deref()))))
    })
    .await
}

/// SUSPENDED → ACTIVE: what waits goes on.
///
/// # Errors
/// 404; 409 `invalid_transition`.
pub async fn resume(ctx: &Ctx, id: Uuid) -> Result<TenantView> {
    step(&within(ctx, id), |row| {
        require(row, &[TenantStatus::Suspended])?;
        let to = ActiveModel {
            status: Set(TenantStatus::Active),
            status_reason: Set(None),
            ..ActiveModel::default()
        };
        Ok((to, None))
    })
    .await
}

/// ACTIVE or SUSPENDED → CLOSING, of any tenant.
///
/// # Errors
/// 404; 409 `invalid_transition`, `platform_home`.
pub async fn close(ctx: &Ctx, id: Uuid, body: CloseTenant) -> Result<TenantView> {
    let CloseTenant { erase_after_days } = body;
    close_in(&within(ctx, id), erase_after_days).await
}

/// The same, of the caller's own.
///
/// # Errors
/// 403 `person_only`; 409 as [`close`]; 422 at `/slug`.
pub async fn close_own(ctx: &Ctx, body: CloseOwnTenant) -> Result<TenantView> {
    let CloseOwnTenant { slug, erase_after_days } = body;
    if super::get_own(ctx).await?.slug != slug {
        return Err(Error::invalid("/slug", "mismatch", "This is not the slug of your tenant."));
    }
    require_person(ctx)?;
    close_in(ctx, erase_after_days).await
}

async fn close_in(ctx: &Ctx, days: Option<i64>) -> Result<TenantView> {
    let now = ctx.core.clock.now();
    let erase_at = now + TimeDelta::days(days.unwrap_or(DEFAULT_DAYS));
    step(ctx, |row| {
        require(row, &[TenantStatus::Active, TenantStatus::Suspended])?;
        let to = ActiveModel {
            status: Set(TenantStatus::Closing),
            closed_at: Set(Some(now)),
            closed_by: Set(Some(ctx.actor_label())),
            closed_from: Set(Some(row.status)),
            erase_at: Set(Some(erase_at)),
            ..ActiveModel::default()
        };
        Ok((to, Some(Notice::tenant_closing(row.id, &row.name, erase_at))))
    })
    .await
}

/// CLOSING → what it was before, of any tenant.
///
/// # Errors
/// 404; 409 `invalid_transition`, also when its erasure has begun.
pub async fn reopen(ctx: &Ctx, id: Uuid) -> Result<TenantView> {
    reopen_in(&within(ctx, id)).await
}

/// The same, of the caller's own.
///
/// # Errors
/// 403 `closed_by_platform`; 409 as [`reopen`].
pub async fn reopen_own(ctx: &Ctx) -> Result<TenantView> {
    reopen_in(ctx).await
}

async fn reopen_in(ctx: &Ctx) -> Result<TenantView> {
    step(ctx, |row| {
        require(row, &[TenantStatus::Closing])?;
        let by_member = row.closed_by.as_deref().is_some_and(|by| by.starts_with("user:"));
        if ctx.rights.role.is_some() && !by_member {
            let message = "The platform closed the tenant: ask its administrators.";
            return Err(Error::denied("closed_by_platform", message));
        }
        let to = ActiveModel {
            status: Set(row.closed_from.unwrap_or(TenantStatus::Active)),
            closed_at: Set(None),
            closed_by: Set(None),
            closed_from: Set(None),
            erase_at: Set(None),
            ..ActiveModel::default()
        };
        Ok((to, None))
    })
    .await
}

/// What a step changes, and what owners are told of it.
type Step = (ActiveModel, Option<Notice>);

/// One step of the tenant of `ctx`, with its audit row.
async fn step(ctx: &Ctx, decide: impl Fn(&Model) -> Result<Step> + Send) -> Result<TenantView> {
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    tx.lock_tenant().await?;
    let row = tx.get::<Entity>(ctx.tenant).await?.ok_or(Error::not_found("tenant"))?;
    let (changes, notice) = decide(&row)?;
    if changes.status == Set(TenantStatus::Closing) {
        require_dispensable(&tx).await?;
    }
    let changes =
        ActiveModel { revision: Set(row.revision + 1), updated_at: Set(ctx.core.clock.now()), ..changes };
    let same = Column::Revision.eq(row.revision);
    let written = tx.update::<Entity>(ctx.tenant, same, changes).await?;
    let written = written.ok_or_else(|| Error::internal("a locked tenant was changed"))?;
    if let Some(notice) = notice {
        let owners = memberships::with_role(&tx, Role::Owner).await?;
        notify(&ctx.core, tx.system(Reason::People), &owners, &notice).await?;
    }
    let (old, view) = (TenantView::from(row), TenantView::from(written));
    tx.finish(Change::updated::<Entity>(view.id, &old, &view), &view).await?;
    ctx.core.principals.clear();
    ctx.core.engine.nudge();
    Ok(view)
}

fn require(row: &Model, from: &[TenantStatus]) -> Result<()> {
    if from.contains(&row.status) {
        return Ok(());
    }
    let status = document::stored(&row.status)?;
    let message = format!("The tenant is {}.", status.as_str().unwrap_or_default());
    Err(Error::conflict("invalid_transition", message))
}

async fn require_dispensable(tx: &TenantTx) -> Result<()> {
    let people = tx.system(Reason::Platform);
    let values = [tx.tenant().into()];
    let statement = Statement::from_sql_and_values(people.get_database_backend(), PLATFORM_HOME, values);
    if people.query_one_raw(statement).await?.is_some() {
        let message = "An administrator of the platform belongs to no other tenant that is open.";
        return Err(Error::conflict("platform_home", message));
    }
    Ok(())
}

fn require_person(ctx: &Ctx) -> Result<()> {
    match ctx.actor {
        Actor::User { .. } => Ok(()),
        Actor::ApiKey { .. } | Actor::ClientToken { .. } | Actor::Automation { .. } | Actor::System => {
            Err(Error::denied("person_only", "Sign in: an API key cannot close a tenant."))
        }
    }
}
