//! Answers to the questions of runs. The first one counts.

use entity::tasks::run_wait::{Column, Entity, Model, WaitKind, WaitStatus};
use sea_orm::{ColumnTrait as _, Order};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::run_waits::RunWaitView;
use super::task_runs::{self, RunStatus};
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::engine::transitions::{self, Answer, Resumed};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;

/// Bytes of an answer as JSON: a model reads it.
const MOST_BYTES: usize = 64 << 10;

/// An answer to a question of a run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "answer": "Ship it." }))]
pub struct AnswerRun {
    /// Any JSON that fits the question's schema.
    pub answer: Value,
    /// Which question, where the run asks several: the id of the wait.
    #[serde(default)]
    pub wait_id: Option<Uuid>,
}

/// Answers an open question of the run, which goes on once nothing that it waits for is open.
///
/// # Errors
/// 409 `not_waiting` when the run asks nothing, `already_answered` for all answers but the first.
pub async fn answer(ctx: &Ctx, run: Uuid, body: AnswerRun) -> Result<RunWaitView> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let AnswerRun { answer, wait_id } = body;
    task_runs::load(ctx, run).await?;
    let wait = asked(ctx, run, wait_id).await?;
    check(ctx, &wait, &answer).await?;
    let now = ctx.core.clock.now();
    let by = ctx.actor.to_string();
    let tx = ctx.core.db.system(Reason::Engine).begin().await?;
    transitions::lock(&tx, ctx.tenant, run).await?;
    let given = Answer { output: json!({ "answer": answer }), by: by.clone(), event: None };
    let Some(answered) = transitions::answer(&tx, ctx.tenant, wait.id, given, now).await? else {
        return Err(already_answered());
    };
    let data = json!({ "waitId": wait.id, "kind": wait.kind, "by": by });
    let resumed =
        transitions::satisfy_if_answered(&tx, &[Resumed { tenant: ctx.tenant, run, data }], now).await?;
    let (before, view) = (RunWaitView::from(wait), RunWaitView::from(answered));
    ctx.finish(tx, Change::updated::<Entity>(view.id, &before, &view), &view).await?;
    if !resumed.is_empty() {
        ctx.core.engine.announce(run, RunStatus::Pending);
    }
    Ok(view)
}

/// The question that is answered.
async fn asked(ctx: &Ctx, run: Uuid, wanted: Option<Uuid>) -> Result<Model> {
    let db = ctx.db();
    let of_run = db.find::<Entity>().filter(Column::RunId.eq(run));
    let questions = of_run.filter(Column::Kind.eq(WaitKind::UserInput));
    let questions = questions.order_by(Column::Id, Order::Asc).all().await?;
    if let Some(id) = wanted {
        let mine = questions.into_iter().find(|wait| wait.id == id);
        let missing = || Error::invalid("/waitId", "not_found", "The run has no such question.");
        return mine.ok_or_else(missing);
    }
    let was_asked = !questions.is_empty();
    let mut open = questions.into_iter().filter(|wait| wait.status == WaitStatus::Open);
    match (open.next(), open.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Error::invalid(
            "/waitId",
            "required",
            "The run asks several questions: say which is answered.",
        )),
        (None, _) if was_asked => Err(already_answered()),
        (None, _) => Err(Error::conflict("not_waiting", "The run does not wait for an answer.")),
    }
}

async fn check(ctx: &Ctx, wait: &Model, answer: &Value) -> Result<()> {
    if answer.to_string().len() > MOST_BYTES {
        let message = format!("An answer has at most {MOST_BYTES} bytes as JSON.");
        return Err(Error::invalid("/answer", "length", message));
    }
    let Some(schema) = wait.request.get("schema") else { return Ok(()) };
    let schema = ctx.core.schemas.get(schema).await?;
    schema.check(answer, "/answer").map_err(|errors| Error::Invalid { errors })
}

fn already_answered() -> Error {
    Error::conflict("already_answered", "The question is answered, expired or cancelled.")
}
