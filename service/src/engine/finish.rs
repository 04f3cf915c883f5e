//! From how an attempt ended to what its run becomes.

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::approval::{ApprovalStatus, Model as Approval};
use entity::tasks::run_wait::{self, WaitKind, WaitStatus};
use entity::tasks::task_run::{self, RunReason, RunStatus};
use serde_json::{Value, json};

use super::policy::RunPolicy;
use super::transitions::{Change, order_key};
use super::{Awaited, Event, Outcome, Progress, Question, RunError, Wait};
use crate::db::rows::storable;
use crate::ids::Ids;

/// What is committed at the end of an attempt.
pub struct Ending {
    pub progress: Progress,
    pub change: Change,
    pub awaited: Awaited,
}

/// A run that waits is looked at again so long after all that it waits for is over: what ends a wait resumes it,
/// and this is for a wait that is gone.
const LOOK_AGAIN: TimeDelta = TimeDelta::minutes(1);
/// A run that waits for children looks again after this time: what its rows say counts, not that somebody woke it.
const LOOK_AT_CHILDREN: TimeDelta = TimeDelta::minutes(15);

/// `None` when the lease is lost: then nothing may be written.
pub fn ending(run: &task_run::Model, outcome: Outcome, now: DateTime<Utc>, ids: &Ids) -> Option<Ending> {
    let ending = |progress, change| Some(Ending { progress, change, awaited: Awaited::default() });
    let to =
        |status, reason| Change { to: Some((status, reason)), event_data: json!({}), ..Change::default() };
    match outcome {
        Outcome::LeaseLost => None,
        Outcome::Completed { reason, output, progress } => {
            ending(progress, Change { output: Some(output), ..to(RunStatus::Completed, reason) })
        }
        Outcome::Cancelled { progress } => ending(progress, to(RunStatus::Cancelled, RunReason::ByUser)),
        Outcome::Released { progress } => ending(
            progress,
            Change {
                released: true,
                available: Some((now, run.order_key)),
                ..to(RunStatus::Pending, RunReason::Queued)
            },
        ),
        Outcome::Limited { until, limit, progress } => {
            let data = json!({ "limit": limit, "availableAt": until });
            let change = Change {
                released: true,
                available: Some((until, order_key(until, run.priority))),
                postponed: (until - now).num_seconds() + 1,
                event_data: data,
                ..to(RunStatus::Pending, RunReason::RateLimited)
            };
            ending(progress, change)
        }
        Outcome::Failed { error, progress } => ending(progress, failure(run, &error, now, ids)),
        Outcome::Delegated { spawn, progress } => {
            let wait_until = Some(now + LOOK_AT_CHILDREN);
            let change = Change {
                spawn: Some(spawn),
                released: true,
                wait_until,
                ..to(RunStatus::Waiting, RunReason::Children)
            };
            ending(progress, change)
        }
        Outcome::Asked { reason, questions, mut progress } => {
            let questions: Vec<_> =
                questions.into_iter().map(|question| approval(run, question, now, ids)).collect();
            let wait_until = questions.iter().map(|question| question.expires_at).min();
            progress.events.extend(questions.iter().map(|question| Event {
                kind: "approval.requested",
                data: json!({ "approvalId": question.id, "step": question.step_number, "kind": question.kind,
                    "expiresAt": question.expires_at }),
            }));
            let wait_until = wait_until.map(|until| until + LOOK_AGAIN);
            let change = Change { wait_until, ..to(RunStatus::Waiting, reason) };
            Some(Ending { progress, change, awaited: Awaited { questions, ..Awaited::default() } })
        }
        Outcome::Waits { waits, mut progress } => {
            let reason = waits.first().map_or(RunReason::Timer, |wait| reason_of(wait.kind));
            let waits: Vec<_> = waits.into_iter().map(|wait| registered(run, wait, now, ids)).collect();
            let wait_until = waits.iter().map(|wait| wait.expires_at + LOOK_AGAIN).max();
            progress.events.extend(waits.iter().map(|wait| Event {
                kind: "wait.registered",
                data: json!({ "waitId": wait.id, "step": wait.step_number, "kind": wait.kind, "key": wait.key,
                    "expiresAt": wait.expires_at }),
            }));
            let change = Change { wait_until, ..to(RunStatus::Waiting, reason) };
            Some(Ending { progress, change, awaited: Awaited { waits, ..Awaited::default() } })
        }
    }
}

fn failure(run: &task_run::Model, error: &RunError, now: DateTime<Utc>, ids: &Ids) -> Change {
    let policy = RunPolicy::of(run);
    let failures = u32::try_from(run.failures).unwrap_or(0) + 1;
    let kept = json!({ "code": error.code, "message": error.message });
    let delay = policy.retry.delay(failures, error.retry_after, ids);
    let again = now + TimeDelta::from_std(delay).unwrap_or(TimeDelta::MAX);
    let in_time = run.deadline_at.is_none_or(|deadline| again < deadline);
    let mut change = Change {
        error: Some(kept.clone()),
        failed: true,
        event_data: json!({ "error": kept }),
        ..Change::default()
    };
    if error.retryable && in_time && policy.retry.allows(&error.code, failures) {
        change.to = Some((RunStatus::Pending, RunReason::RetryBackoff));
        change.available = Some((again, order_key(again, run.priority)));
        add(&mut change.event_data, "availableAt", json!(again));
    } else {
        let exhausted = error.retryable && in_time && failures >= policy.retry.max_attempts && failures > 1;
        let reason = if exhausted { RunReason::RetriesExhausted } else { error.reason };
        change.to = Some((RunStatus::Failed, reason));
    }
    change
}

fn add(data: &mut Value, key: &str, value: Value) {
    if let Value::Object(fields) = data {
        fields.insert(key.to_owned(), value);
    }
}

fn approval(run: &task_run::Model, question: Question, now: DateTime<Utc>, ids: &Ids) -> Approval {
    let Question { kind, step, proposal, on_expire, expires_in } = question;
    Approval {
        tenant_id: run.tenant_id,
        id: ids.next(),
        workspace_id: run.workspace_id,
        run_id: run.id,
        step_number: step,
        kind,
        status: ApprovalStatus::Pending,
        proposal: storable(proposal),
        decision: None,
        on_expire,
        expires_at: now + TimeDelta::from_std(expires_in).unwrap_or(TimeDelta::days(1)),
        decided_by: None,
        decided_at: None,
        told_at: None,
        created_at: now,
        updated_at: now,
    }
}

fn reason_of(kind: WaitKind) -> RunReason {
    match kind {
        WaitKind::UserInput => RunReason::UserInput,
        WaitKind::ExternalEvent => RunReason::ExternalEvent,
        WaitKind::Timer => RunReason::Timer,
    }
}

fn registered(run: &task_run::Model, wait: Wait, now: DateTime<Utc>, ids: &Ids) -> run_wait::Model {
    let Wait { kind, step, key, request, on_expire, until } = wait;
    run_wait::Model {
        tenant_id: run.tenant_id,
        id: ids.next(),
        workspace_id: run.workspace_id,
        run_id: run.id,
        step_number: step,
        kind,
        status: WaitStatus::Open,
        key,
        request: storable(request),
        answer: None,
        on_expire,
        expires_at: until,
        answered_by: None,
        answered_at: None,
        event_id: None,
        created_at: now,
        updated_at: now,
    }
}
