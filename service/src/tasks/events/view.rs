//! Events as callers post and see them.

use chrono::{DateTime, Utc};
use entity::tasks::{event, event_run};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

/// An event to be posted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "type": "order.paid", "data": { "order": "4711", "total": 120 } }))]
pub struct CreateEvent {
    /// Such as `order.paid`: what filters look at first.
    #[serde(rename = "type")]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub kind: String,
    /// Any JSON, up to 256 KiB.
    #[serde(default)]
    pub data: Value,
    /// Where it comes from, for people who read it.
    #[serde(default)]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub source: Option<String>,
    /// The sender's own id of the event: posting another with the same one answers with the first and starts nothing.
    #[serde(default)]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub dedupe_id: Option<String>,
    /// Runs that wait for this key (`builtin/wait_for_event`) go on with the event, and so does one that waits for it
    /// later, if the run is older than the event.
    #[serde(default)]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub correlation_key: Option<String>,
    /// The event is of this workspace: it starts and resumes nothing elsewhere, and is seen as the workspace is.
    /// Without one, it starts and resumes what you see.
    #[serde(default)]
    pub workspace_id: Option<Uuid>,
}

/// What a list of events may be narrowed to.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct EventFilter {
    #[serde(rename = "type")]
    #[param(rename = "type", max_length = 200)]
    pub kind: Option<String>,
    #[param(max_length = 200)]
    pub correlation_key: Option<String>,
    #[param(max_length = 200)]
    pub dedupe_id: Option<String>,
    pub workspace_id: Option<Uuid>,
}

/// Something that happened elsewhere, and what it started here.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    pub id: Uuid,
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    #[serde(rename = "type")]
    pub kind: String,
    pub data: Value,
    #[schema(required)]
    pub source: Option<String>,
    #[schema(required)]
    pub dedupe_id: Option<String>,
    #[schema(required)]
    pub correlation_key: Option<String>,
    /// What became of each definition whose filter it matched.
    pub runs: Vec<EventRunView>,
    /// How many waits of runs it satisfied.
    pub resumed: i32,
    /// `user:<id>` or `api-key:<id>`.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventRunStatus {
    Started,
    Refused,
}

/// What an event made of one definition.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventRunView {
    pub definition_id: Uuid,
    pub status: EventRunStatus,
    /// Of a `STARTED` one; one that was live already when the definition's dedupe key is that run's.
    #[schema(required)]
    pub run_id: Option<Uuid>,
    /// Why a `REFUSED` one was not started, as `POST /v1/task-runs` would say.
    #[schema(required)]
    pub code: Option<String>,
    #[schema(required)]
    pub message: Option<String>,
}

crate::crud::page!(PostedEventPage, EventView);

impl EventView {
    pub(super) fn new(event: event::Model, started: Vec<event_run::Model>) -> Self {
        let event::Model {
            tenant_id: _,
            id,
            workspace_id,
            kind,
            data,
            source,
            dedupe_id,
            correlation_key,
            resumed,
            created_by,
            request_id: _,
            created_at,
        } = event;
        let runs = started.into_iter().map(EventRunView::from).collect();
        Self {
            id,
            workspace_id,
            kind,
            data,
            source,
            dedupe_id,
            correlation_key,
            runs,
            resumed,
            created_by,
            created_at,
        }
    }
}

impl From<event_run::Model> for EventRunView {
    fn from(row: event_run::Model) -> Self {
        let event_run::Model {
            tenant_id: _,
            event_id: _,
            definition_id,
            workspace_id: _,
            agent_id: _,
            run_id,
            code,
            message,
        } = row;
        let status = if code.is_none() { EventRunStatus::Started } else { EventRunStatus::Refused };
        Self { definition_id, status, run_id, code, message }
    }
}
