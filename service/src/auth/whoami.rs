//! What a caller may know of their own credential.

use entity::identity::membership::Role;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::principal::Principal;
use crate::ctx::Actor;

/// The caller, their tenant and what they may do there.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhoamiView {
    pub tenant_id: Uuid,
    pub actor: ActorKind,
    /// The signed-in user, or who made the API key.
    pub user_id: Option<Uuid>,
    /// The API key that was used.
    pub api_key_id: Option<Uuid>,
    /// None for an administrator of the platform who is no member of the tenant.
    pub role: Option<Role>,
    pub is_platform_admin: bool,
    /// All rights of this credential here and now; a key's scopes have cut them down.
    #[schema(example = json!(["agents:read", "task-runs:write"]))]
    pub permissions: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ActorKind {
    User,
    ApiKey,
    System,
}

impl From<&Principal> for WhoamiView {
    fn from(principal: &Principal) -> Self {
        let (actor, api_key_id) = match principal.actor {
            Actor::User { .. } => (ActorKind::User, None),
            Actor::ApiKey { id, .. } => (ActorKind::ApiKey, Some(id)),
            Actor::System => (ActorKind::System, None),
        };
        Self {
            tenant_id: principal.tenant,
            actor,
            user_id: principal.actor.user(),
            api_key_id,
            role: principal.rights.role,
            is_platform_admin: principal.rights.is_platform_admin,
            permissions: principal.rights.permissions().into_iter().map(str::to_owned).collect(),
        }
    }
}
