//! Schedules as callers write and see them.

use chrono::{DateTime, Utc};
use entity::tasks::scheduled_task::{Catchup, Model, Overlap, PauseReason, ScheduleStatus, ScheduleType};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::require_own;
use super::settings::{
    LONGEST_DELAY, LONGEST_JITTER, LONGEST_WINDOW, MAX_RETRIES, MOST_RETRIES, ScheduleSettings,
    WINDOW_SECONDS,
};
use crate::crud::{self, Metadata, MetadataPatch, Patch, metadata, patch, time};
use crate::error::Result;
use crate::tasks::recurrences::Recurrence;

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateScheduledTask {
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// What it runs. It belongs to the definition's workspace.
    pub definition_id: Uuid,
    #[serde(default = "recurring")]
    #[schema(default = "RECURRING")]
    pub schedule_type: ScheduleType,
    /// Of RECURRING.
    #[serde(default)]
    #[validate(nested)]
    pub recurrence: Option<Recurrence>,
    /// Of ONE_TIME.
    #[serde(default, deserialize_with = "time::optional")]
    pub run_at: Option<DateTime<Utc>>,
    /// Of TRIGGER_BASED: seconds from the trigger to the run.
    #[serde(default)]
    #[validate(range(min = 0, max = "LONGEST_DELAY"))]
    #[schema(minimum = 0, maximum = 31_622_400)]
    pub delay_seconds: Option<u32>,
    /// The input of its runs: a template over `schedule` (`id`, `name`, `dueAt`, `kind`), so that
    /// `{"day": "{{ schedule.dueAt }}"}` tells the run which time it is for.
    #[serde(default)]
    pub input: Value,
    #[serde(default)]
    pub overlap: Overlap,
    #[serde(default)]
    pub catchup: Catchup,
    /// Times that were missed for longer are skipped.
    #[serde(default = "window")]
    #[validate(range(min = 60, max = "LONGEST_WINDOW"))]
    #[schema(minimum = 60, maximum = 31_622_400, default = 86_400)]
    pub catchup_window_seconds: u32,
    /// It fires up to so many seconds after its time, always equally late.
    #[serde(default)]
    #[validate(range(min = 0, max = "LONGEST_JITTER"))]
    #[schema(maximum = 86_400, default = 0)]
    pub jitter_seconds: u32,
    /// No time before this; an interval counts from here.
    #[serde(default, deserialize_with = "time::optional")]
    pub starts_at: Option<DateTime<Utc>>,
    /// No time after this.
    #[serde(default, deserialize_with = "time::optional")]
    pub ends_at: Option<DateTime<Utc>>,
    /// It pauses itself when more runs than this fail in a row; null never does.
    #[serde(default = "retries")]
    #[validate(range(min = 0, max = "MOST_RETRIES"))]
    #[schema(minimum = 0, maximum = 1_000, default = 3)]
    pub max_retries: Option<u32>,
    #[serde(default)]
    #[validate(custom(function = "metadata::valid"))]
    pub metadata: Metadata,
}

fn recurring() -> ScheduleType {
    ScheduleType::Recurring
}

fn window() -> u32 {
    WINDOW_SECONDS
}

fn retries() -> Option<u32> {
    Some(MAX_RETRIES)
}

impl CreateScheduledTask {
    pub(super) fn into_parts(self) -> (String, Uuid, Metadata, ScheduleSettings) {
        let Self {
            name,
            definition_id,
            schedule_type,
            recurrence,
            run_at,
            delay_seconds,
            input,
            overlap,
            catchup,
            catchup_window_seconds,
            jitter_seconds,
            starts_at,
            ends_at,
            max_retries,
            metadata,
        } = self;
        let settings = ScheduleSettings {
            schedule_type,
            recurrence,
            run_at,
            delay_seconds,
            input,
            overlap,
            catchup,
            catchup_window_seconds,
            jitter_seconds,
            starts_at,
            ends_at,
            max_retries,
        };
        (name, definition_id, metadata, settings)
    }
}

/// A merge patch: absent keeps, null clears. Times that come after the change follow the new settings.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateScheduledTask {
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    pub name: Option<String>,
    /// Another definition of the same workspace.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub definition_id: Option<Uuid>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub schedule_type: Option<ScheduleType>,
    /// Replaced as a whole.
    #[serde(default)]
    #[schema(value_type = Option<Recurrence>)]
    pub recurrence: Patch<Recurrence>,
    #[serde(default)]
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub run_at: Patch<DateTime<Utc>>,
    #[serde(default)]
    #[validate(range(max = "LONGEST_DELAY"))]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 31_622_400)]
    pub delay_seconds: Patch<u32>,
    /// Replaced as a whole.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    pub input: Patch<Value>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub overlap: Option<Overlap>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub catchup: Option<Catchup>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(range(min = 60, max = "LONGEST_WINDOW"))]
    #[schema(minimum = 60, maximum = 31_622_400, nullable = false)]
    pub catchup_window_seconds: Option<u32>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(range(min = 0, max = "LONGEST_JITTER"))]
    #[schema(maximum = 86_400, nullable = false)]
    pub jitter_seconds: Option<u32>,
    #[serde(default)]
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub starts_at: Patch<DateTime<Utc>>,
    #[serde(default)]
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub ends_at: Patch<DateTime<Utc>>,
    #[serde(default)]
    #[validate(range(max = "MOST_RETRIES"))]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 1_000)]
    pub max_retries: Patch<u32>,
    #[serde(default)]
    #[schema(value_type = Option<MetadataPatch>)]
    pub metadata: Patch<MetadataPatch>,
}

impl UpdateScheduledTask {
    /// The row as it should be.
    ///
    /// # Errors
    /// 409 `owned_by_definition` where its definition says when it is due; 422 for metadata beyond the limits.
    pub(super) fn apply(&self, row: &Model) -> Result<Model> {
        let Self {
            name,
            definition_id,
            schedule_type,
            recurrence,
            run_at,
            delay_seconds,
            input,
            overlap,
            catchup,
            catchup_window_seconds,
            jitter_seconds,
            starts_at,
            ends_at,
            max_retries,
            metadata,
        } = self;
        let before = ScheduleSettings::of(row)?;
        let mut settings = before.clone();
        settings.schedule_type = schedule_type.unwrap_or(settings.schedule_type);
        recurrence.apply(&mut settings.recurrence);
        run_at.apply(&mut settings.run_at);
        delay_seconds.apply(&mut settings.delay_seconds);
        settings.input = match input {
            Patch::Keep => settings.input,
            Patch::Clear => Value::Null,
            Patch::Set(input) => input.clone(),
        };
        settings.overlap = overlap.unwrap_or(settings.overlap);
        settings.catchup = catchup.unwrap_or(settings.catchup);
        settings.catchup_window_seconds = catchup_window_seconds.unwrap_or(settings.catchup_window_seconds);
        settings.jitter_seconds = jitter_seconds.unwrap_or(settings.jitter_seconds);
        starts_at.apply(&mut settings.starts_at);
        ends_at.apply(&mut settings.ends_at);
        max_retries.apply(&mut settings.max_retries);
        let mut changed = row.clone();
        settings.store(&mut changed)?;
        changed.name = name.clone().unwrap_or(changed.name);
        changed.definition_id = definition_id.unwrap_or(changed.definition_id);
        if before != settings || changed.name != row.name || changed.definition_id != row.definition_id {
            require_own(row)?;
        }
        changed.metadata = metadata::patched(&row.metadata, metadata)?;
        Ok(changed)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledTaskView {
    pub id: Uuid,
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    pub name: String,
    pub definition_id: Uuid,
    /// It is the trigger of its definition, and its times are changed there.
    pub is_owned: bool,
    pub schedule_type: ScheduleType,
    #[schema(required)]
    pub recurrence: Option<Recurrence>,
    #[schema(required)]
    pub run_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub delay_seconds: Option<i32>,
    pub input: Value,
    pub overlap: Overlap,
    pub catchup: Catchup,
    pub catchup_window_seconds: i32,
    pub jitter_seconds: i32,
    #[schema(required)]
    pub starts_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub ends_at: Option<DateTime<Utc>>,
    pub status: ScheduleStatus,
    /// Why it is paused.
    #[schema(required)]
    pub status_reason: Option<PauseReason>,
    /// What the person said who paused it.
    #[schema(required)]
    pub status_note: Option<String>,
    /// How many of its runs failed in a row.
    pub retry_count: i32,
    #[schema(required)]
    pub max_retries: Option<i32>,
    /// The next time; null while it is paused, when none is left, and where it is triggered.
    #[schema(required)]
    pub next_due_at: Option<DateTime<Utc>>,
    /// The next time with its jitter.
    #[schema(required)]
    pub next_fire_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub last_due_at: Option<DateTime<Utc>>,
    pub created_by: String,
    pub metadata: Metadata,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

crud::page!(ScheduledTaskPage, ScheduledTaskView);

impl From<Model> for ScheduledTaskView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id,
            definition_id,
            name,
            is_owned,
            schedule_type,
            recurrence,
            run_at,
            delay_seconds,
            input,
            overlap,
            catchup,
            catchup_window_seconds,
            jitter_seconds,
            starts_at,
            ends_at,
            status,
            status_reason,
            status_note,
            retry_count,
            max_retries,
            next_due_at,
            next_fire_at,
            last_due_at,
            created_by,
            metadata,
            revision,
            created_at,
            updated_at,
            deleted_at: _,
        } = row;
        Self {
            id,
            workspace_id,
            name,
            definition_id,
            is_owned,
            schedule_type,
            recurrence: recurrence.and_then(|recurrence| serde_json::from_value(recurrence).ok()),
            run_at,
            delay_seconds,
            input,
            overlap,
            catchup,
            catchup_window_seconds,
            jitter_seconds,
            starts_at,
            ends_at,
            status,
            status_reason,
            status_note,
            retry_count,
            max_retries,
            next_due_at,
            next_fire_at,
            last_due_at,
            created_by,
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
pub struct ScheduledTaskFilter {
    pub definition_id: Option<Uuid>,
    pub workspace_id: Option<Uuid>,
    pub status: Option<ScheduleStatus>,
    pub schedule_type: Option<ScheduleType>,
}
