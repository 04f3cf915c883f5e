//! Bulk actions and their results as callers see them.

use chrono::{DateTime, Utc};
use entity::tasks::{bulk_action, bulk_action_item};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{BulkFilter, BulkKind, BulkStatus, ItemOutcome, MOST_COUNTED};
use crate::crud::{document, page};

/// An action on all runs that a filter matches.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BulkActionView {
    pub id: Uuid,
    pub kind: BulkKind,
    pub filter: BulkFilter,
    pub status: BulkStatus,
    /// Why it failed, or ended early.
    #[schema(required)]
    pub status_reason: Option<String>,
    /// Runs that matched when it was created, counted up to 10,000.
    pub matched: i64,
    /// More matched than were counted.
    pub matched_is_capped: bool,
    pub succeeded: i64,
    /// Runs that had changed meanwhile, so that there was nothing to do.
    pub skipped: i64,
    pub failed: i64,
    /// `user:<id>` or `api-key:<id>`: it acts with the rights that they have when it acts.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub completed_at: Option<DateTime<Utc>>,
}

/// What a bulk action did to one run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BulkActionItemView {
    pub id: Uuid,
    pub run_id: Uuid,
    /// Of a replay.
    #[schema(required)]
    pub new_run_id: Option<Uuid>,
    pub outcome: ItemOutcome,
    /// Why it was skipped or failed: the code that the call for this run alone would have been answered with.
    #[schema(required)]
    pub code: Option<String>,
    #[schema(required)]
    pub message: Option<String>,
    pub created_at: DateTime<Utc>,
}

page!(BulkActionPage, BulkActionView);
page!(BulkActionItemPage, BulkActionItemView);

impl From<bulk_action::Model> for BulkActionView {
    fn from(row: bulk_action::Model) -> Self {
        let bulk_action::Model {
            tenant_id: _,
            id,
            kind,
            filter,
            status,
            status_reason,
            matched,
            succeeded,
            skipped,
            failed,
            position: _,
            last_id: _,
            worked_by: _,
            worked_until: _,
            user_id: _,
            api_key_id: _,
            created_by,
            revision: _,
            created_at,
            updated_at,
            started_at,
            completed_at,
        } = row;
        let matched_is_capped = u64::try_from(matched).unwrap_or(0) >= MOST_COUNTED;
        let filter = document::read(filter);
        Self {
            id,
            kind,
            filter,
            status,
            status_reason,
            matched,
            matched_is_capped,
            succeeded,
            skipped,
            failed,
            created_by,
            created_at,
            updated_at,
            started_at,
            completed_at,
        }
    }
}

impl From<bulk_action_item::Model> for BulkActionItemView {
    fn from(row: bulk_action_item::Model) -> Self {
        let bulk_action_item::Model {
            tenant_id: _,
            id,
            bulk_action_id: _,
            workspace_id: _,
            run_id,
            new_run_id,
            outcome,
            code,
            message,
            created_at,
        } = row;
        Self { id, run_id, new_run_id, outcome, code, message, created_at }
    }
}
