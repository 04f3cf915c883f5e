//! A worker as callers see it, and as it registers itself.

use chrono::{DateTime, Utc};
use entity::tasks::worker::Model;
use serde::{Deserialize, Serialize};
use utoipa::openapi::Type;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::delivery::{RegisterDelivery, WorkerDeliveryView};
use super::liveness;
use crate::core::Core;
use crate::crud::{self, Metadata, document, metadata};

const LONGEST_CAPABILITY: usize = 80;
const PATTERN: &str = "^(function|agent):[a-z0-9_/-]{1,64}$";

/// What a program offers that executes runs.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "name": "images-1", "capabilities": ["function:resize"], "slots": 4 }))]
pub struct RegisterWorker {
    /// Registering again under the same name is the same worker, started anew.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// For people.
    #[serde(default)]
    #[validate(custom(function = "metadata::valid"))]
    pub labels: Metadata,
    /// `function:<name>`, as FUNCTION tools name it, and `agent:<slug>`, of agents whose delivery is WORKER.
    #[validate(length(min = 1, max = 100), custom(function = "valid_capabilities"))]
    #[schema(schema_with = capabilities)]
    pub capabilities: Vec<String>,
    /// Runs that it executes at once, at most; 1 when absent.
    #[serde(default = "one")]
    #[validate(range(min = 1, max = 1_000))]
    #[schema(minimum = 1, maximum = 1_000, default = 1)]
    pub slots: i32,
    /// Sends it its runs; without this it asks for them.
    #[serde(default)]
    #[validate(nested)]
    pub delivery: Option<RegisterDelivery>,
}

fn one() -> i32 {
    1
}

fn capabilities() -> Array {
    let one = ObjectBuilder::new().schema_type(Type::String).pattern(Some(PATTERN));
    ArrayBuilder::new().items(one).min_items(Some(1)).max_items(Some(100)).build()
}

fn valid_capabilities(capabilities: &[String]) -> Result<(), ValidationError> {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'/' | b'-');
    let fits = |capability: &String| {
        let name = capability.strip_prefix("function:").or(capability.strip_prefix("agent:"));
        capability.len() <= LONGEST_CAPABILITY
            && name.is_some_and(|name| (1..=64).contains(&name.len()) && name.bytes().all(is_plain))
    };
    if capabilities.iter().all(fits) {
        return Ok(());
    }
    let message = "must be function:<name> or agent:<slug>, of 1 to 64 of a-z, 0-9, _, / and -";
    Err(ValidationError::new("pattern").with_message(message.into()))
}

/// Whether the worker takes runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WorkerStatus {
    /// It beats and asks for runs.
    Online,
    /// It was not heard of, or does not ask for runs any more.
    Offline,
    /// It is given no runs until it is resumed.
    Paused,
    /// It is given no new runs: it ends those that it holds, and stops.
    Draining,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerView {
    pub id: Uuid,
    pub name: String,
    pub labels: Metadata,
    pub capabilities: Vec<String>,
    pub slots: i32,
    pub status: WorkerStatus,
    #[schema(required)]
    pub paused_reason: Option<String>,
    pub last_seen_at: DateTime<Utc>,
    /// When it last asked for runs, or had no slot free to ask for.
    #[schema(required)]
    pub last_claim_at: Option<DateTime<Utc>>,
    /// `user:<id>` or `api-key:<id>`.
    pub registered_by: String,
    /// Of a worker that is sent its runs.
    #[schema(required)]
    pub delivery: Option<WorkerDeliveryView>,
    /// How long a lease holds, from the claim and from each heartbeat.
    pub lease_seconds: u64,
    /// How often to beat.
    pub heartbeat_seconds: u64,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A worker with what is shown once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredWorkerView {
    #[serde(flatten)]
    pub worker: WorkerView,
    /// What deliveries are signed with, where it was made now. It is shown here only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "whsec_…")]
    pub delivery_secret: Option<String>,
}

crud::page!(WorkerPage, WorkerView);

impl WorkerView {
    pub(super) fn of(row: Model, core: &Core) -> Self {
        let status = liveness::status(&row, core.clock.now(), core.engine.settings());
        let (lease, heartbeat) = (core.engine.settings().lease, core.engine.settings().heartbeat);
        Self { status, lease_seconds: lease.as_secs(), heartbeat_seconds: heartbeat.as_secs(), ..row.into() }
    }
}

/// The row alone, without what its times mean now.
impl From<Model> for WorkerView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            name,
            labels,
            capabilities,
            slots,
            paused_at,
            paused_reason,
            drained_at,
            last_seen_at,
            last_claim_at,
            registered_by,
            delivery_url,
            delivery_secret: _,
            delivery_failures,
            delivery_after,
            delivery_error,
            revision,
            created_at,
            updated_at,
        } = row;
        let delivery = delivery_url.map(|url| WorkerDeliveryView {
            url,
            failures: delivery_failures,
            retry_at: delivery_after,
            last_error: delivery_error,
        });
        let status = match (paused_at, drained_at) {
            (Some(_), _) => WorkerStatus::Paused,
            (None, Some(_)) => WorkerStatus::Draining,
            (None, None) => WorkerStatus::Online,
        };
        Self {
            id,
            name,
            labels: metadata::shown(labels),
            capabilities: document::read(capabilities),
            slots,
            status,
            paused_reason,
            last_seen_at,
            last_claim_at,
            registered_by,
            delivery,
            lease_seconds: 0,
            heartbeat_seconds: 0,
            revision,
            created_at,
            updated_at,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct WorkerFilter {
    #[param(max_length = 200)]
    pub name: Option<String>,
}

/// Why a worker is paused.
#[derive(Clone, Debug, Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "reason": "Its disk is full." }))]
pub struct PauseWorker {
    #[validate(length(min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    pub reason: Option<String>,
}
