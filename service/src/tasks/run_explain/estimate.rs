//! When a queued run will start, from how its newest like went. An estimate without samples is none.

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::task_run::Model;

use super::view::{EstimateBasis, EstimateView};
use crate::ctx::Ctx;
use crate::db::{Dialect, Reason};
use crate::error::Result;

/// The newest runs of the same definition or agent that are looked at.
const SAMPLES: i64 = 100;

/// The narrowest of the limits that the run is under.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    /// How many execute, and how many may.
    narrowest: Option<(i64, i64)>,
}

impl Room {
    pub fn narrow(&mut self, executing: i64, limit: i64) {
        let free = |(executing, limit): (i64, i64)| limit - executing;
        if self.narrowest.is_none_or(|known| (limit - executing) < free(known)) {
            self.narrowest = Some((executing, limit.max(1)));
        }
    }
}

pub async fn estimate(
    ctx: &Ctx,
    run: &Model,
    ahead: i64,
    room: Room,
    now: DateTime<Utc>,
) -> Result<Option<EstimateView>> {
    let due = run.available_at.max(now);
    let is_free = room.narrowest.is_none_or(|(executing, limit)| executing + ahead < limit);
    if is_free && ahead == 0 {
        let basis = if due > now { EstimateBasis::AvailableAt } else { EstimateBasis::Now };
        return Ok(Some(EstimateView { starts_at: due, basis, samples: 0 }));
    }
    let Some(samples) = Samples::read(ctx, run).await? else { return Ok(None) };
    let (wait, basis, count) = match room.narrowest.filter(|_| !is_free) {
        // What executes and what is before it ends `limit` at a time.
        Some((executing, limit)) if samples.ended > 0 => {
            let rounds = (executing + ahead + 1 - limit).max(1);
            let each = samples.mean_millis / i64::max(limit, 1);
            (rounds.saturating_mul(each), EstimateBasis::Durations, samples.ended)
        }
        None if samples.started > 1 => {
            let each = samples.span_millis / (samples.started - 1);
            ((ahead + 1).saturating_mul(each), EstimateBasis::Starts, samples.started)
        }
        _ => return Ok(None),
    };
    let starts_at = now + TimeDelta::try_milliseconds(wait).unwrap_or(TimeDelta::MAX);
    Ok(Some(EstimateView { starts_at: starts_at.max(due), basis, samples: count }))
}

struct Samples {
    started: i64,
    /// From the first to the last start.
    span_millis: i64,
    ended: i64,
    mean_millis: i64,
}

impl Samples {
    /// Of a run without definition and agent there are none: no index finds its like.
    async fn read(ctx: &Ctx, run: &Model) -> Result<Option<Self>> {
        let (column, id) = match (run.definition_id, run.agent_id) {
            (Some(id), _) => ("definition_id", id),
            (None, Some(id)) => ("agent_id", id),
            (None, None) => return Ok(None),
        };
        let system = ctx.core.db.system(Reason::Engine);
        let values = vec![ctx.tenant.into(), id.into(), SAMPLES.into()];
        let rows = system.query(&sql(system.dialect(), column), values).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let number = |name| row.try_get::<Option<i64>>("", name).map(|number| number.unwrap_or(0));
        Ok(Some(Self {
            started: number("started")?,
            span_millis: number("span")?,
            ended: number("ended")?,
            mean_millis: number("mean")?,
        }))
    }
}

fn sql(dialect: Dialect, column: &str) -> String {
    let span = dialect.millis_between("MIN(started_at)", "MAX(started_at)");
    let each = dialect.millis_between("started_at", "completed_at");
    format!(
        "SELECT COUNT(*) AS started, {span} AS span, COUNT(completed_at) AS ended, \
         CAST(AVG({each}) AS BIGINT) AS mean \
         FROM (SELECT started_at, completed_at FROM task_run WHERE tenant_id = $1 AND {column} = $2 \
          AND {column} IS NOT NULL AND started_at IS NOT NULL ORDER BY id DESC LIMIT $3) q"
    )
}
