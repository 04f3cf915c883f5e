//! What runs wait for beside approvals. A wait is registered and ended by the engine; here is what people see of it.

use chrono::{DateTime, Utc};
use entity::tasks::approval::{self, ApprovalStatus};
use entity::tasks::run_wait::{Column, Entity, Model, WaitExpiry, WaitKind, WaitStatus};
use sea_orm::{ColumnTrait as _, Condition, Order};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::task_runs::{RunStatus, TaskRunView};
use crate::crud::{self, Page, Paging};
use crate::ctx::Ctx;
use crate::error::Result;

/// Something that a run waits, or waited, for: an answer, an event, a time.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunWaitView {
    pub id: Uuid,
    pub run_id: Uuid,
    /// The step whose call waits.
    pub step_number: i32,
    pub kind: WaitKind,
    pub status: WaitStatus,
    /// The `correlationKey` of the event that satisfies an `EXTERNAL_EVENT`.
    #[schema(required)]
    pub key: Option<String>,
    /// Of a `USER_INPUT`: the `question`, and the JSON Schema that its answer has to fit. Of a `TIMER`: `until`.
    pub request: Value,
    /// What came.
    #[schema(required)]
    pub answer: Option<Value>,
    /// What it means that nothing came in time.
    pub on_expire: WaitExpiry,
    /// For a timer, its time.
    pub expires_at: DateTime<Utc>,
    #[schema(required)]
    pub answered_by: Option<String>,
    #[schema(required)]
    pub answered_at: Option<DateTime<Utc>>,
    /// The event that satisfied it.
    #[schema(required)]
    pub event_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

crud::page!(RunWaitPage, RunWaitView);

impl From<Model> for RunWaitView {
    fn from(wait: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id: _,
            run_id,
            step_number,
            kind,
            status,
            key,
            request,
            answer,
            on_expire,
            expires_at,
            answered_by,
            answered_at,
            event_id,
            created_at,
            updated_at,
        } = wait;
        Self {
            id,
            run_id,
            step_number,
            kind,
            status,
            key,
            request,
            answer,
            on_expire,
            expires_at,
            answered_by,
            answered_at,
            event_id,
            created_at,
            updated_at,
        }
    }
}

/// What a list of waits may be narrowed to.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct RunWaitFilter {
    pub status: Option<WaitStatus>,
    pub kind: Option<WaitKind>,
    pub run_id: Option<Uuid>,
    #[param(max_length = 200)]
    pub key: Option<String>,
}

/// One page of the tenant's waits.
pub async fn list(ctx: &Ctx, paging: &Paging, filter: RunWaitFilter) -> Result<Page<RunWaitView>> {
    let RunWaitFilter { status, kind, run_id, key } = filter;
    let all = Condition::all()
        .add_option(status.map(|status| Column::Status.eq(status)))
        .add_option(kind.map(|kind| Column::Kind.eq(kind)))
        .add_option(run_id.map(|run| Column::RunId.eq(run)))
        .add_option(key.map(|key| Column::Key.eq(key)));
    Ok(crud::rows::<Entity>(ctx, paging, all).await?.map(RunWaitView::from))
}

/// What kind of thing a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WaitingFor {
    Approval,
    UserInput,
    ExternalEvent,
    Timer,
}

/// One of the things that a run waits for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingForView {
    pub kind: WaitingFor,
    /// Of the approval, or of the wait.
    pub id: Uuid,
    /// The step whose call is asked about or waits.
    pub step_number: i32,
    /// The approval's proposal, or the wait's `request`.
    pub request: Value,
    /// The `correlationKey` of the event that satisfies it.
    #[schema(required)]
    pub key: Option<String>,
    pub expires_at: DateTime<Utc>,
}

/// Most things of one run that are shown.
const MOST: u64 = 500;

/// Fills in what the WAITING ones among the runs wait for; nothing is read when there are none.
pub(crate) async fn fill(ctx: &Ctx, runs: &mut [TaskRunView]) -> Result<()> {
    let waiting: Vec<Uuid> =
        runs.iter().filter(|run| run.status == RunStatus::Waiting).map(|run| run.id).collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let db = ctx.db();
    let asked = db
        .list::<approval::Entity>()
        .filter(approval::Column::RunId.is_in(waiting.iter().copied()))
        .filter(approval::Column::Status.eq(ApprovalStatus::Pending));
    let asked = asked
        .order_by(approval::Column::StepNumber, Order::Asc)
        .order_by(approval::Column::Id, Order::Asc)
        .limit(MOST)
        .all()
        .await?;
    let waits = db
        .list::<Entity>()
        .filter(Column::RunId.is_in(waiting.iter().copied()))
        .filter(Column::Status.eq(WaitStatus::Open));
    let waits = waits
        .order_by(Column::StepNumber, Order::Asc)
        .order_by(Column::Id, Order::Asc)
        .limit(MOST)
        .all()
        .await?;
    let asked = asked.into_iter().map(|asked| (asked.run_id, of_approval(asked)));
    for (run, open) in asked.chain(waits.into_iter().map(|wait| (wait.run_id, of_wait(wait)))) {
        runs.iter_mut().filter(|view| view.id == run).for_each(|view| view.waiting_for.push(open.clone()));
    }
    Ok(())
}

fn of_approval(asked: approval::Model) -> WaitingForView {
    let approval::Model { id, step_number, proposal, expires_at, .. } = asked;
    WaitingForView { kind: WaitingFor::Approval, id, step_number, request: proposal, key: None, expires_at }
}

fn of_wait(wait: Model) -> WaitingForView {
    let Model { id, step_number, kind, request, key, expires_at, .. } = wait;
    let kind = match kind {
        WaitKind::UserInput => WaitingFor::UserInput,
        WaitKind::ExternalEvent => WaitingFor::ExternalEvent,
        WaitKind::Timer => WaitingFor::Timer,
    };
    WaitingForView { kind, id, step_number, request, key, expires_at }
}
