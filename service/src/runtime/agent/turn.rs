//! One model call: reserved, streamed, retried in place, answered by a fallback, shortened where the
//! model's window is too small.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::model_step::{answered, give_up, interrupted};
use super::plan::Candidate;
use super::session::Session;
use super::{context, limits};
use crate::engine::Event;
use crate::runtime::call;
use crate::runtime::end::Flow;
use crate::runtime::models::{ModelError, ModelErrorKind, ModelRequest};
use crate::runtime::{race, rate};

/// Attempts at one model before the next one is asked.
const TRIES: u32 = 3;
const BACKOFF: Duration = Duration::from_millis(500);
/// A provider that wants more than this is not waited for: the run is.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Bytes of an interrupted answer that are kept.
const PARTIAL: usize = 256 * 1024;

/// Makes the next turn; the error is how the run ends when no model answers.
pub(super) async fn take(session: &mut Session<'_>) -> Flow {
    loop {
        let mut request = request(session);
        let Some(failures) = ask_all(session, &mut request).await? else { return Ok(()) };
        let end = give_up(session, &request, &failures);
        let too_long = failures.last().is_some_and(|error| error.kind == ModelErrorKind::ContextOverflow);
        let shorter = context::messages(&session.opening, session.plan, &session.history);
        if !too_long || shorter == request.messages {
            return Err(end);
        }
        session.event("context.shortened", json!({"times": session.history.too_long}));
        session.flush_all().await?;
        limits::stop(session)?;
    }
}

/// Asks the model and its fallbacks; gives why all of them failed.
async fn ask_all(session: &mut Session<'_>, request: &mut ModelRequest) -> Flow<Option<Vec<ModelError>>> {
    let plan = session.plan;
    let mut failures = Vec::new();
    for candidate in &plan.models {
        request.model.clone_from(&candidate.model);
        limits::reserve_turn(session, candidate, request)?;
        match ask(session, candidate, request).await? {
            Ok(()) => return Ok(None),
            Err(error) => {
                let next_may_help = is_of_the_provider(error.kind);
                failures.push(error);
                if !next_may_help {
                    break;
                }
            }
        }
    }
    Ok(Some(failures))
}

/// Asks one model, as often as it may be asked.
async fn ask(
    session: &mut Session<'_>,
    candidate: &Candidate,
    request: &mut ModelRequest,
) -> Flow<Result<(), ModelError>> {
    let provider = match &candidate.provider {
        Ok(provider) => provider,
        Err(error) => return Ok(Err(error.clone())),
    };
    let (attempt, deadline) = (session.attempt, session.deadline);
    let number = session.history.next_step();
    for tries in 1.. {
        if let Some(bucket) = &candidate.bucket {
            rate::take(attempt, deadline, bucket).await?;
        }
        let started = attempt.core().clock.now();
        let data = json!({"step": number, "kind": "MODEL", "model": candidate.model});
        attempt.note(Event { kind: "step.started", data });
        let partial = Mutex::new(String::new());
        let hear = |text: &str| {
            attempt.delta(number, text);
            let mut partial = partial.lock().unwrap_or_else(PoisonError::into_inner);
            if partial.len() + text.len() <= PARTIAL {
                partial.push_str(text);
            }
        };
        let span = tracing::debug_span!(
            "model",
            otel.kind = "client",
            gen_ai.request.model = candidate.model,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            error.type = Empty,
        );
        let asked = provider.complete(request, &hear).instrument(span.clone());
        let reply = race::unless_stopped(attempt, deadline, asked).await;
        let error = match reply {
            Err(stop) => {
                let text = partial.into_inner().unwrap_or_else(PoisonError::into_inner);
                interrupted(session, candidate, request, &text, started);
                return Err(stop.into());
            }
            Ok(Ok(reply)) => {
                span.record("gen_ai.usage.input_tokens", reply.usage.prompt());
                span.record("gen_ai.usage.output_tokens", reply.usage.answer());
                answered(session, candidate, request, reply, started);
                return Ok(Ok(()));
            }
            Ok(Err(error)) => error,
        };
        span.record("error.type", format_args!("{:?}", error.kind));
        request.attempt = request.attempt.saturating_add(1);
        let wait = error.retry_after.unwrap_or_else(|| backoff(session, tries));
        if !error.is_retryable() || tries == TRIES || wait > LONGEST_WAIT {
            return Ok(Err(error));
        }
        let data = json!({
            "step": number,
            "model": candidate.model,
            "error": error.kind,
            "message": call::preview(&json!(error.message)),
            "waitMs": u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        });
        session.event("model.retried", data);
        session.flush_all().await?;
        race::pause(attempt, deadline, wait).await?;
    }
    Ok(Err(ModelError::new(ModelErrorKind::Overloaded, "The model was not asked.")))
}

fn request(session: &Session<'_>) -> ModelRequest {
    let (plan, run, history) = (session.plan, session.attempt.run(), &session.history);
    ModelRequest {
        model: String::new(),
        messages: context::messages(&session.opening, plan, history),
        tools: plan.tools.iter().map(|bound| bound.spec.clone()).collect(),
        temperature: plan.config.temperature,
        max_tokens: plan.config.max_tokens,
        output_schema: plan.output.as_ref().map(|output| output.schema.clone()),
        turn: u32::try_from(history.turns.len()).unwrap_or(u32::MAX),
        input: run.input.clone(),
        attempt: history.failed_tries,
        idempotency_key: format!("{}:{}", run.id, history.next_turn()),
        timeout: session.attempt.core().config.model_silence,
    }
}

/// Another model may do better; a request that is itself wrong fails everywhere.
fn is_of_the_provider(kind: ModelErrorKind) -> bool {
    use ModelErrorKind::{
        ContentFiltered, ContextOverflow, InvalidRequest, Network, NotConfigured, Overloaded, Protocol,
        QuotaExceeded, RateLimited, Timeout, Unauthorized,
    };
    match kind {
        RateLimited | QuotaExceeded | Overloaded | Timeout | Network | Unauthorized | Protocol
        | NotConfigured => true,
        InvalidRequest | ContextOverflow | ContentFiltered => false,
    }
}

/// Doubling, with full jitter.
fn backoff(session: &Session<'_>, tries: u32) -> Duration {
    let ceiling = BACKOFF.saturating_mul(2_u32.saturating_pow(tries - 1)).min(LONGEST_WAIT);
    let millis = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(session.attempt.core().ids.below(millis + 1))
}
