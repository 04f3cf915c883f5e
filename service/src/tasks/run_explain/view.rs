//! An explanation as callers see it.

use chrono::{DateTime, Utc};
use entity::tasks::task_run::{Model, RunReason, RunStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::tasks::run_waits::{WaitingFor, WaitingForView};

/// Why a run is as it is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunExplanationView {
    pub run_id: Uuid,
    pub status: RunStatus,
    /// What was seen when the run last changed; `causes` is what holds now.
    pub reason: RunReason,
    /// The first cause as a sentence.
    pub summary: String,
    /// The strongest first. A queued run without one that `blocks` starts as soon as its turn comes.
    pub causes: Vec<CauseView>,
    /// Of a queued run.
    #[schema(required)]
    pub position: Option<PositionView>,
    /// Of a queued run; null where there is nothing to base it on.
    #[schema(required)]
    pub estimate: Option<EstimateView>,
    /// Of a queued run that needs a worker: how many live ones could take it.
    #[schema(required)]
    pub workers: Option<u64>,
    /// Of an executing run.
    #[schema(required)]
    pub lease: Option<LeaseView>,
    /// What a waiting run waits for.
    pub waits_for: Vec<WaitView>,
    /// How executors vanished while they executed it, the last ten times.
    pub losses: Vec<LossView>,
    /// What may be done now.
    pub actions: Vec<RunActionView>,
}

impl RunExplanationView {
    pub(super) fn of(run: &Model) -> Self {
        Self {
            run_id: run.id,
            status: run.status,
            reason: run.reason,
            summary: String::new(),
            causes: Vec::new(),
            position: None,
            estimate: None,
            workers: None,
            lease: None,
            waits_for: Vec::new(),
            losses: Vec::new(),
            actions: Vec::new(),
        }
    }

    pub(super) fn because(mut self, causes: Vec<CauseView>) -> Self {
        self.summary = causes.first().map(|cause| cause.message.clone()).unwrap_or_default();
        self.causes = causes;
        self
    }
}

/// A fact that explains the run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CauseView {
    pub code: CauseCode,
    pub message: String,
    /// The run does not go on before this has changed.
    pub blocks: bool,
    /// Of a limit: how much is used, and how much there is.
    #[schema(required)]
    pub value: Option<i64>,
    #[schema(required)]
    pub limit: Option<i64>,
    /// When it ends by itself.
    #[schema(required)]
    pub until: Option<DateTime<Utc>>,
}

/// What explains a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CauseCode {
    /// Nothing is in its way: the next claim takes it.
    Ready,
    /// Others of its queue stand before it.
    BehindOthers,
    /// It is not to start before a time that was asked for.
    Delayed,
    /// Its last attempt failed, and the next one is not due.
    RetryBackoff,
    /// A rate limit has no token for it before a time.
    RateLimited,
    /// As many runs with its concurrency key execute as may.
    ConcurrencyLimit,
    /// As many runs of its agent execute as `maxConcurrent` allows.
    AgentLimit,
    AgentPaused,
    AgentQuarantined,
    DefinitionPaused,
    TenantNotActive,
    /// The tenant's emergency stop holds.
    TenantStopped,
    /// This installation is a restored copy that nobody has confirmed.
    RestoredCopy,
    /// No node of the engine is alive.
    NoNode,
    /// No live worker offers what it needs.
    NoWorker,
    /// It has lost executors, and starts where no other such run executes.
    Suspect,
    /// It fails as EXPIRED when it does not start before a time.
    QueueExpires,
    Executing,
    /// A cancel was asked for, and its executor has not agreed yet.
    CancelRequested,
    /// Its executor has not renewed its lease: it is taken back at the next look.
    LeaseExpired,
    /// It waits for what `waitsFor` names.
    Waits,
    Completed,
    /// `reason` and the run's error say why.
    Failed,
    /// Executors vanished one after the other while they executed it: it is not started again by itself.
    Quarantined,
    Cancelled,
}

/// Where a run stands among those of its agent (or tool) with its concurrency key.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PositionView {
    /// Due runs before it, counted up to 10,000.
    pub ahead: i64,
    /// There are more than were counted.
    pub is_capped: bool,
}

/// When a queued run will start, as far as can be told.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EstimateView {
    pub starts_at: DateTime<Utc>,
    pub basis: EstimateBasis,
    /// How many earlier runs it is based on.
    pub samples: i64,
}

/// What an estimate is based on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EstimateBasis {
    /// Nothing is before it.
    Now,
    /// The time before which it does not start.
    AvailableAt,
    /// How long the newest runs executed, with as many at once as its limit allows.
    Durations,
    /// How fast the newest runs were started.
    Starts,
}

/// Who executes a run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaseView {
    /// The process or worker that holds the lease.
    pub executor_id: Uuid,
    pub attempt: i32,
    pub expires_at: DateTime<Utc>,
    /// When this attempt times out.
    #[schema(required)]
    pub attempt_deadline_at: Option<DateTime<Utc>>,
    /// When the run's total time is over.
    #[schema(required)]
    pub deadline_at: Option<DateTime<Utc>>,
}

/// Something that a run waits for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitView {
    /// `APPROVAL`, `USER_INPUT`, `EXTERNAL_EVENT`, `TIMER` or `CHILDREN`.
    pub kind: String,
    /// The approval or the wait.
    #[schema(required)]
    pub id: Option<Uuid>,
    #[schema(required)]
    pub expires_at: Option<DateTime<Utc>>,
}

impl From<&WaitingForView> for WaitView {
    fn from(open: &WaitingForView) -> Self {
        let kind = match open.kind {
            WaitingFor::Approval => "APPROVAL",
            WaitingFor::UserInput => "USER_INPUT",
            WaitingFor::ExternalEvent => "EXTERNAL_EVENT",
            WaitingFor::Timer => "TIMER",
        };
        Self { kind: kind.to_owned(), id: Some(open.id), expires_at: Some(open.expires_at) }
    }
}

/// An executor that vanished.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LossView {
    #[schema(required)]
    pub executor_id: Option<Uuid>,
    #[schema(required)]
    pub attempt: Option<i32>,
    pub lost_at: DateTime<Utc>,
}

/// A call that may help.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunActionView {
    pub code: RunActionCode,
    pub message: String,
    pub method: String,
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunActionCode {
    Cancel,
    Retry,
    Replay,
    Decide,
    Answer,
    ResumeAgent,
    ResumeDefinition,
}

impl CauseView {
    pub(super) fn new(code: CauseCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), blocks: false, value: None, limit: None, until: None }
    }

    pub(super) fn blocking(code: CauseCode, message: impl Into<String>) -> Self {
        Self { blocks: true, ..Self::new(code, message) }
    }

    pub(super) fn until(self, time: DateTime<Utc>) -> Self {
        Self { until: Some(time), ..self }
    }

    pub(super) fn of(self, value: i64, limit: i64) -> Self {
        Self { value: Some(value), limit: Some(limit), ..self }
    }
}

impl RunActionView {
    pub(super) fn on_run(code: RunActionCode, run: Uuid, verb: &str, message: &str) -> Self {
        Self::post(code, format!("/v1/task-runs/{run}/{verb}"), message)
    }

    pub(super) fn post(code: RunActionCode, path: String, message: &str) -> Self {
        Self { code, message: message.to_owned(), method: "POST".to_owned(), path }
    }

    pub(super) fn cancel(run: Uuid) -> Self {
        Self::on_run(RunActionCode::Cancel, run, "cancel", "End it without a result.")
    }
}
