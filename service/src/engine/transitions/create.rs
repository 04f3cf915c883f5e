//! – → PENDING, or straight to RUNNING where the creating node has a free slot ("born running").

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::tasks::run_event;
use entity::tasks::task_run::{Model, RunReason, RunStatus};
use sea_orm::{ActiveEnum as _, DbErr};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{array, event};
use crate::db::dialect::time_text;
use crate::db::{Column, ColumnType, Dialect, SystemTx};

use ColumnType::{Bool, Int, Json as JsonType, Text, Time, Uuid as UuidType};

/// A lease that the run is born with if its agent may start now.
#[derive(Clone, Copy, Debug)]
pub struct Born {
    pub owner: Uuid,
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

const COLUMNS: [Column; 26] = [
    Column("tenant_id", UuidType),
    Column("id", UuidType),
    Column("definition_id", UuidType),
    Column("agent_id", UuidType),
    Column("agent_version", Int),
    Column("tool_id", UuidType),
    Column("lane_id", UuidType),
    Column("reason", Text),
    Column("input", JsonType),
    Column("policy", JsonType),
    Column("priority", Int),
    Column("order_key", Int),
    Column("available_at", Time),
    Column("queue_expires_at", Time),
    Column("parent_run_id", UuidType),
    Column("root_run_id", UuidType),
    Column("replay_of", UuidType),
    Column("dedupe_key", Text),
    Column("created_by", Text),
    Column("metadata", JsonType),
    Column("created_at", Time),
    Column("born", Bool),
    Column("lease_owner", UuidType),
    Column("lease_expires_at", Time),
    Column("attempt_deadline_at", Time),
    Column("deadline_at", Time),
];

fn row(new: &NewRun) -> Json {
    let run = &new.run;
    json!({
        "tenant_id": run.tenant_id, "id": run.id, "definition_id": run.definition_id, "agent_id": run.agent_id,
        "agent_version": run.agent_version, "tool_id": run.tool_id, "lane_id": run.lane_id,
        "reason": run.reason.to_value(), "input": run.input, "policy": run.policy, "priority": run.priority,
        "order_key": run.order_key, "available_at": time_text(run.available_at),
        "queue_expires_at": time_text(run.queue_expires_at), "parent_run_id": run.parent_run_id,
        "root_run_id": run.root_run_id, "replay_of": run.replay_of, "dedupe_key": run.dedupe_key,
        "created_by": run.created_by, "metadata": run.metadata, "created_at": time_text(run.created_at),
        "born": new.born.is_some(), "lease_owner": new.born.map(|born| born.owner),
        "lease_expires_at": new.born.map(|born| time_text(born.lease_expires_at)),
        "attempt_deadline_at": new.born.map(|born| time_text(born.attempt_deadline_at)),
        "deadline_at": new.born.map(|born| time_text(born.deadline_at)),
    })
}

fn statement(dialect: Dialect) -> String {
    // JSON null and SQL NULL are one: an input of `null` is stored as the JSON text.
    let null = dialect.json("null");
    format!(
        "INSERT INTO task_run (tenant_id, id, definition_id, agent_id, agent_version, tool_id, lane_id, status, reason, \
         input, policy, priority, order_key, available_at, queue_expires_at, parent_run_id, root_run_id, replay_of, \
         dedupe_key, created_by, metadata, created_at, updated_at, queued_at, attempt, failures, lost_count, fence, \
         lease_owner, lease_expires_at, attempt_deadline_at, deadline_at, started_at, event_seq, step_count, \
         tokens_input, tokens_cache_read, tokens_cache_write, tokens_output, tokens_reasoning, cost_nanos, \
         child_cost_nanos, unpriced, queue_ms, waiting_ms) \
         SELECT tenant_id, id, definition_id, agent_id, agent_version, tool_id, lane_id, \
         CASE WHEN go THEN 'RUNNING' ELSE 'PENDING' END, CASE WHEN go THEN 'EXECUTING' ELSE reason END, \
         COALESCE(input, {null}), policy, priority, order_key, available_at, queue_expires_at, parent_run_id, \
         root_run_id, replay_of, dedupe_key, created_by, metadata, created_at, created_at, created_at, \
         CASE WHEN go THEN 1 ELSE 0 END, 0, 0, CASE WHEN go THEN 1 ELSE 0 END, \
         CASE WHEN go THEN lease_owner END, CASE WHEN go THEN lease_expires_at END, \
         CASE WHEN go THEN attempt_deadline_at END, CASE WHEN go THEN deadline_at END, \
         CASE WHEN go THEN created_at END, CASE WHEN go THEN 2 ELSE 1 END, 0, \
         0, 0, 0, 0, 0, 0, 0, {no}, 0, 0 \
         FROM (SELECT v.*, (v.born AND (a.id IS NULL OR (a.status = 'ACTIVE' AND a.max_concurrent IS NULL))) AS go \
         FROM {rows} JOIN tenant t ON t.id = v.tenant_id AND t.status = 'ACTIVE' \
         LEFT JOIN agent a ON a.tenant_id = v.tenant_id AND a.id = v.agent_id) w WHERE true \
         ON CONFLICT DO NOTHING RETURNING id, status",
        rows = dialect.rows(1, &COLUMNS),
        no = dialect.literal(false),
    )
}

/// Inserts the runs and their first events. A run that is not in the answer was not inserted: its
/// tenant is not active, or a live run has its dedupe key, or its id exists from an earlier try.
pub async fn create(tx: &SystemTx, runs: &[NewRun]) -> Result<HashMap<Uuid, Model>, DbErr> {
    let sql = statement(tx.dialect());
    let inserted = tx.query(&sql, vec![array(runs.iter().map(row).collect())]).await?;
    let mut statuses: HashMap<Uuid, RunStatus> = HashMap::with_capacity(inserted.len());
    for found in inserted {
        statuses.insert(found.try_get("", "id")?, found.try_get("", "status")?);
    }
    let mut created = HashMap::with_capacity(statuses.len());
    let mut events: Vec<run_event::Model> = Vec::with_capacity(statuses.len() * 2);
    for new in runs {
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
