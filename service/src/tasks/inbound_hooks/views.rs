//! Inbound hooks as callers make, change and see them. Secrets go in and come out once.

use chrono::{DateTime, Utc};
use entity::tasks::inbound_hook::{HookScheme, Model};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::config::HookConfig;
use crate::crud::{self, Metadata, MetadataPatch, Patch, document, metadata, patch};

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateInboundHook {
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// Of type WEBHOOK. The hook is seen as it is.
    pub definition_id: Uuid,
    /// How deliveries are signed; `NONE` takes them from whoever knows the URL.
    pub scheme: HookScheme,
    #[serde(default)]
    #[validate(nested)]
    pub config: HookConfig,
    /// The secret that the sender signs with. Stripe and Slack make their own; for the others one is made if absent,
    /// and shown in the answer.
    #[serde(default)]
    #[validate(length(min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500, write_only)]
    pub secret: Option<String>,
    #[serde(default = "active")]
    #[schema(default = true)]
    pub is_active: bool,
    #[serde(default)]
    #[validate(custom(function = "metadata::valid"))]
    pub metadata: Metadata,
}

fn active() -> bool {
    true
}

/// A merge patch: absent keeps, null clears.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateInboundHook {
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub is_active: Option<bool>,
    #[serde(default)]
    #[schema(value_type = Option<MetadataPatch>)]
    pub metadata: Patch<MetadataPatch>,
}

/// What gets a successor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Rotated {
    /// The token in the URL.
    #[default]
    Url,
    /// The secret of the signature.
    Secret,
}

const DAY: i64 = 24 * 3_600;

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(example = json!({ "what": "URL", "overlapSeconds": 3600 }))]
pub struct RotateInboundHook {
    pub what: Rotated,
    /// The new secret, where the sender makes it; else one is made.
    #[validate(length(min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500, write_only)]
    pub secret: Option<String>,
    /// For how long the one before works as well.
    #[validate(range(min = 0, max = 604_800))]
    #[schema(minimum = 0, maximum = 604_800, default = 86_400)]
    pub overlap_seconds: i64,
}

impl Default for RotateInboundHook {
    fn default() -> Self {
        Self { what: Rotated::Url, secret: None, overlap_seconds: DAY }
    }
}

/// A signed inbound URL of a task definition.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboundHookView {
    pub id: Uuid,
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    pub definition_id: Uuid,
    pub name: String,
    pub scheme: HookScheme,
    pub config: HookConfig,
    pub has_secret: bool,
    /// Until when the token before the last rotation works.
    #[schema(required)]
    pub previous_url_until: Option<DateTime<Utc>>,
    /// Until when the secret before the last rotation works.
    #[schema(required)]
    pub previous_secret_until: Option<DateTime<Utc>>,
    pub is_active: bool,
    pub metadata: Metadata,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A hook with what is shown once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewInboundHookView {
    #[serde(flatten)]
    pub hook: InboundHookView,
    /// Where to send deliveries. Who knows it may try: treat it as a secret. It is shown here only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "https://example.com/v1/hooks/mc_hk_…")]
    pub url: Option<String>,
    /// The secret that was made for the sender. It is shown here only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub secret: Option<String>,
}

crud::page!(InboundHookPage, InboundHookView);

impl From<Model> for InboundHookView {
    fn from(hook: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id,
            definition_id,
            name,
            scheme,
            config,
            secret,
            previous_secret: _,
            previous_secret_until,
            token_hash: _,
            previous_token_hash: _,
            previous_token_until,
            is_active,
            metadata,
            revision,
            created_at,
            updated_at,
            deleted_at: _,
        } = hook;
        Self {
            id,
            workspace_id,
            definition_id,
            name,
            scheme,
            config: document::read(config),
            has_secret: secret.is_some(),
            previous_url_until: previous_token_until,
            previous_secret_until,
            is_active,
            metadata: metadata::shown(metadata),
            revision,
            created_at,
            updated_at,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct InboundHookFilter {
    pub definition_id: Option<Uuid>,
    pub workspace_id: Option<Uuid>,
    pub scheme: Option<HookScheme>,
    pub is_active: Option<bool>,
}
