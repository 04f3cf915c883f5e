//! Runs that have ended: why, and what can be done about it.

use entity::tasks::run_event;
use entity::tasks::task_run::{Model, RunReason, RunStatus};
use sea_orm::{ColumnTrait as _, Order};

use super::view::{CauseCode, CauseView, LossView, RunActionCode, RunActionView, RunExplanationView};
use crate::ctx::Ctx;
use crate::engine::policy::RunPolicy;
use crate::engine::transitions::{self, MOST_LOST};
use crate::error::Result;

const MOST_LOSSES: u64 = 10;

pub async fn explain(ctx: &Ctx, run: Model) -> Result<RunExplanationView> {
    let cause = match run.status {
        RunStatus::Completed => CauseView::new(CauseCode::Completed, completed(run.reason)),
        RunStatus::Cancelled => CauseView::new(CauseCode::Cancelled, cancelled(ctx, &run).await?),
        _ if transitions::is_quarantined(&run) => {
            let message = format!(
                "{} executors vanished one after the other while they executed it: it is not started again by itself.",
                run.lost_count
            );
            CauseView::new(CauseCode::Quarantined, message).of(run.lost_count.into(), MOST_LOST.into())
        }
        _ => failed(&run),
    };
    let mut actions = Vec::new();
    let may_retry = matches!(run.status, RunStatus::Failed | RunStatus::Cancelled);
    if may_retry && !transitions::is_decided(&run) {
        let message = "Queue it again: finished steps are neither executed nor paid again.";
        actions.push(RunActionView::on_run(RunActionCode::Retry, run.id, "retry", message));
    }
    let message = "Create a new run like it, with another input or version if need be.";
    actions.push(RunActionView::on_run(RunActionCode::Replay, run.id, "replay", message));
    let losses = losses(ctx, &run).await?;
    Ok(RunExplanationView { losses, actions, ..RunExplanationView::of(&run).because(vec![cause]) })
}

/// The executors that vanished under it, the last first.
pub async fn losses(ctx: &Ctx, run: &Model) -> Result<Vec<LossView>> {
    if run.lost_count == 0 {
        return Ok(Vec::new());
    }
    let db = ctx.db();
    let events = db
        .find::<run_event::Entity>()
        .filter(run_event::Column::RunId.eq(run.id))
        .filter(run_event::Column::Kind.is_in(["run.lease_lost", "run.failed"]))
        .order_by(run_event::Column::Seq, Order::Desc)
        .limit(MOST_LOSSES)
        .all()
        .await?;
    let loss = |event: run_event::Model| LossView {
        executor_id: event.data.get("executor").and_then(|id| id.as_str()).and_then(|id| id.parse().ok()),
        attempt: event.data.get("attempt").and_then(|number| i32::try_from(number.as_i64()?).ok()),
        lost_at: event.created_at,
    };
    let is_loss = |event: &run_event::Model| event.data.get("executor").is_some();
    Ok(events.into_iter().filter(is_loss).map(loss).collect())
}

fn completed(reason: RunReason) -> &'static str {
    match reason {
        RunReason::MaxSteps => "It used as many steps as it may, and ended with what it had.",
        RunReason::TerminalTool => "It ended with the call of a terminal tool.",
        _ => "It ended with its output.",
    }
}

async fn cancelled(ctx: &Ctx, run: &Model) -> Result<&'static str> {
    Ok(match run.reason {
        RunReason::ByParent => "The run that started it was cancelled.",
        RunReason::ByPolicy => by_policy(&cancelled_by(ctx, run).await?),
        RunReason::BySystem => "The system cancelled it.",
        _ => "Somebody cancelled it.",
    })
}

/// Whose policy it was.
fn by_policy(by: &str) -> &'static str {
    match by.split(':').next().unwrap_or_default() {
        "system" => "Its concurrency key had as many live runs as it may.",
        "schedule" => "Its schedule made room for its next time (overlap CANCEL_RUNNING).",
        _ => "The tenant's emergency stop ended what executed.",
    }
}

/// Who asked for the last cancel, as its event says.
async fn cancelled_by(ctx: &Ctx, run: &Model) -> Result<String> {
    let db = ctx.db();
    let events = db
        .find::<run_event::Entity>()
        .filter(run_event::Column::RunId.eq(run.id))
        .filter(run_event::Column::Kind.is_in(["run.cancel_requested", "run.cancelled"]))
        .order_by(run_event::Column::Seq, Order::Desc)
        .limit(2)
        .all()
        .await?;
    // The end of one that executed says only that it has ended.
    let by = events.iter().find_map(|event| event.data.get("by")?.as_str());
    Ok(by.unwrap_or_default().to_owned())
}

fn failed(run: &Model) -> CauseView {
    let said = run.error.as_ref().and_then(|error| error.get("message")).and_then(|text| text.as_str());
    let why = match run.reason {
        RunReason::RetriesExhausted => {
            let most = RunPolicy::of(run).retry.max_attempts;
            format!("All {most} attempts failed; the last one: ")
        }
        RunReason::Expired => "It was not started within its queue time. ".to_owned(),
        RunReason::TimedOut => "Its time was over. ".to_owned(),
        RunReason::WorkerLost => "Its executor vanished, and its policy does not start it again. ".to_owned(),
        RunReason::InvalidOutput => "Its output does not fit its schema. ".to_owned(),
        RunReason::NoProgress => "It went round in circles. ".to_owned(),
        _ => "It failed: ".to_owned(),
    };
    let message = match said {
        Some(said) => format!("{why}{said}"),
        None => why.trim_end_matches([':', ' ']).to_owned(),
    };
    CauseView::new(CauseCode::Failed, message)
}
