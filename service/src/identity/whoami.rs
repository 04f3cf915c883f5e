//! Who the caller is and what they may do.

use entity::identity::app_user::PlatformRole;
use entity::identity::membership::Role;
use entity::identity::tenant::{self, Plan, TenantStatus};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::users;
use crate::ctx::{Actor, Ctx};
use crate::db::Reason;
use crate::error::{Error, Result};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhoamiView {
    pub credential: CredentialView,
    /// The person; for an API key, the one who made it.
    pub user: WhoamiUser,
    pub tenant: WhoamiTenant,
    /// The person's role in the tenant; null for an administrator of the platform who is no member.
    #[schema(required)]
    pub role: Option<Role>,
    /// What the API key was given; null for a session.
    #[schema(required, example = json!(["task-runs:read", "task-runs:write"]))]
    pub scopes: Option<Vec<&'static str>>,
    /// What the caller may really do: the role's permissions cut down by the scopes.
    #[schema(example = json!(["task-runs:read", "task-runs:write"]))]
    pub permissions: Vec<&'static str>,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CredentialType {
    Session,
    ApiKey,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialView {
    #[serde(rename = "type")]
    pub kind: CredentialType,
    /// The session's or the API key's id.
    #[schema(required)]
    pub id: Option<Uuid>,
    /// The one workspace of an API key.
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhoamiUser {
    pub id: Uuid,
    pub email: String,
    #[schema(required)]
    pub name: Option<String>,
    pub platform_role: PlatformRole,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhoamiTenant {
    pub id: Uuid,
    pub name: String,
    pub slug: String,
    pub plan: Plan,
    pub status: TenantStatus,
}

pub async fn get(ctx: &Ctx) -> Result<WhoamiView> {
    let gone = || Error::not_found("user");
    let id = ctx.actor.user().ok_or_else(gone)?;
    let db = ctx.core.db.system(Reason::People);
    let user = users::by_id(db.connection(), id).await?.ok_or_else(gone)?;
    let tenant =
        ctx.db().get::<tenant::Entity>(ctx.tenant).await?.ok_or_else(|| Error::not_found("tenant"))?;
    let workspace_id = ctx.rights.workspace;
    let credential = match ctx.actor {
        Actor::ApiKey { id, .. } => {
            CredentialView { kind: CredentialType::ApiKey, id: Some(id), workspace_id }
        }
        Actor::User { .. } | Actor::ClientToken { .. } | Actor::Automation { .. } | Actor::System => {
            CredentialView { kind: CredentialType::Session, id: ctx.session, workspace_id }
        }
    };
    Ok(WhoamiView {
        credential,
        user: WhoamiUser {
            id: user.id,
            email: user.email,
            name: user.name,
            platform_role: user.platform_role,
        },
        tenant: WhoamiTenant {
            id: tenant.id,
            name: tenant.name,
            slug: tenant.slug,
            plan: tenant.plan,
            status: tenant.status,
        },
        role: ctx.rights.role,
        scopes: ctx.rights.scopes.as_ref().map(crate::auth::scopes::Scopes::names),
        permissions: ctx.rights.permissions(),
    })
}
