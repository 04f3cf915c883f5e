//! What a tenant demands of its members' sign-in.
//!
//! A member who lacks it stays a member: everything of the tenant is closed to them until they have it,
//! their own account is not. API keys have no second factor and go on.

use chrono::{DateTime, Utc};
use entity::identity::sign_in_policy::{ActiveModel, Entity, Model};
use sea_orm::ActiveValue::Set;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::crud::{self, Expected, Resource, patch};
use crate::ctx::Ctx;
use crate::db::{TenantDb, Violation, on_violation};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;

/// What members need to act in the tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantSignInView {
    /// Members without a second factor can only get one.
    pub require_second_factor: bool,
    /// 0 while the tenant has chosen nothing.
    pub revision: i64,
}

impl From<Model> for TenantSignInView {
    fn from(row: Model) -> Self {
        let Model { tenant_id: _, id: _, require_second_factor, revision, created_at: _, updated_at: _ } =
            row;
        Self { require_second_factor, revision }
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateTenantSignIn {
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub require_second_factor: Option<bool>,
}

pub async fn get(ctx: &Ctx) -> Result<TenantSignInView> {
    Ok(policy(&ctx.db(), ctx.core.clock.now()).await?.into())
}

/// Acts on live tokens within a second.
///
/// # Errors
/// 409 `concurrent_update`; 412.
pub async fn update(ctx: &Ctx, expected: Expected, update: UpdateTenantSignIn) -> Result<TenantSignInView> {
    let UpdateTenantSignIn { require_second_factor } = update;
    let current = policy(&ctx.db(), ctx.core.clock.now()).await?;
    expected.check(current.revision)?;
    let wanted = Model {
        require_second_factor: require_second_factor.unwrap_or(current.require_second_factor),
        ..current.clone()
    };
    if wanted == current {
        return Ok(current.into());
    }
    let tx = ctx.db().begin().await?;
    let written = if current.revision == 0 {
        let first = Model { revision: 1, ..wanted };
        tx.insert::<Entity>(first).await.map_err(on_violation(Violation::Unique, Policies::taken()))?
    } else {
        let changes = ActiveModel {
            require_second_factor: Set(wanted.require_second_factor),
            ..ActiveModel::default()
        };
        let written = crud::write::<Policies>(ctx, &tx, ctx.tenant, current.revision, changes).await?;
        written.ok_or_else(Policies::taken)?
    };
    let (old, new) = (TenantSignInView::from(current), TenantSignInView::from(written));
    ctx.commit(tx, Change::updated::<Entity>(ctx.tenant, &old, &new)).await?;
    ctx.core.principals.clear();
    Ok(new)
}

struct Policies;

impl Resource for Policies {
    type Entity = Entity;
    type View = TenantSignInView;

    fn taken() -> Error {
        Error::conflict("concurrent_update", "The policy is being changed by others: try again.")
    }
}

/// The tenant's policy; one that demands nothing where there is none.
async fn policy(db: &TenantDb, now: DateTime<Utc>) -> Result<Model> {
    let none = Model {
        tenant_id: db.tenant(),
        id: db.tenant(),
        require_second_factor: false,
        revision: 0,
        created_at: now,
        updated_at: now,
    };
    Ok(db.get::<Entity>(db.tenant()).await?.unwrap_or(none))
}
