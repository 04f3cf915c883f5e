//! The caller's own places, in every tenant.

use chrono::{DateTime, Utc};
use entity::identity::membership::{ActiveModel, Column, Entity, MembershipStatus, Model, Role};
use entity::identity::tenant::{self, TenantStatus};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::principal::RequestInfo;
use crate::core::Core;
use crate::crud::{self, Once, Page, Paging, page};
use crate::ctx::{Actor, Ctx};
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::governance::audit_logs::{Change, Entry, append};
use crate::identity::users;

/// A place of the caller in a tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MyMembershipView {
    pub id: Uuid,
    pub tenant: MyTenant,
    pub role: Role,
    pub status: MembershipStatus,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MyTenant {
    pub id: Uuid,
    pub name: String,
    pub slug: String,
    pub status: TenantStatus,
}

page!(MyMembershipPage, MyMembershipView);

impl MyMembershipView {
    fn of(row: Model, tenant: tenant::Model) -> Self {
        let Model { tenant_id: _, id, user_id: _, role, status, revision: _, created_at, updated_at } = row;
        let tenant = MyTenant { id: tenant.id, name: tenant.name, slug: tenant.slug, status: tenant.status };
        Self { id, tenant, role, status, created_at, updated_at }
    }
}

/// # Errors
/// 403 `person_only` for an API key, which belongs to one tenant.
pub async fn list_mine(ctx: &Ctx, paging: &Paging) -> Result<Page<MyMembershipView>> {
    let me = person(ctx)?;
    let system = ctx.core.db.system(Reason::People);
    let rows =
        crud::rows_of(ctx, paging, Condition::all().add(Column::UserId.eq(me)), || system.find::<Entity>())
            .await?;
    let ids: Vec<Uuid> = rows.data.iter().map(|row| row.tenant_id).collect();
    let tenants = system.find::<tenant::Entity>().filter(tenant::Column::Id.is_in(ids)).all().await?;
    let Page { data, next_cursor, has_more, total } = rows;
    let show = |row: Model| {
        let tenant = tenants.iter().find(|tenant| tenant.id == row.tenant_id)?;
        Some(MyMembershipView::of(row, tenant.clone()))
    };
    Ok(Page { data: data.into_iter().filter_map(show).collect(), next_cursor, has_more, total })
}

/// Accepts an invitation; one that is accepted already stays so.
///
/// # Errors
/// 403 `person_only`, `email_unverified`; 404; 409 `membership_suspended`.
pub async fn accept(ctx: &Ctx, id: Uuid) -> Result<MyMembershipView> {
    let me = person(ctx)?;
    let tx = match ctx.begin_once().await? {
        Once::Replay(answer) => return Ok(answer),
        Once::First(tx) => tx,
    };
    let missing = || Error::not_found("membership");
    let row = find(tx.system(Reason::People), me, id).await?.ok_or_else(missing)?;
    let row = match row.status {
        MembershipStatus::Active => row,
        MembershipStatus::Invited => {
            let people = tx.system(Reason::People);
            let user = users::by_id(people, me).await?.ok_or_else(missing)?;
            users::require_may_join(&user, row.tenant_id)?;
            accept_in(&ctx.core, people, &row).await?
        }
        MembershipStatus::Suspended => {
            return Err(Error::conflict("membership_suspended", "The tenant has suspended your membership."));
        }
    };
    let tenant = ctx.core.db.tenant(row.tenant_id).get::<tenant::Entity>(row.tenant_id).await?;
    let view = MyMembershipView::of(row, tenant.ok_or_else(missing)?);
    let change = Change::of::<Entity>(view.id).with(json!({ "status": view.status, "userId": me }));
    tx.finish_within(&Ctx { tenant: view.tenant.id, ..ctx.clone() }, change, &view).await?;
    ctx.core.principals.clear();
    Ok(view)
}

/// Accepts for a person who is signing in.
pub(crate) async fn accept_row(core: &Core, request: &RequestInfo, row: &Model) -> Result<()> {
    let tx = core.db.system(Reason::SignIn).begin().await?;
    let accepted = accept_in(core, tx.connection(), row).await?;
    let change =
        Change::of::<Entity>(row.id).with(json!({ "status": accepted.status, "userId": row.user_id }));
    let entry = Entry::of_person(request, row.tenant_id, row.user_id, change);
    let _recorded = append(core, tx.connection(), entry).await?;
    tx.commit().await
}

#[expect(clippy::disallowed_methods, reason = "a person accepts before the tenant is their scope")]
async fn accept_in(core: &Core, transaction: &impl ConnectionTrait, row: &Model) -> Result<Model> {
    let changes = ActiveModel {
        status: Set(MembershipStatus::Active),
        revision: Set(row.revision + 1),
        updated_at: Set(core.clock.now()),
        ..Default::default()
    };
    let written = Entity::update_many()
        .set(changes)
        .filter(Column::TenantId.eq(row.tenant_id))
        .filter(Column::Id.eq(row.id))
        .filter(Column::Status.eq(MembershipStatus::Invited))
        .filter(Column::Revision.eq(row.revision))
        .exec_with_returning(transaction)
        .await?;
    let changed = || Error::conflict("concurrent_update", "The invitation was just changed: try again.");
    written.into_iter().next().ok_or_else(changed)
}

#[expect(clippy::disallowed_methods, reason = "a person's places are in many tenants")]
async fn find(db: &impl ConnectionTrait, user: Uuid, id: Uuid) -> Result<Option<Model>> {
    Ok(Entity::find().filter(Column::UserId.eq(user)).filter(Column::Id.eq(id)).one(db).await?)
}

fn person(ctx: &Ctx) -> Result<Uuid> {
    match ctx.actor {
        Actor::User { id } => Ok(id),
        Actor::ApiKey { .. } | Actor::ClientToken { .. } | Actor::Automation { .. } | Actor::System => {
            Err(Error::denied("person_only", "Sign in: an API key belongs to one tenant."))
        }
    }
}
