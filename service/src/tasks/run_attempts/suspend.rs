//! An attempt that waits: for a time, a person or an event. The run gives up its slot and its lease, and comes back
//! through the queue, to whichever worker takes it then.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::approval::{ApprovalKind, OnExpire};
use entity::tasks::run_event;
use entity::tasks::task_run::{self, RunReason};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::ends::{AttemptEnded, answer, ended, not_made, report};
use super::{Held, Report, lost};
use crate::ctx::Ctx;
use crate::engine::{self, Outcome, Question, Wait};
use crate::error::{Error, Result};
use crate::runtime::tools::Waits;

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
    /// Claims the worker's next run in the same call.
    #[serde(default)]
    pub claim_next: bool,
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
    /// Of a USER_INPUT: what a person is asked.
    #[serde(default)]
    #[validate(length(min = 1, max = 4_000))]
    #[schema(min_length = 1, max_length = 4_000)]
    pub question: Option<String>,
    /// Of a USER_INPUT: the JSON Schema that the answer has to fit.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub schema: Option<Map<String, Value>>,
    /// Of an EXTERNAL_EVENT: the `correlationKey` of the event, or of the delivery to a hook.
    #[serde(default)]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub key: Option<String>,
    /// How long a person or an event has; a day when absent.
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
    /// Somebody answers by `POST /v1/task-runs/{id}/input`; the answer, or that none came, comes with the next claim,
    /// as `waits`.
    UserInput,
    /// An event or a hook brings it; what came, or that nothing did, comes with the next claim, as `waits`.
    ExternalEvent,
}

/// # Errors
/// 409 `lease_lost`; 422 under `/wait`.
pub async fn suspend(ctx: &Ctx, id: Uuid, attempt: i32, body: SuspendAttempt) -> Result<AttemptEnded> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let SuspendAttempt { lease_token, wait, claim_next } = body;
    check(&wait, ctx.core.clock.now())?;
    let mut held = Held::load(ctx, id, attempt, &lease_token, "suspend").await?;
    if !held.is_live(ctx.core.clock.now()) {
        let is_end = |end: &run_event::Model| end.kind == "run.waiting" || end.kind == "run.cancelled";
        let same = ended(ctx, &held.token).await?.is_some_and(|end| is_end(&end));
        return if same { answer(ctx, held, claim_next).await } else { Err(lost(held.call)) };
    }
    loop {
        let report = waiting(ctx, &held.run, &wait).await?;
        if let Some(written) = held.commit(ctx, report).await? {
            engine::ended(Some(written.status));
            return answer(ctx, held, claim_next).await;
        }
    }
}

fn check(wait: &AttemptWait, now: DateTime<Utc>) -> Result<()> {
    let has = match wait.kind {
        AttemptWaitKind::Timer => ("seconds", wait.seconds.is_some()),
        AttemptWaitKind::Approval => ("proposal", wait.proposal.is_some()),
        AttemptWaitKind::UserInput => ("question", wait.question.is_some()),
        AttemptWaitKind::ExternalEvent => ("key", wait.key.is_some()),
    };
    if let (field, false) = has {
        return Err(Error::invalid(format!("/wait/{field}"), "required", "The kind of wait needs it."));
    }
    let size = wait.proposal.clone().map_or(0, |proposal| Value::Object(proposal).to_string().len());
    if size > LARGEST {
        let message = format!("proposal has at most {LARGEST} bytes.");
        return Err(Error::invalid("/wait/proposal", "length", message));
    }
    asked_for(wait, 0, now).map(drop)
}

/// The wait for an answer or an event, as the built-ins make it.
fn asked_for(wait: &AttemptWait, step: i32, now: DateTime<Utc>) -> Result<Option<Wait>> {
    let (waits, field, mut arguments) = match wait.kind {
        AttemptWaitKind::Timer | AttemptWaitKind::Approval => return Ok(None),
        AttemptWaitKind::UserInput => (Waits::Question, "schema", json!({ "question": wait.question })),
        AttemptWaitKind::ExternalEvent => (Waits::Event, "key", json!({ "key": wait.key })),
    };
    if let Some(schema) = &wait.schema {
        arguments["schema"] = Value::Object(schema.clone());
    }
    arguments["expiresInSeconds"] = json!(wait.expires_in_seconds);
    waits
        .wait(step, &arguments, now)
        .map(Some)
        .map_err(|failure| Error::invalid(format!("/wait/{field}"), "invalid", failure.message))
}

async fn waiting(ctx: &Ctx, run: &task_run::Model, wait: &AttemptWait) -> Result<Report> {
    let progress = not_made(ctx, run, "suspended").await?;
    let step = run.step_count.saturating_add(1);
    let outcome = match wait.kind {
        AttemptWaitKind::Timer => {
            let until = ctx.core.clock.now() + TimeDelta::seconds(i64::from(wait.seconds.unwrap_or(1)));
            Outcome::Waits { waits: vec![Wait::timer(step, until)], progress }
        }
        AttemptWaitKind::UserInput | AttemptWaitKind::ExternalEvent => {
            let waits = asked_for(wait, step, ctx.core.clock.now())?.into_iter().collect();
            Outcome::Waits { waits, progress }
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
