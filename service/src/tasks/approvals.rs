//! Questions that runs wait for: one inbox. The first decision wins, and each expires, so that none
//! can wedge a run.

use chrono::{DateTime, Utc};
use entity::agents::tool;
use entity::tasks::approval::{self, ApprovalKind, ApprovalStatus, Column, Entity, Model, OnExpire};
use entity::tasks::task_run::RunStatus;
use sea_orm::{ActiveEnum as _, ColumnTrait as _, Condition, FromQueryResult as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::crud::{self, Page, Paging};
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::engine::transitions::{self, Resumed};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;

/// A question that a run waits for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalView {
    pub id: Uuid,
    pub run_id: Uuid,
    /// The step whose call is asked about.
    pub step_number: i32,
    /// `TOOL`: may this call be made? `REVIEW`: its outcome is unknown; what now?
    pub kind: ApprovalKind,
    pub status: ApprovalStatus,
    /// The tool and its arguments, and for a review the evidence.
    pub proposal: Value,
    #[schema(required)]
    pub decision: Option<Value>,
    /// What its expiry counts as.
    pub on_expire: OnExpire,
    pub expires_at: DateTime<Utc>,
    #[schema(required)]
    pub decided_by: Option<String>,
    #[schema(required)]
    pub decided_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

crate::crud::page!(ApprovalPage, ApprovalView);

impl From<Model> for ApprovalView {
    fn from(approval: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id: _,
            run_id,
            step_number,
            kind,
            status,
            proposal,
            decision,
            on_expire,
            expires_at,
            decided_by,
            decided_at,
            told_at: _,
            created_at,
            updated_at,
        } = approval;
        Self {
            id,
            run_id,
            step_number,
            kind,
            status,
            proposal,
            decision,
            on_expire,
            expires_at,
            decided_by,
            decided_at,
            created_at,
            updated_at,
        }
    }
}

/// What a list of approvals may be narrowed to.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ApprovalFilter {
    pub status: Option<ApprovalStatus>,
    pub run_id: Option<Uuid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    Approve,
    Reject,
}

/// A decision.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "decision": "APPROVE", "comment": "Go ahead." }))]
pub struct DecideApproval {
    /// `APPROVE` makes the call; for a review it makes the call again.
    /// `REJECT` tells the model that it was not made, and why.
    pub decision: Verdict,
    /// With `APPROVE`: the call is made with these arguments instead.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub arguments: Option<serde_json::Map<String, Value>>,
    /// With `REJECT` of a review: what the call is known to have answered.
    #[serde(default)]
    pub output: Option<Value>,
    #[serde(default)]
    #[validate(length(max = 2000))]
    #[schema(max_length = 2000)]
    pub comment: Option<String>,
}

/// One page of the tenant's approvals.
pub async fn list(ctx: &Ctx, paging: &Paging, filter: ApprovalFilter) -> Result<Page<ApprovalView>> {
    let ApprovalFilter { status, run_id } = filter;
    let all = Condition::all()
        .add_option(status.map(|status| Column::Status.eq(status)))
        .add_option(run_id.map(|run| Column::RunId.eq(run)));
    Ok(crud::rows::<Entity>(ctx, paging, all).await?.map(ApprovalView::from))
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<ApprovalView> {
    Ok(load(ctx, id).await?.into())
}

async fn load(ctx: &Ctx, id: Uuid) -> Result<Model> {
    ctx.db().get::<Entity>(id).await?.ok_or(Error::not_found("approval"))
}

/// Decides an open approval; its run goes on once none of its questions is open.
///
/// # Errors
/// 409 `already_decided` for all but the first.
pub async fn decide(ctx: &Ctx, id: Uuid, body: DecideApproval) -> Result<ApprovalView> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let asked = load(ctx, id).await?;
    check(&asked, &body)?;
    check_arguments(ctx, &asked, &body).await?;
    let status = match body.decision {
        Verdict::Approve => ApprovalStatus::Approved,
        Verdict::Reject => ApprovalStatus::Rejected,
    };
    let decision = serde_json::to_value(&body).map_err(Error::internal)?;
    let now = ctx.core.clock.now();
    let tx = ctx.core.db.system(Reason::Engine).begin().await?;
    transitions::lock(&tx, ctx.tenant, asked.run_id).await?;
    let sql = "UPDATE approval SET status = $3, decision = $4, decided_by = $5, decided_at = $6, updated_at = $6 \
         WHERE tenant_id = $1 AND id = $2 AND status = 'PENDING' AND expires_at > $6 RETURNING *";
    let by = ctx.actor.to_string();
    let values = vec![
        ctx.tenant.into(),
        id.into(),
        status.to_value().into(),
        decision.into(),
        by.clone().into(),
        now.into(),
    ];
    let Some(row) = tx.query(sql, values).await?.into_iter().next() else {
        return Err(Error::conflict("already_decided", "The approval is decided, expired or cancelled."));
    };
    let decided = approval::Model::from_query_result(&row, "")?;
    let data = json!({ "approvalId": id, "decision": body.decision, "by": by });
    let resumed = Resumed { tenant: ctx.tenant, run: decided.run_id, data };
    let resumed = transitions::satisfy_if_answered(&tx, &[resumed], now).await?;
    let (run, before) = (decided.run_id, ApprovalView::from(asked));
    let view = ApprovalView::from(decided);
    ctx.finish(tx, Change::updated::<Entity>(id, &before, &view), &view).await?;
    if !resumed.is_empty() {
        ctx.core.engine.announce(run, RunStatus::Pending);
    }
    Ok(view)
}

/// Other arguments have to fit the tool as the model's had to.
async fn check_arguments(ctx: &Ctx, asked: &Model, body: &DecideApproval) -> Result<()> {
    let named = asked.proposal.get("toolId").and_then(Value::as_str).and_then(|id| id.parse::<Uuid>().ok());
    let (Some(arguments), Some(id)) = (&body.arguments, named) else { return Ok(()) };
    let db = ctx.db();
    let found = db.everywhere::<tool::Entity>().filter(tool::Column::Id.eq(id)).one().await?;
    let Some(tool) = found else { return Ok(()) };
    let schema = ctx.core.schemas.get(&tool.schema).await?;
    let arguments = Value::Object(arguments.clone());
    schema.check(&arguments, "/arguments").map_err(|errors| Error::Invalid { errors })
}

fn check(asked: &Model, body: &DecideApproval) -> Result<()> {
    if body.arguments.is_some() && body.decision == Verdict::Reject {
        return Err(Error::invalid("/arguments", "unsupported", "Only an approved call has arguments."));
    }
    if body.output.is_some() && (body.decision == Verdict::Approve || asked.kind != ApprovalKind::Review) {
        return Err(Error::invalid("/output", "unsupported", "Only a rejected review has an output."));
    }
    Ok(())
}
