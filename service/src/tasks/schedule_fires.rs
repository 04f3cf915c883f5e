//! What came of each time that a schedule was due. Fires are made by [`super::scheduled_tasks`] alone.

use chrono::{DateTime, Utc};
use entity::tasks::schedule_fire::{Column, Entity, FireKind, FireReason, FireStatus, Model};
use entity::tasks::task_run::RunStatus;
use sea_orm::{ColumnTrait as _, Condition};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::crud::{self, Page, Paging};
use crate::ctx::Ctx;
use crate::error::{Error, Result};

/// One time of a schedule.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleFireView {
    pub id: Uuid,
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    pub scheduled_task_id: Uuid,
    /// The time itself.
    pub due_at: DateTime<Utc>,
    /// Where one record stands for many missed times: the last of them; else `dueAt`.
    pub last_due_at: DateTime<Utc>,
    /// For how many times it stands.
    pub instants: i32,
    /// The time with the schedule's jitter.
    pub fire_at: DateTime<Utc>,
    pub kind: FireKind,
    pub status: FireStatus,
    /// Why it started no run.
    #[schema(required)]
    pub reason: Option<FireReason>,
    #[schema(required)]
    pub detail: Option<String>,
    /// Its run.
    #[schema(required)]
    pub run_id: Option<Uuid>,
    /// How the run ended, a moment after it did.
    #[schema(required)]
    pub run_status: Option<RunStatus>,
    /// `schedule:<id>`, or who asked for it.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

crud::page!(ScheduleFirePage, ScheduleFireView);

impl From<Model> for ScheduleFireView {
    fn from(fire: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id,
            schedule_id,
            due_at,
            last_due_at,
            instants,
            fire_at,
            kind,
            status,
            reason,
            detail,
            input: _,
            run_id,
            run_status,
            created_by,
            settled_at: _,
            created_at,
            updated_at,
        } = fire;
        Self {
            id,
            workspace_id,
            scheduled_task_id: schedule_id,
            due_at,
            last_due_at,
            instants,
            fire_at,
            kind,
            status,
            reason,
            detail,
            run_id,
            run_status,
            created_by,
            created_at,
            updated_at,
        }
    }
}

/// What a list of fires may be narrowed to.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ScheduleFireFilter {
    pub scheduled_task_id: Option<Uuid>,
    pub run_id: Option<Uuid>,
    pub status: Option<FireStatus>,
    pub reason: Option<FireReason>,
    pub kind: Option<FireKind>,
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: ScheduleFireFilter) -> Result<Page<ScheduleFireView>> {
    let ScheduleFireFilter { scheduled_task_id, run_id, status, reason, kind } = filter;
    let all = Condition::all()
        .add_option(scheduled_task_id.map(|id| Column::ScheduleId.eq(id)))
        .add_option(run_id.map(|id| Column::RunId.eq(id)))
        .add_option(status.map(|status| Column::Status.eq(status)))
        .add_option(reason.map(|reason| Column::Reason.eq(reason)))
        .add_option(kind.map(|kind| Column::Kind.eq(kind)));
    Ok(crud::rows::<Entity>(ctx, paging, all).await?.map(ScheduleFireView::from))
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<ScheduleFireView> {
    let found = ctx.db().get::<Entity>(id).await?;
    Ok(found.ok_or(Error::not_found("schedule fire"))?.into())
}
