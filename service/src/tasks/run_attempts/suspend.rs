//! An attempt that waits: for a time, or for a person. The run gives up its slot and its lease, and comes back
//! through the queue, to whichever worker takes it then.

use std::time::Duration;

use chrono::TimeDelta;
use entity::tasks::approval::{ApprovalKind, OnExpire};
use entity::tasks::run_event;
use entity::tasks::task_run::{self, RunReason};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::ends::{AttemptEnded, answer, ended, not_made, report};
use super::{Held, Report, lost};
use crate::ctx::Ctx;
use crate::engine::{self, Outcome, Question, Wait};
use crate::error::{Error, Result};

/// Of a proposal, as JSON.
const LARGEST: usize = 64 << 10;
/// How long a person has to decide when the worker does not say.
const DAY: u32 = 86_400;

/// Suspends an attempt until what it waits for is there.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "leaseToken": "mc_lt_…", "wait": { "kind": "TIMER", "seconds": 600 } }))]
pub struct SuspendAttempt {
    #[validate(length(min = 1, max = 128))]
    #[schema(min_length = 1, max_length = 128)]
    pub lease_token: String,
    #[validate(nested)]
    pub wait: AttemptWait,
}

/// What the run waits for.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttemptWait {
    pub kind: AttemptWaitKind,
    /// Of a TIMER: how long.
    #[serde(default)]
    #[validate(range(min = 1, max = 2_592_000))]
    #[schema(minimum = 1, maximum = 2_592_000)]
    pub seconds: Option<u32>,
    /// Of an APPROVAL: what a person decides about; at most 64 KiB.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub proposal: Option<Map<String, Value>>,
    /// Of an APPROVAL: what its expiry means; REJECT when absent.
    #[serde(default)]
    pub on_expire: Option<OnExpire>,
    /// Of an APPROVAL: how long a person has to decide; a day when absent.
    #[serde(default)]
    #[validate(range(min = 1, max = 2_592_000))]
    #[schema(minimum = 1, maximum = 2_592_000)]
    pub expires_in_seconds: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AttemptWaitKind {
    Timer,
    /// Whoever of the tenant may decide, decides; the decision comes with the next claim, as `approvals`.
    Approval,
}

/// # Errors
/// 409 `lease_lost`; 422 under `/wait`.
pub async fn suspend(ctx: &Ctx, id: Uuid, attempt: i32, body: SuspendAttempt) -> Result<AttemptEnded> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let SuspendAttempt { lease_token, wait } = body;
    check(&wait)?;
    let mut held = Held::load(ctx, id, attempt, &lease_token, "suspend").await?;
    if !held.is_live(ctx.core.clock.now()) {
        let is_end = |end: &run_event::Model| end.kind == "run.waiting" || end.kind == "run.cancelled";
        let same = ended(ctx, &held.token).await?.is_some_and(|end| is_end(&end));
        return if same { answer(ctx, held, false).await } else { Err(lost(held.call)) };
    }
    loop {
        let report = waiting(ctx, &held.run, &wait).await?;
        if let Some(written) = held.commit(ctx, report).await? {
            engine::ended(Some(written.status));
            return answer(ctx, held, false).await;
        }
    }
}

fn check(wait: &AttemptWait) -> Result<()> {
    let required = |field: &str| {
        let message = "The kind of wait needs it.";
        Err(Error::invalid(format!("/wait/{field}"), "required", message))
    };
    match (wait.kind, wait.seconds, &wait.proposal) {
        (AttemptWaitKind::Timer, None, _) => required("seconds"),
        (AttemptWaitKind::Approval, _, None) => required("proposal"),
        (AttemptWaitKind::Approval, _, Some(proposal)) => {
            let size = Value::Object(proposal.clone()).to_string().len();
            let message = format!("proposal has at most {LARGEST} bytes.");
            if size > LARGEST { Err(Error::invalid("/wait/proposal", "length", message)) } else { Ok(()) }
        }
        (AttemptWaitKind::Timer, Some(_), _) => Ok(()),
    }
}

async fn waiting(ctx: &Ctx, run: &task_run::Model, wait: &AttemptWait) -> Result<Report> {
    let progress = not_made(ctx, run, "suspended").await?;
    let step = run.step_count.saturating_add(1);
    let outcome = match wait.kind {
        AttemptWaitKind::Timer => {
            let until = ctx.core.clock.now() + TimeDelta::seconds(i64::from(wait.seconds.unwrap_or(1)));
            Outcome::Waits { waits: vec![Wait::timer(step, until)], progress }
        }
        AttemptWaitKind::Approval => {
            let question = Question {
                kind: ApprovalKind::Tool,
                step,
                proposal: Value::Object(wait.proposal.clone().unwrap_or_default()),
                on_expire: wait.on_expire.unwrap_or(OnExpire::Reject),
                expires_in: Duration::from_secs(u64::from(wait.expires_in_seconds.unwrap_or(DAY))),
            };
            Outcome::Asked { reason: RunReason::Approval, questions: vec![question], progress }
        }
    };
    Ok(report(ctx, run, outcome))
}
