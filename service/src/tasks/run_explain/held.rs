//! Runs that somebody executes, and runs that wait for something.

use entity::tasks::approval::{self, ApprovalStatus};
use entity::tasks::task_run::{Model, RunReason};
use sea_orm::{ActiveEnum as _, ColumnTrait as _};

use super::view::{
    CauseCode, CauseView, LeaseView, RunActionCode, RunActionView, RunExplanationView, WaitView,
};
use crate::ctx::Ctx;
use crate::error::Result;

/// Open questions that are named.
const MOST_WAITS: u64 = 50;

pub async fn executing(ctx: &Ctx, run: Model) -> Result<RunExplanationView> {
    let now = ctx.core.clock.now();
    let lease = run.lease_owner.zip(run.lease_expires_at).map(|(executor_id, expires_at)| LeaseView {
        executor_id,
        attempt: run.attempt,
        expires_at,
        attempt_deadline_at: run.attempt_deadline_at,
        deadline_at: run.deadline_at,
    });
    let mut causes = Vec::new();
    if let Some(lease) = lease.filter(|lease| lease.expires_at <= now) {
        let message = "Its executor has not renewed its lease: the next look takes the run back.";
        causes.push(CauseView::blocking(CauseCode::LeaseExpired, message).until(lease.expires_at));
    }
    let mut actions = Vec::new();
    if run.reason == RunReason::CancelRequested {
        let message = "A cancel was asked for; its executor ends it, at the latest after thirty seconds.";
        causes.push(CauseView::new(CauseCode::CancelRequested, message));
    } else {
        causes.push(CauseView::new(CauseCode::Executing, format!("Attempt {} executes.", run.attempt)));
        actions.push(RunActionView::cancel(run.id));
    }
    let losses = super::ended::losses(ctx, &run).await?;
    Ok(RunExplanationView { lease, losses, actions, ..RunExplanationView::of(&run).because(causes) })
}

pub async fn waiting(ctx: &Ctx, run: Model) -> Result<RunExplanationView> {
    let mut actions = Vec::new();
    let db = ctx.db();
    let open = db.find::<approval::Entity>().filter(approval::Column::RunId.eq(run.id));
    let open =
        open.filter(approval::Column::Status.eq(ApprovalStatus::Pending)).limit(MOST_WAITS).all().await?;
    let mut waits_for: Vec<_> = open
        .iter()
        .map(|asked| WaitView {
            kind: "APPROVAL".to_owned(),
            id: Some(asked.id),
            expires_at: Some(asked.expires_at),
        })
        .collect();
    if let Some(asked) = open.first() {
        let path = format!("/v1/approvals/{}/decide", asked.id);
        actions.push(RunActionView::post(RunActionCode::Decide, path, "Approve or reject what it asks."));
    } else {
        waits_for.push(WaitView { kind: run.reason.to_value(), id: None, expires_at: run.wait_until });
    }
    actions.push(RunActionView::cancel(run.id));
    let message = match run.reason {
        RunReason::Approval => "It waits for somebody's decision.",
        RunReason::NeedsReview => {
            "It waits for somebody to say what became of a call whose outcome is unknown."
        }
        RunReason::Children => "It waits for the runs that it started.",
        RunReason::UserInput => "It waits for somebody's answer.",
        RunReason::ExternalEvent => "It waits for an event from outside.",
        RunReason::Timer => "It waits for a time.",
        RunReason::Budget => "It waits for its budget.",
        _ => "It waits.",
    };
    let mut cause = CauseView::blocking(CauseCode::Waits, message);
    cause.until = run.wait_until;
    Ok(RunExplanationView { waits_for, actions, ..RunExplanationView::of(&run).because(vec![cause]) })
}
