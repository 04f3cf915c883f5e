//! – → PENDING, or straight to RUNNING where the creating node has a free slot ("born running").

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::tasks::run_event;
use entity::tasks::task_run::{Model, RunReason, RunStatus};
use sea_orm::{ActiveEnum as _, DbErr};
use serde_json::json;

use super::event;
use crate::db::Kind::{Bool, Int, Json, Text, Time, Uuid};
use crate::db::{Column, Dialect, SystemTx};

/// A lease that the run is born with if its agent may start now.
#[derive(Clone, Copy, Debug)]
pub struct Born {
    pub owner: uuid::Uuid,
    pub lease_expires_at: DateTime<Utc>,
    pub attempt_deadline_at: DateTime<Utc>,
    pub deadline_at: DateTime<Utc>,
}

/// A run to be inserted, as it will be when PENDING.
#[derive(Clone, Debug)]
pub struct NewRun {
    pub run: Model,
    /// The request that asked for it, if one did: with its author, the audit record of its creation.
    pub request_id: Option<String>,
    pub born: Option<Born>,
}

const COLUMNS: [Column<NewRun>; 31] = [
    Column::new("tenant_id", Uuid, |new| new.run.tenant_id.into()),
    Column::new("id", Uuid, |new| new.run.id.into()),
    Column::optional("workspace_id", Uuid, |new| new.run.workspace_id.into()),
    Column::optional("definition_id", Uuid, |new| new.run.definition_id.into()),
    Column::optional("agent_id", Uuid, |new| new.run.agent_id.into()),
    Column::optional("agent_version", Int, |new| new.run.agent_version.map(i64::from).into()),
    Column::optional("tool_id", Uuid, |new| new.run.tool_id.into()),
    Column::new("lane_id", Uuid, |new| new.run.lane_id.into()),
    Column::optional("capability", Text, |new| new.run.capability.clone().into()),
    Column::new("reason", Text, |new| new.run.reason.to_value().into()),
    Column::optional("input", Json, |new| new.run.input.clone().into()),
    Column::new("policy", Json, |new| new.run.policy.clone().into()),
    Column::new("priority", Int, |new| i64::from(new.run.priority).into()),
    Column::new("order_key", Int, |new| new.run.order_key.into()),
    Column::new("available_at", Time, |new| new.run.available_at.into()),
    Column::new("queue_expires_at", Time, |new| new.run.queue_expires_at.into()),
    Column::optional("parent_run_id", Uuid, |new| new.run.parent_run_id.into()),
    Column::optional("root_run_id", Uuid, |new| new.run.root_run_id.into()),
    Column::new("depth", Int, |new| i64::from(new.run.depth).into()),
    Column::optional("child_key", Text, |new| new.run.child_key.clone().into()),
    Column::optional("replay_of", Uuid, |new| new.run.replay_of.into()),
    Column::optional("dedupe_key", Text, |new| new.run.dedupe_key.clone().into()),
    Column::new("concurrency_key", Text, |new| new.run.concurrency_key.clone().into()),
    Column::new("created_by", Text, |new| new.run.created_by.clone().into()),
    Column::new("metadata", Json, |new| new.run.metadata.clone().into()),
    Column::new("created_at", Time, |new| new.run.created_at.into()),
    Column::new("born", Bool, |new| new.born.is_some().into()),
    Column::optional("lease_owner", Uuid, |new| new.born.map(|born| born.owner).into()),
    Column::optional("lease_expires_at", Time, |new| new.born.map(|born| born.lease_expires_at).into()),
    Column::optional("attempt_deadline_at", Time, |new| new.born.map(|born| born.attempt_deadline_at).into()),
    Column::optional("deadline_at", Time, |new| new.born.map(|born| born.deadline_at).into()),
];

fn statement(dialect: Dialect) -> String {
    // JSON null and SQL NULL are one: an input of `null` is stored as the JSON text.
    let null = dialect.json("null");
    format!(
        "INSERT INTO task_run (tenant_id, id, workspace_id, definition_id, agent_id, agent_version, tool_id, lane_id, capability, status, reason, \
         input, policy, priority, order_key, available_at, queue_expires_at, parent_run_id, root_run_id, depth, child_key, replay_of, \
         dedupe_key, concurrency_key, created_by, metadata, created_at, updated_at, queued_at, attempt, failures, lost_count, fence, \
         lease_owner, lease_expires_at, attempt_deadline_at, deadline_at, started_at, event_seq, step_count, \
         tokens_input, tokens_cache_read, tokens_cache_write, tokens_output, tokens_reasoning, cost_nanos, \
         child_cost_nanos, unpriced, queue_ms, waiting_ms) \
         SELECT tenant_id, id, workspace_id, definition_id, agent_id, agent_version, tool_id, lane_id, capability, \
         CASE WHEN go THEN 'RUNNING' ELSE 'PENDING' END, CASE WHEN go THEN 'EXECUTING' ELSE reason END, \
         COALESCE(input, {null}), policy, priority, order_key, available_at, queue_expires_at, parent_run_id, \
         root_run_id, depth, child_key, replay_of, dedupe_key, concurrency_key, created_by, metadata, created_at, created_at, created_at, \
         CASE WHEN go THEN 1 ELSE 0 END, 0, 0, CASE WHEN go THEN 1 ELSE 0 END, \
         CASE WHEN go THEN lease_owner END, CASE WHEN go THEN lease_expires_at END, \
         CASE WHEN go THEN attempt_deadline_at END, CASE WHEN go THEN deadline_at END, \
         CASE WHEN go THEN created_at END, CASE WHEN go THEN 2 ELSE 1 END, 0, \
         0, 0, 0, 0, 0, 0, 0, {no}, 0, 0 \
         FROM (SELECT v.*, (v.born AND v.concurrency_key = '' AND t.stopped_at IS NULL AND \
          (a.id IS NULL OR (a.status = 'ACTIVE' AND a.max_concurrent IS NULL)) AND d.paused_at IS NULL AND l.rate_limit IS NULL) AS go \
         FROM {rows} JOIN tenant t ON t.id = v.tenant_id AND t.status = 'ACTIVE' \
         LEFT JOIN agent a ON a.tenant_id = v.tenant_id AND a.id = v.agent_id \
         LEFT JOIN task_definition d ON d.tenant_id = v.tenant_id AND d.id = v.definition_id \
         LEFT JOIN tool l ON l.tenant_id = v.tenant_id AND l.id = v.tool_id) w WHERE true \
         ON CONFLICT DO NOTHING RETURNING id, status",
        rows = dialect.rows(1, &COLUMNS),
        no = dialect.literal(false),
    )
}

/// Inserts the runs and their first events. A run that is not in the answer was not inserted: its
/// tenant is not active, or a live run has its dedupe key, or its id exists from an earlier try.
pub async fn create(tx: &SystemTx, runs: &[&NewRun]) -> Result<HashMap<uuid::Uuid, Model>, DbErr> {
    let runs = super::keys::with_reasons(tx, runs).await?;
    let sql = statement(tx.dialect());
    let inserted = tx.query(&sql, tx.dialect().bind(&COLUMNS, &runs)).await?;
    let mut statuses: HashMap<uuid::Uuid, RunStatus> = HashMap::with_capacity(inserted.len());
    for found in inserted {
        statuses.insert(found.try_get("", "id")?, found.try_get("", "status")?);
    }
    let mut created = HashMap::with_capacity(statuses.len());
    let mut events: Vec<run_event::Model> = Vec::with_capacity(statuses.len() * 2);
    for new in &runs {
        let Some(status) = statuses.get(&new.run.id) else { continue };
        let run = as_inserted(new, *status);
        events.push(event(
            run.tenant_id,
            run.id,
            1,
            "run.created",
            json!({ "reason": new.run.reason, "by": run.created_by, "requestId": new.request_id }),
            run.created_at,
        ));
        if *status == RunStatus::Running {
            events.push(event(
                run.tenant_id,
                run.id,
                2,
                "run.started",
                json!({ "attempt": 1 }),
                run.created_at,
            ));
        }
        created.insert(run.id, run);
    }
    super::append_events(tx, &events).await?;
    Ok(created)
}

fn as_inserted(new: &NewRun, status: RunStatus) -> Model {
    let mut run = new.run.clone();
    run.event_seq = 1;
    if let Some(born) = new.born.filter(|_| status == RunStatus::Running) {
        run.status = RunStatus::Running;
        run.reason = RunReason::Executing;
        run.attempt = 1;
        run.fence = 1;
        run.event_seq = 2;
        run.lease_owner = Some(born.owner);
        run.lease_expires_at = Some(born.lease_expires_at);
        run.attempt_deadline_at = Some(born.attempt_deadline_at);
        run.deadline_at = Some(born.deadline_at);
        run.started_at = Some(run.created_at);
    }
    run
}
