//! What a batch will probably cost, and whether its inputs fit, before anything runs.

use chrono::{DateTime, Utc};
use entity::agents::tool;
use entity::money::Nanos;
use entity::tasks::task_target::TargetStatus;
use sea_orm::ColumnTrait as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::rows::{self, key};
use super::{BatchTasks, admit};
use crate::agents::AgentConfig;
use crate::agents::agents::Agents;
use crate::crud;
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::runtime::models::Mock;
use crate::tasks::targets::{self, Target, Wanted};
use crate::tasks::task_runs::check_input;
use crate::usage::price;

/// Runs of the definition that its history is taken from, and inputs that are looked at for their length.
const SAMPLE: i64 = 100;
const BYTES_PER_TOKEN: i64 = 4;
const MOST_CHECKED: u32 = 10_000;
const MOST_SHOWN: usize = 100;

/// What an estimate is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EstimateBasis {
    /// The mean of the definition's last completed runs.
    History,
    /// One model turn: the length of the inputs and the system prompt, and as much output as the agent may
    /// write, at the model's price. An agent that calls tools takes more turns.
    Prices,
    /// What one call of the tool costs.
    ToolCost,
    /// The price of the model is not known, or the definition is a graph that has not run yet.
    Unknown,
}

/// What the targets that wait will probably cost and take.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchEstimate {
    /// Targets that have no run yet.
    pub targets: i64,
    pub basis: EstimateBasis,
    /// How many runs or inputs the estimate was made of.
    pub sampled: i64,
    /// Of one target (USD); null where it is not known.
    #[schema(required)]
    pub cost_per_target: Option<Nanos>,
    #[schema(required)]
    pub cost: Option<Nanos>,
    /// ISO 4217.
    pub currency: String,
    /// From the pacing and what runs took before; null where neither says anything.
    #[schema(required)]
    pub duration_seconds: Option<i64>,
}

struct History {
    sampled: i64,
    cost: i64,
    millis: i64,
}

/// # Errors
/// 409 where the definition cannot be run.
pub async fn estimate(ctx: &Ctx, id: Uuid) -> Result<BatchEstimate> {
    let row = crud::load::<BatchTasks>(ctx, id).await?;
    let target = targets::resolve(ctx, Wanted::Definition(row.definition_id)).await?;
    let sql = "SELECT COUNT(*) AS waiting FROM task_target WHERE tenant_id = $1 AND batch_id = $2 AND status = 'PENDING'";
    let rows = ctx.db().query(sql, vec![id.into()]).await?;
    let targets: i64 = rows.first().map_or(Ok(0), |row| row.try_get("", "waiting"))?;
    let history = history(ctx, row.definition_id).await?;
    let (basis, sampled, each) = if history.sampled > 0 {
        (EstimateBasis::History, history.sampled, Some(Nanos(history.cost / history.sampled)))
    } else {
        of_prices(ctx, id, &target).await?
    };
    let paced = row.rate_per_minute.map(|rate| targets * 60 / i64::from(rate.max(1)));
    let at_once = i64::from(row.max_in_flight).min(targets).max(1);
    let worked = (history.sampled > 0).then(|| {
        let mean = history.millis / history.sampled;
        mean.saturating_mul(targets) / at_once / 1_000
    });
    Ok(BatchEstimate {
        targets,
        basis,
        sampled,
        cost_per_target: each,
        cost: each.map(|each| each.saturating_mul(targets)),
        currency: "USD".to_owned(),
        duration_seconds: paced.max(worked),
    })
}

async fn history(ctx: &Ctx, definition: Uuid) -> Result<History> {
    let sql = "SELECT cost_nanos + child_cost_nanos AS cost, started_at, completed_at FROM task_run \
         WHERE tenant_id = $1 AND definition_id = $2 AND status = 'COMPLETED' ORDER BY id DESC LIMIT $3";
    let mut history = History { sampled: 0, cost: 0, millis: 0 };
    for row in ctx.db().query(sql, vec![definition.into(), SAMPLE.into()]).await? {
        let times: (Option<DateTime<Utc>>, Option<DateTime<Utc>>) =
            (row.try_get("", "started_at")?, row.try_get("", "completed_at")?);
        history.sampled += 1;
        history.cost = history.cost.saturating_add(row.try_get("", "cost")?);
        history.millis += times.0.zip(times.1).map_or(0, |(start, end)| (end - start).num_milliseconds());
    }
    Ok(history)
}

async fn of_prices(ctx: &Ctx, id: Uuid, target: &Target) -> Result<(EstimateBasis, i64, Option<Nanos>)> {
    let Some((agent, _)) = target.agent else {
        let db = ctx.db();
        let tools = db.everywhere::<tool::Entity>().filter(tool::Column::Id.eq(target.tool_id));
        let cost = tools.one().await?.map(|tool| tool.cost_per_call_nanos);
        // What the steps of a graph cost is only known once they were made.
        let basis = if cost.is_some() { EstimateBasis::ToolCost } else { EstimateBasis::Unknown };
        return Ok((basis, 0, cost));
    };
    let agent = crud::load::<Agents>(ctx, agent).await?;
    let config: AgentConfig = serde_json::from_value(agent.config).map_err(Error::internal)?;
    let sql = "SELECT input FROM task_target WHERE tenant_id = $1 AND batch_id = $2 AND status = 'PENDING' \
         ORDER BY number LIMIT $3";
    let inputs = ctx.db().query(sql, vec![id.into(), SAMPLE.into()]).await?;
    let sampled = i64::try_from(inputs.len()).unwrap_or(0);
    let mut bytes = 0;
    for row in &inputs {
        let input: serde_json::Value = row.try_get("", "input")?;
        bytes += i64::try_from(input.to_string().len()).unwrap_or(0);
    }
    let prompt = config.system_prompt.as_deref().map_or(0, str::len);
    let prompt = i64::try_from(prompt).unwrap_or(0) + bytes / sampled.max(1);
    let answer = i64::from(config.max_tokens);
    let of_model = price(&ctx.core, ctx.tenant, &config.model, ctx.core.clock.now()).await?;
    let each = of_model.map(|price| price.worst(prompt / BYTES_PER_TOKEN + 1, answer));
    let is_known = each.is_some() || Mock::serves(&config.model);
    Ok((if is_known { EstimateBasis::Prices } else { EstimateBasis::Unknown }, sampled, each))
}

/// How far to look.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct DryRunFilter {
    /// Targets that are checked at most.
    #[param(minimum = 1, maximum = 10_000, default = 1_000)]
    pub limit: Option<u32>,
    /// Only targets behind this number: go on with `checkedTo`.
    #[param(minimum = 0)]
    pub after: Option<i32>,
}

/// What would become of the targets that wait.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchDryRun {
    pub checked: i64,
    /// How many would fail for their input.
    pub invalid: i64,
    /// The number of the last target that was checked; null when none was left.
    #[schema(required)]
    pub checked_to: Option<i32>,
    /// The first hundred of those that would fail.
    pub errors: Vec<TargetError>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetError {
    pub number: i32,
    pub target_key: String,
    pub message: String,
}

/// Checks inputs as a run would, and makes none.
///
/// # Errors
/// 409 where the definition cannot be run.
pub async fn dry_run(ctx: &Ctx, id: Uuid, filter: DryRunFilter) -> Result<BatchDryRun> {
    let row = crud::load::<BatchTasks>(ctx, id).await?;
    let target = targets::resolve(ctx, Wanted::Definition(row.definition_id)).await?;
    let most = usize::try_from(filter.limit.unwrap_or(1_000).min(MOST_CHECKED)).unwrap_or(0);
    let system = ctx.core.db.system(Reason::Engine);
    let mut done = BatchDryRun { checked: 0, invalid: 0, checked_to: None, errors: Vec::new() };
    let mut after = filter.after.unwrap_or(0);
    let mut left = most;
    while left > 0 {
        let page = rows::targets(&system, key(&row), TargetStatus::Pending, after, left.min(500)).await?;
        if page.is_empty() {
            break;
        }
        left -= page.len();
        for waiting in page {
            after = waiting.number;
            (done.checked, done.checked_to) = (done.checked + 1, Some(waiting.number));
            let Err(Error::Invalid { errors }) = check_input(&target, &waiting.input) else { continue };
            done.invalid += 1;
            if done.errors.len() < MOST_SHOWN {
                let (number, target_key) = (waiting.number, waiting.target_key);
                done.errors.push(TargetError { number, target_key, message: admit::described(&errors) });
            }
        }
    }
    Ok(done)
}
