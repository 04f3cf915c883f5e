//! Heartbeats: a worker says that it lives, renews what it holds, and is told what to stop.

use entity::tasks::task_run::RunReason;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::load;
use crate::ctx::Ctx;
use crate::engine::remote::{self, Renewed, Sign};
use crate::engine::transitions::{HeldWrite, Seen};
use crate::engine::{Awaited, Event, Progress};
use crate::error::{Error, Result};
use crate::tasks::run_attempts::lease_tokens::LeaseToken;

/// Of a lease's progress, as JSON.
const LARGEST: usize = 16 << 10;

#[derive(Clone, Debug, Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(example = json!({ "leases": [{ "runId": "0199a000-0000-7000-8000-000000000001", "attempt": 1, "leaseToken": "mc_lt_…" }] }))]
pub struct Beat {
    /// All that the worker holds.
    #[validate(length(max = 1_000), nested)]
    #[schema(max_items = 1_000)]
    pub leases: Vec<BeatLease>,
    /// The worker takes no new runs: it is about to stop. Registering anew ends that.
    pub draining: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BeatLease {
    pub run_id: Uuid,
    #[validate(range(min = 0))]
    #[schema(minimum = 0)]
    pub attempt: i32,
    #[validate(length(min = 1, max = 128))]
    #[schema(min_length = 1, max_length = 128)]
    pub lease_token: String,
    /// Shown in the run's timeline; at most 16 KiB.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub progress: Option<Map<String, Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LeaseState {
    /// Renewed.
    Ok,
    /// Over, or never this worker's: stop, nothing that it says of the attempt counts any more.
    Lost,
    /// Renewed, and to be stopped, because a cancel was asked for or the tenant's emergency stop is on: release or
    /// fail the attempt.
    Cancel,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BeatLeaseState {
    pub run_id: Uuid,
    pub state: LeaseState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WorkerCommand {
    None,
    /// End what is held, ask for nothing more, and stop.
    Drain,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BeatView {
    /// In the order of the call.
    pub leases: Vec<BeatLeaseState>,
    pub command: WorkerCommand,
}

/// Renews the worker's leases.
///
/// # Errors
/// 404 when there is no such worker.
pub async fn beat(ctx: &Ctx, id: Uuid, body: Beat) -> Result<BeatView> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let worker = load(ctx, id).await?;
    let Beat { leases, draining } = body;
    check(&leases)?;
    let mut held = Vec::with_capacity(leases.len());
    for lease in &leases {
        let token = LeaseToken::open(&ctx.core, ctx.tenant, lease.run_id, &lease.lease_token)?;
        held.extend(token.filter(|token| token.worker == id && token.attempt == lease.attempt));
    }
    held.sort_by_key(|token| token.run);
    held.dedup_by_key(|token| token.run);
    let sign = Sign {
        tenant: ctx.tenant,
        worker: id,
        slots: worker.slots,
        held: held.iter().map(|token| (token.run, token.fence)).collect(),
        draining,
    };
    let Renewed { kept, is_stopped } = remote::renew(&ctx.core, &sign).await?;
    tell(ctx, &leases, &held, &kept).await;
    let state = |lease: &BeatLease| {
        let was_given = held.iter().any(|token| token.run == lease.run_id && token.attempt == lease.attempt);
        match kept.get(&lease.run_id).filter(|_| was_given) {
            None => LeaseState::Lost,
            Some(RunReason::CancelRequested) => LeaseState::Cancel,
            Some(_) if is_stopped => LeaseState::Cancel,
            Some(_) => LeaseState::Ok,
        }
    };
    let states: Vec<_> =
        leases.iter().map(|lease| BeatLeaseState { run_id: lease.run_id, state: state(lease) }).collect();
    let lost = states.iter().filter(|lease| lease.state == LeaseState::Lost).count();
    metrics::counter!("worker_stale_calls_total", "call" => "heartbeat")
        .increment(u64::try_from(lost).unwrap_or(0));
    let is_drained = draining || worker.drained_at.is_some();
    let command = if is_drained { WorkerCommand::Drain } else { WorkerCommand::None };
    let answer = BeatView { leases: states, command };
    ctx.keep(&answer).await?;
    Ok(answer)
}

fn check(leases: &[BeatLease]) -> Result<()> {
    for (index, lease) in leases.iter().enumerate() {
        let size = lease.progress.as_ref().map_or(0, |data| Value::Object(data.clone()).to_string().len());
        if size > LARGEST {
            let pointer = format!("/leases/{index}/progress");
            return Err(Error::invalid(pointer, "length", format!("progress has at most {LARGEST} bytes.")));
        }
    }
    Ok(())
}

/// Progress in the timelines of the runs whose leases still hold; that it is not written loses nobody's work.
async fn tell(
    ctx: &Ctx,
    leases: &[BeatLease],
    held: &[LeaseToken],
    kept: &std::collections::HashMap<Uuid, RunReason>,
) {
    let told = leases.iter().filter_map(|lease| {
        let token = held.iter().find(|token| token.run == lease.run_id && kept.contains_key(&token.run))?;
        let data = Value::Object(lease.progress.clone()?);
        Some(HeldWrite {
            tenant: ctx.tenant,
            run: token.run,
            attempt: token.attempt,
            fence: token.fence,
            parent: None,
            has_children: false,
            progress: Progress {
                events: vec![Event { kind: "attempt.progress", data }],
                ..Progress::default()
            },
            change: None,
            seen: Seen::default(),
        })
    });
    let engine = &ctx.core.engine;
    futures_util::future::join_all(told.map(|write| engine.write(write, Awaited::default()))).await;
}
