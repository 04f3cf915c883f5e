//! API keys as callers see and write them. The secret is in the answer that makes it, and nowhere else.

use chrono::{DateTime, Utc};
use entity::identity::api_key::Model;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::crud::metadata::{self, Metadata, MetadataPatch};
use crate::crud::{page, patch};

/// An API key without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyView {
    pub id: Uuid,
    /// The key sees and does only what belongs to this workspace; null is all of the tenant.
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    pub name: String,
    /// The first characters of the key.
    #[schema(example = "mc_live_4Kd0")]
    pub prefix: String,
    /// The last characters of the key.
    #[schema(example = "x9Qz")]
    pub last4: String,
    #[schema(example = json!(["task-runs:read", "task-runs:write"]))]
    pub scopes: Vec<String>,
    /// The only agents that the key sees and runs; null for no such limit.
    #[schema(required)]
    pub agent_ids: Option<Vec<Uuid>>,
    /// The networks it may be used from; empty for everywhere.
    #[schema(example = json!(["203.0.113.0/24"]))]
    pub ip_allow_list: Vec<String>,
    /// The person whose rights bound those of the key.
    pub created_by: Uuid,
    #[schema(required)]
    pub expires_at: Option<DateTime<Utc>>,
    /// To the minute.
    #[schema(required)]
    pub last_used_at: Option<DateTime<Utc>>,
    /// When its secret was last changed.
    #[schema(required)]
    pub rotated_at: Option<DateTime<Utc>>,
    /// Until when the secret before also works.
    #[schema(required)]
    pub previous_expires_at: Option<DateTime<Utc>>,
    /// Since when the key is refused.
    #[schema(required)]
    pub revoked_at: Option<DateTime<Utc>>,
    pub metadata: Metadata,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

page!(ApiKeyPage, ApiKeyView);

/// An API key with its new secret, which is never shown again.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedApiKey {
    /// For `X-API-Key` or `Authorization: Bearer`.
    #[schema(example = "mc_live_…")]
    pub key: String,
    #[serde(flatten)]
    pub api_key: ApiKeyView,
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateApiKey {
    #[validate(length(min = 1, max = 120))]
    #[schema(min_length = 1, max_length = 120, example = "Nightly import")]
    pub name: String,
    /// Permissions that you have yourself, or `*` for all of yours, now and later.
    #[schema(min_items = 1, max_items = 64, example = json!(["task-runs:read", "task-runs:write"]))]
    pub scopes: Vec<String>,
    /// The key sees and does only what belongs to it. A key made with a key of a workspace is one of it as well.
    #[serde(default)]
    pub workspace_id: Option<Uuid>,
    /// The only agents that the key shall see and run; everything else is as if it were missing. Such a key
    /// holds no permission but to read and operate agents, to read task definitions, and those on task runs
    /// and approvals. It cannot be changed later.
    #[serde(default)]
    #[validate(length(min = 1, max = 50))]
    #[schema(min_items = 1, max_items = 50)]
    pub agent_ids: Option<Vec<Uuid>>,
    /// The only networks and addresses that the key may be used from; without it everywhere. A key made
    /// with a key stays within the networks of that key.
    #[serde(default)]
    #[schema(max_items = 32, example = json!(["203.0.113.0/24"]))]
    pub ip_allow_list: Vec<String>,
    /// When the key stops working; without it never. A key made with a key stops with it at the latest.
    #[serde(default, deserialize_with = "crate::crud::time::optional")]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    #[validate(custom(function = "metadata::valid"))]
    pub metadata: Metadata,
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateApiKey {
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 120))]
    #[schema(nullable = false, min_length = 1, max_length = 120)]
    pub name: Option<String>,
    /// The whole list; an empty one lets everybody in. Only for people who are signed in.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false, max_items = 32, example = json!(["203.0.113.0/24", "2001:db8::/32"]))]
    pub ip_allow_list: Option<Vec<String>>,
    /// Set entries; `null` removes one.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub metadata: Option<MetadataPatch>,
}

impl From<Model> for ApiKeyView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id,
            name,
            prefix,
            last4,
            hash: _,
            scopes,
            agent_ids,
            ip_allow_list,
            previous_hash: _,
            previous_expires_at,
            rotated_at,
            created_by,
            expires_at,
            warn_at: _,
            last_used_at,
            revoked_at,
            metadata,
            revision,
            created_at,
            updated_at,
        } = row;
        Self {
            id,
            workspace_id,
            name,
            prefix,
            last4,
            scopes: serde_json::from_value(scopes).unwrap_or_default(),
            agent_ids: agent_ids.map(|ids| serde_json::from_value(ids).unwrap_or_default()),
            ip_allow_list: serde_json::from_value(ip_allow_list).unwrap_or_default(),
            created_by,
            expires_at,
            last_used_at,
            rotated_at,
            previous_expires_at,
            revoked_at,
            metadata: metadata::shown(metadata),
            revision,
            created_at,
            updated_at,
        }
    }
}
