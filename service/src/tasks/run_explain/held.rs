//! Runs that somebody executes, and runs that wait for something.

use entity::tasks::task_run::{Model, RunReason};

use super::view::{
    CauseCode, CauseView, LeaseView, RunActionCode, RunActionView, RunExplanationView, WaitView,
};
use crate::ctx::Ctx;
use crate::error::Result;
use crate::tasks::run_waits::{self, WaitingFor};
use crate::tasks::task_runs::TaskRunView;

/// Open questions that are named.
const MOST_WAITS: usize = 50;

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
    let mut shown = [TaskRunView::from(run.clone())];
    run_waits::fill(ctx, &mut shown).await?;
    let [TaskRunView { waiting_for, .. }] = shown;
    let asked = |kind| waiting_for.iter().find(|open| open.kind == kind);
    if let Some(asked) = asked(WaitingFor::Approval) {
        let path = format!("/v1/approvals/{}/decide", asked.id);
        actions.push(RunActionView::post(RunActionCode::Decide, path, "Approve or reject what it asks."));
    }
    if asked(WaitingFor::UserInput).is_some() {
        let path = format!("/v1/task-runs/{}/input", run.id);
        actions.push(RunActionView::post(RunActionCode::Answer, path, "Answer what it asks."));
    }
    let until = waiting_for.iter().map(|open| open.expires_at).max();
    let waits_for = match run.reason {
        RunReason::Children => vec![WaitView { kind: "CHILDREN".to_owned(), id: None, expires_at: None }],
        _ => waiting_for.iter().take(MOST_WAITS).map(WaitView::from).collect(),
    };
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
    cause.until = until;
    Ok(RunExplanationView { waits_for, actions, ..RunExplanationView::of(&run).because(vec![cause]) })
}
