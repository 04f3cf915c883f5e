//! What is shown of workspaces and what may be set.

use chrono::{DateTime, Utc};
use entity::identity::workspace::{ActiveModel, Isolation, Model};
use sea_orm::ActiveValue::Set;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::crud::{Metadata, MetadataPatch, Patch, document, metadata, page, patch, slug};
use crate::error::{Error, Result};

/// Of `settings` as JSON.
const LARGEST_SETTINGS: usize = 16 * 1024;

/// A project inside the tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceView {
    pub id: Uuid,
    pub name: String,
    pub slug: String,
    /// `STRICT`: only its team sees what belongs to it. `SHARED`: every member of the tenant does.
    pub isolation: Isolation,
    pub settings: Map<String, Value>,
    /// Since when nothing new is made in it or run from it.
    #[schema(required)]
    pub archived_at: Option<DateTime<Utc>>,
    pub metadata: Metadata,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

page!(WorkspacePage, WorkspaceView);

impl From<Model> for WorkspaceView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            name,
            slug,
            isolation,
            settings,
            archived_at,
            metadata,
            revision,
            created_at,
            updated_at,
            deleted_at: _,
        } = row;
        Self {
            id,
            name,
            slug,
            isolation,
            settings: document::read(settings),
            archived_at,
            metadata: metadata::shown(metadata),
            revision,
            created_at,
            updated_at,
        }
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateWorkspace {
    #[validate(length(min = 1, max = 120))]
    #[schema(min_length = 1, max_length = 120, example = "Support")]
    pub name: String,
    /// Unique in the tenant; made from the name when absent.
    #[serde(default)]
    #[validate(length(min = 1, max = 64), custom(function = "slug::valid"))]
    #[schema(max_length = 64, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$")]
    pub slug: Option<String>,
    #[serde(default = "shared")]
    #[schema(default = "SHARED")]
    pub isolation: Isolation,
    /// Your own, at most 16 KiB as JSON.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
    #[serde(default)]
    #[validate(custom(function = "metadata::valid"))]
    pub metadata: Metadata,
}

fn shared() -> Isolation {
    Isolation::Shared
}

/// A merge patch: absent keeps, null clears.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateWorkspace {
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 120))]
    #[schema(min_length = 1, max_length = 120, nullable = false)]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 64), custom(function = "slug::valid"))]
    #[schema(max_length = 64, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$", nullable = false)]
    pub slug: Option<String>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub isolation: Option<Isolation>,
    /// Merged.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub settings: Option<Map<String, Value>>,
    #[serde(default)]
    #[schema(value_type = Option<MetadataPatch>)]
    pub metadata: Patch<MetadataPatch>,
}

impl UpdateWorkspace {
    pub(super) fn changes(&self, row: &Model) -> Result<ActiveModel> {
        let Self { name, slug, isolation, settings, metadata } = self;
        let mut changes = ActiveModel::default();
        if let Some(name) = name.as_ref().filter(|name| **name != row.name) {
            changes.name = Set(name.clone());
        }
        if let Some(slug) = slug.as_ref().filter(|slug| **slug != row.slug) {
            changes.slug = Set(slug.clone());
        }
        if let Some(isolation) = isolation.filter(|isolation| *isolation != row.isolation) {
            changes.isolation = Set(isolation);
        }
        if let Some(patch) = settings {
            let mut settings = row.settings.clone();
            document::merge(&mut settings, &Value::Object(patch.clone()));
            if settings != row.settings {
                changes.settings = Set(bounded(settings)?);
            }
        }
        let metadata = metadata::patched(&row.metadata, metadata)?;
        if metadata != row.metadata {
            changes.metadata = Set(metadata);
        }
        Ok(changes)
    }
}

pub(super) fn bounded(settings: Value) -> Result<Value> {
    if settings.to_string().len() > LARGEST_SETTINGS {
        let message = format!("must be at most {LARGEST_SETTINGS} bytes as JSON");
        return Err(Error::invalid("/settings", "too_large", message));
    }
    Ok(settings)
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct WorkspaceFilter {
    #[param(max_length = 64)]
    pub slug: Option<String>,
    pub isolation: Option<Isolation>,
    /// Only archived ones, or only those that are not.
    pub archived: Option<bool>,
}
