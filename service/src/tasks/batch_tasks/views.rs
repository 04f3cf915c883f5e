//! Batches as callers write and see them.

use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::tasks::batch_task::{ActiveModel, BatchReason, BatchStatus, Model};
use sea_orm::Set;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::crud::{self, Metadata, MetadataPatch, Patch, metadata, patch};
use crate::error::{Error, Result};

pub const MOST_RATE: u32 = 60_000;
pub const MOST_IN_FLIGHT: u32 = 10_000;
const IN_FLIGHT: u32 = 100;
const MOST_FAILURES: u32 = 1_000_000;

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateBatchTask {
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// What it runs for each target. It belongs to the definition's workspace.
    pub definition_id: Uuid,
    #[serde(default)]
    #[validate(nested)]
    pub pacing: Pacing,
    /// It pauses itself when more targets than this have failed.
    #[serde(default)]
    #[validate(range(min = 0, max = "MOST_FAILURES"))]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub max_failures: Option<u32>,
    /// It pauses itself when its runs have cost this much (USD); runs that exist go on.
    #[serde(default)]
    pub max_cost: Option<Nanos>,
    #[serde(default)]
    #[validate(custom(function = "metadata::valid"))]
    pub metadata: Metadata,
}

/// How fast runs are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pacing {
    /// Runs created in a minute, evenly; unlimited when absent.
    #[validate(range(min = 1, max = "MOST_RATE"))]
    #[schema(minimum = 1, maximum = 60_000)]
    pub rate_per_minute: Option<u32>,
    /// Runs that have not ended, at most.
    #[validate(range(min = 1, max = "MOST_IN_FLIGHT"))]
    #[schema(minimum = 1, maximum = 10_000, default = 100)]
    pub max_in_flight: u32,
}

impl Default for Pacing {
    fn default() -> Self {
        Self { rate_per_minute: None, max_in_flight: IN_FLIGHT }
    }
}

/// A merge patch: absent keeps, null clears. Pacing and budgets may be changed while it runs.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateBatchTask {
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    pub name: Option<String>,
    /// Replaced as a whole.
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(nested)]
    #[schema(nullable = false)]
    pub pacing: Option<Pacing>,
    #[serde(default)]
    #[validate(range(max = "MOST_FAILURES"))]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 1_000_000)]
    pub max_failures: Patch<u32>,
    #[serde(default)]
    #[schema(value_type = Option<Nanos>)]
    pub max_cost: Patch<Nanos>,
    #[serde(default)]
    #[schema(value_type = Option<MetadataPatch>)]
    pub metadata: Patch<MetadataPatch>,
}

pub(super) fn small(number: u32) -> Result<i32> {
    i32::try_from(number).map_err(Error::internal)
}

/// Costs are not negative.
pub(super) fn check_cost(cost: Option<Nanos>) -> Result<()> {
    match cost {
        Some(cost) if cost < Nanos::ZERO => {
            Err(Error::invalid("/maxCost", "range", "A cost is not negative."))
        }
        _ => Ok(()),
    }
}

impl UpdateBatchTask {
    pub(super) fn changes(&self, row: &Model, now: DateTime<Utc>) -> Result<ActiveModel> {
        let Self { name, pacing, max_failures, max_cost, metadata } = self;
        let mut changes = ActiveModel::default();
        if let Some(name) = name.as_ref().filter(|name| **name != row.name) {
            changes.name = Set(name.clone());
        }
        if let Some(Pacing { rate_per_minute, max_in_flight }) = *pacing {
            let (rate, flight) = (rate_per_minute.map(small).transpose()?, small(max_in_flight)?);
            if rate != row.rate_per_minute {
                changes.rate_per_minute = Set(rate);
            }
            if flight != row.max_in_flight {
                changes.max_in_flight = Set(flight);
            }
            // It may be waiting for what the old pacing allows next.
            if (rate, flight) != (row.rate_per_minute, row.max_in_flight) && row.next_at.is_some() {
                changes.next_at = Set(Some(now));
            }
        }
        let failures = match max_failures {
            Patch::Keep => row.max_failures,
            Patch::Clear => None,
            Patch::Set(most) => Some(small(*most)?),
        };
        if failures != row.max_failures {
            changes.max_failures = Set(failures);
        }
        let cost = max_cost.clone().over(row.max_cost_nanos);
        check_cost(cost)?;
        if cost != row.max_cost_nanos {
            changes.max_cost_nanos = Set(cost);
        }
        let metadata = metadata::patched(&row.metadata, metadata)?;
        if metadata != row.metadata {
            changes.metadata = Set(metadata);
        }
        Ok(changes)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchTaskView {
    pub id: Uuid,
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    pub name: String,
    pub definition_id: Uuid,
    pub status: BatchStatus,
    /// Why it is paused.
    #[schema(required)]
    pub status_reason: Option<BatchReason>,
    #[schema(required)]
    pub status_note: Option<String>,
    pub pacing: Pacing,
    #[schema(required)]
    pub max_failures: Option<i32>,
    #[schema(required)]
    pub max_cost: Option<Nanos>,
    /// Counted from the targets; null in lists.
    #[schema(required)]
    pub counters: Option<BatchCounters>,
    pub created_by: String,
    pub metadata: Metadata,
    pub revision: i64,
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub completed_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

crud::page!(BatchTaskPage, BatchTaskView);

/// How the targets of a batch stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchCounters {
    pub total: i64,
    pub pending: i64,
    pub running: i64,
    pub completed: i64,
    pub failed: i64,
    pub cancelled: i64,
    /// What the runs cost that have ended (USD).
    pub cost: Nanos,
}

impl BatchTaskView {
    pub(super) fn with(self, counters: BatchCounters) -> Self {
        Self { counters: Some(counters), ..self }
    }
}

impl From<Model> for BatchTaskView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id,
            definition_id,
            name,
            status,
            status_reason,
            status_note,
            rate_per_minute,
            max_in_flight,
            max_failures,
            max_cost_nanos,
            spent_nanos: _,
            last_number: _,
            checked_number: _,
            retried_number: _,
            paced_at: _,
            next_at: _,
            created_by,
            metadata,
            revision,
            started_at,
            completed_at,
            created_at,
            updated_at,
            deleted_at: _,
        } = row;
        let large = |number: i32| u32::try_from(number).unwrap_or(0);
        Self {
            id,
            workspace_id,
            name,
            definition_id,
            status,
            status_reason,
            status_note,
            pacing: Pacing {
                rate_per_minute: rate_per_minute.map(large),
                max_in_flight: large(max_in_flight),
            },
            max_failures,
            max_cost: max_cost_nanos,
            counters: None,
            created_by,
            metadata: metadata::shown(metadata),
            revision,
            started_at,
            completed_at,
            created_at,
            updated_at,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct BatchTaskFilter {
    pub definition_id: Option<Uuid>,
    pub workspace_id: Option<Uuid>,
    pub status: Option<BatchStatus>,
}
