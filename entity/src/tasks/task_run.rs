//! The unit of work. Its status is changed in `service::engine::transitions` only.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::money::Nanos;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunStatus {
    Pending,
    Running,
    Waiting,
    Completed,
    Failed,
    Cancelled,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunReason {
    Queued,
    Delayed,
    BlockedDependency,
    ConcurrencyLimit,
    RateLimited,
    NoWorker,
    AgentPaused,
    BudgetPaused,
    RetryBackoff,
    LeaseLost,
    Executing,
    CancelRequested,
    Approval,
    Children,
    ExternalEvent,
    UserInput,
    Timer,
    Budget,
    NeedsReview,
    Output,
    EndTurn,
    TerminalTool,
    MaxSteps,
    Error,
    NonRetryable,
    RetriesExhausted,
    TimedOut,
    Expired,
    WorkerLost,
    NoProgress,
    InvalidOutput,
    BudgetExceeded,
    InsufficientCredits,
    ProviderError,
    ContextOverflow,
    ApprovalRejected,
    ApprovalExpired,
    DependencyFailed,
    ByUser,
    ByParent,
    ByPolicy,
    BySystem,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "task_run")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// That of what it is for, at its creation.
    pub workspace_id: Option<Uuid>,
    pub definition_id: Option<Uuid>,
    pub agent_id: Option<Uuid>,
    pub agent_version: Option<i32>,
    pub tool_id: Option<Uuid>,
    pub lane_id: Uuid,
    /// What a worker must offer to execute it; a node of the engine does when it is null.
    pub capability: Option<String>,
    pub status: RunStatus,
    pub reason: RunReason,
    #[sea_orm(column_type = "JsonBinary")]
    pub input: Json,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub output: Option<Json>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub error: Option<Json>,
    #[sea_orm(column_type = "JsonBinary")]
    pub policy: Json,
    pub priority: i32,
    pub order_key: i64,
    pub available_at: DateTimeUtc,
    pub queue_expires_at: DateTimeUtc,
    /// Its paused definition took it out of the queue; only a PENDING run is held.
    pub held_at: Option<DateTimeUtc>,
    pub deadline_at: Option<DateTimeUtc>,
    pub attempt: i32,
    pub failures: i32,
    pub lost_count: i32,
    pub fence: i64,
    pub lease_owner: Option<Uuid>,
    pub lease_expires_at: Option<DateTimeUtc>,
    pub attempt_deadline_at: Option<DateTimeUtc>,
    pub cancel_requested_at: Option<DateTimeUtc>,
    /// The reason of its end when it was asked to cancel; null for a user's.
    pub cancel_reason: Option<String>,
    pub wait_until: Option<DateTimeUtc>,
    pub event_seq: i64,
    /// The last event of the attempt's worker that was taken in, as the worker counts them.
    pub client_seq: i64,
    pub step_count: i32,
    pub tokens_input: i64,
    pub tokens_cache_read: i64,
    pub tokens_cache_write: i64,
    pub tokens_output: i64,
    pub tokens_reasoning: i64,
    pub cost_nanos: Nanos,
    pub child_cost_nanos: Nanos,
    pub unpriced: bool,
    pub parent_run_id: Option<Uuid>,
    pub root_run_id: Option<Uuid>,
    /// How far below the root of its tree.
    pub depth: i32,
    /// What it is to its parent; one child has it.
    pub child_key: Option<String>,
    /// Its cost, up to `settled_nanos`, is part of its parent's. False for a run without a parent.
    pub settled: bool,
    pub settled_nanos: Nanos,
    /// How many children it has, and how many of them were known to have ended when it was last told.
    pub children: i32,
    pub children_ended: i32,
    /// While it waits for children: it wakes when as many have ended, or failed.
    pub wake_ended: Option<i32>,
    pub wake_failed: Option<i32>,
    pub replay_of: Option<Uuid>,
    pub dedupe_key: Option<String>,
    /// Whose slots the run takes beside those of its lane; empty for none. It leads with its definition.
    pub concurrency_key: String,
    pub created_by: String,
    #[sea_orm(column_type = "JsonBinary")]
    pub metadata: Json,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub queued_at: DateTimeUtc,
    pub started_at: Option<DateTimeUtc>,
    pub completed_at: Option<DateTimeUtc>,
    pub waiting_since: Option<DateTimeUtc>,
    pub queue_ms: i64,
    pub waiting_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenant_owned!("task run", Id, within, agent: AgentId, run: Id);

/// The events of a run count its changes.
impl crate::scope::Record for Entity {
    const REVISION: Column = Column::EventSeq;
    const CREATED_AT: Column = Column::CreatedAt;
    const UPDATED_AT: Column = Column::UpdatedAt;
    const DELETED_AT: Option<Column> = None;
    const METADATA: Option<Column> = Some(Column::Metadata);
    const NAME: Option<Column> = None;
    const SORTS_BY_UPDATE: bool = false;

    fn id(model: &Model) -> Uuid {
        model.id
    }

    fn revision(model: &Model) -> i64 {
        model.event_seq
    }

    fn updated_at(model: &Model) -> DateTimeUtc {
        model.updated_at
    }

    fn name(_: &Model) -> Option<&str> {
        None
    }
}

impl RunStatus {
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}
