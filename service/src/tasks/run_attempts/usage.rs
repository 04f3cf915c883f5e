//! What a worker used, as a step: the cost of a run is the sum of its steps, whoever executes it.

use std::time::Duration;

use entity::money::Nanos;
use entity::tasks::run_step::{StepKind, StepStatus};
use entity::tasks::task_run;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use validator::Validate;

use crate::agents::snapshot;
use crate::ctx::Ctx;
use crate::engine::{Event, Step};
use crate::error::{Error, Result};
use crate::runtime::models::Usage;
use crate::usage::price;

const MOST_TOKENS: i64 = 1_000_000_000;

/// Tokens by kind, none counted twice, and what they cost.
#[derive(Clone, Debug, Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportedUsage {
    /// The agent's own when absent.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub model: Option<String>,
    /// Input that no cache held.
    #[serde(default)]
    #[validate(range(min = 0, max = 1_000_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub input: i64,
    #[serde(default)]
    #[validate(range(min = 0, max = 1_000_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub cache_read: i64,
    #[serde(default)]
    #[validate(range(min = 0, max = 1_000_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub cache_write: i64,
    /// Output without reasoning.
    #[serde(default)]
    #[validate(range(min = 0, max = 1_000_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub output: i64,
    #[serde(default)]
    #[validate(range(min = 0, max = 1_000_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub reasoning: i64,
    /// In USD; by the price of the model when absent.
    pub cost: Option<Nanos>,
}

impl ReportedUsage {
    /// # Errors
    /// 422 under `pointer`.
    pub(super) fn check(&self, pointer: &str) -> Result<()> {
        let counts = [self.input, self.cache_read, self.cache_write, self.output, self.reasoning];
        if counts.iter().any(|count| !(0..=MOST_TOKENS).contains(count)) {
            let message = format!("A count of tokens is from 0 to {MOST_TOKENS}.");
            return Err(Error::invalid(pointer, "range", message));
        }
        match self.cost {
            Some(cost) if cost < Nanos::ZERO => {
                Err(Error::invalid(format!("{pointer}/cost"), "range", "must not be negative"))
            }
            _ => Ok(()),
        }
    }

    fn tokens(&self) -> Usage {
        Usage {
            input: self.input,
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            output: self.output,
            reasoning: self.reasoning,
            estimated: false,
        }
    }
}

/// The step of this number, and its event. An agent's flat charge comes with its first step.
pub(super) async fn step(
    ctx: &Ctx,
    run: &task_run::Model,
    number: i32,
    usage: &ReportedUsage,
) -> Result<(Step, Event)> {
    let (own_model, charge) = of_agent(ctx, run).await?;
    let tokens = usage.tokens();
    let model = usage.model.clone().or(own_model);
    let (cost, unpriced) = match (usage.cost, &model) {
        (Some(cost), _) => (cost, false),
        (None, _) if tokens.total() == 0 => (Nanos::ZERO, false),
        (None, None) => (Nanos::ZERO, true),
        (None, Some(model)) => match price(&ctx.core, ctx.tenant, model, ctx.core.clock.now()).await? {
            Some(price) => (price.cost(&tokens), false),
            None => (Nanos::ZERO, true),
        },
    };
    let first = if number == 1 { charge } else { Nanos::ZERO };
    let step = Step {
        number,
        kind: StepKind::Model,
        status: StepStatus::Completed,
        turn: number,
        name: model.unwrap_or_else(|| "worker".to_owned()),
        tool_id: None,
        call_id: None,
        effect_key: None,
        request: json!({}),
        response: None,
        stop_reason: None,
        usage: tokens,
        cost: cost + first,
        unpriced,
        latency: Duration::ZERO,
    };
    let event = completed(&step);
    Ok((step, event))
}

/// The charge of an agent whose worker reported nothing of its own.
pub(super) async fn flat_charge(ctx: &Ctx, run: &task_run::Model) -> Result<Option<(Step, Event)>> {
    if run.step_count > 0 || of_agent(ctx, run).await?.1 == Nanos::ZERO {
        return Ok(None);
    }
    step(ctx, run, 1, &ReportedUsage::default()).await.map(Some)
}

pub(super) fn completed(step: &Step) -> Event {
    let data = json!({
        "step": step.number,
        "kind": step.kind,
        "name": step.name,
        "status": step.status,
        "usage": step.usage,
        "cost": step.cost,
        "latencyMs": u64::try_from(step.latency.as_millis()).unwrap_or(u64::MAX),
    });
    Event { kind: "step.completed", data }
}

/// The model that the run's agent names, and its flat charge.
async fn of_agent(ctx: &Ctx, run: &task_run::Model) -> Result<(Option<String>, Nanos)> {
    let Some((agent, version)) = run.agent_id.zip(run.agent_version) else { return Ok((None, Nanos::ZERO)) };
    let snapshot = snapshot(&ctx.core, ctx.tenant, agent, version).await?;
    let config = &snapshot.config;
    Ok((Some(config.model.clone()), config.cost_per_run.unwrap_or_default()))
}
