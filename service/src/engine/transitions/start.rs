//! PENDING → RUNNING, and the renewal of leases.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::tasks::task_run::{self, RunReason};
use sea_orm::{DbErr, FromQueryResult as _};
use serde_json::json;
use uuid::Uuid;

use super::queue::{Queue, Taken};
use super::{LOWEST_PRIORITY, SUSPECT, event, is, order_key};
use crate::db::{Column, Kind, SystemTx};

/// Claims up to `most` due runs of one queue, the ones in front first. The caller holds the locks of its lane
/// and of its key, where they have a limit.
pub async fn claim_queue(
    tx: &SystemTx,
    queue: Queue<'_>,
    most: u64,
    owner: Uuid,
    now: DateTime<Utc>,
    lease: Duration,
) -> Result<Vec<task_run::Model>, DbErr> {
    let dialect = tx.dialect();
    let Queue { tenant, lane, key, .. } = queue;
    let lease_end = now + chrono::TimeDelta::from_std(lease).unwrap_or_default();
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    // What is due stands before this, so that a million delayed runs are not looked at.
    let last_due = order_key(now, LOWEST_PRIORITY);
    let mut values = vec![
        tenant.into(),
        lane.into(),
        now.into(),
        limit.into(),
        owner.into(),
        lease_end.into(),
        last_due.into(),
        key.into(),
    ];
    let Taken { indexed, unindexed } = queue.taken(&mut values);
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT tenant_id, id FROM task_run \
         WHERE status = 'PENDING' AND {indexed} AND tenant_id = $1 AND lane_id = $2 AND concurrency_key = $8 \
         AND available_at <= $3 AND order_key <= $7 \
         AND NOT EXISTS (SELECT 1 FROM agent a WHERE a.tenant_id = $1 AND a.id = $2 AND a.status <> 'ACTIVE') \
         AND NOT EXISTS (SELECT 1 FROM task_definition d WHERE d.tenant_id = $1 AND d.id = task_run.definition_id AND d.paused_at IS NOT NULL) \
         AND (lost_count < {SUSPECT} OR {alone}) ORDER BY order_key, id LIMIT $4{lock}) \
         UPDATE task_run SET status = 'RUNNING', reason = 'EXECUTING', fence = fence + 1, attempt = attempt + 1, \
         lease_owner = $5, lease_expires_at = $6, client_seq = 0, \
         started_at = COALESCE(started_at, $3), \
         attempt_deadline_at = {attempt_end}, \
         deadline_at = COALESCE(deadline_at, {total_end}), \
         queue_ms = queue_ms + {queued}, event_seq = event_seq + 1, updated_at = $3 \
         WHERE {pending} AND (tenant_id, id) IN (SELECT tenant_id, id FROM picked) RETURNING *",
        pending = is("PENDING"),
        alone = alone(&unindexed),
        lock = dialect.skip_locked(),
        attempt_end = dialect.after_seconds("$3", &policy_seconds(dialect, "attemptSeconds", 600)),
        total_end = dialect.after_seconds("$3", &policy_seconds(dialect, "totalSeconds", 3600)),
        queued = dialect.greatest("0", &dialect.millis_between("queued_at", "$3")),
    );
    let rows = tx.query(&sql, values).await?;
    let mut runs = Vec::with_capacity(rows.len());
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        let run = task_run::Model::from_query_result(&row, "")?;
        events.push(event(
            tenant,
            run.id,
            run.event_seq,
            "run.started",
            json!({ "attempt": run.attempt }),
            now,
        ));
        runs.push(run);
    }
    super::append_events(tx, &events).await?;
    runs.sort_by_key(|run| (run.order_key, run.id));
    Ok(runs)
}

/// That a run which lost executors may start: it is the first such one of its queue, and its executor has no other.
/// So an executor that vanishes again tells the guilty from those that were beside it, and one crash ends at most
/// one run. A suspect that gets on is none any more.
fn alone(taken: &str) -> String {
    format!(
        "(id = (SELECT p.id FROM task_run p WHERE p.status = 'PENDING' AND p.lost_count >= {SUSPECT} \
          AND p.tenant_id = $1 AND p.lane_id = $2 AND p.concurrency_key = $8 AND p.available_at <= $3 AND {taken} \
          ORDER BY p.order_key, p.id LIMIT 1) \
         AND NOT EXISTS (SELECT 1 FROM task_run s WHERE s.status = 'RUNNING' AND s.lost_count >= {SUSPECT} \
          AND s.lease_owner = $5))"
    )
}

/// A time-out of the run's stored policy, whose defaults are not stored.
fn policy_seconds(dialect: crate::db::Dialect, name: &str, default: u32) -> String {
    format!("COALESCE({}, {default})", dialect.json_int("policy", &["timeouts", name]))
}

/// Pushes the ends of the given leases to `until`. The answer holds those that are still held, and
/// whether their cancel was asked for: then that is their reason.
pub async fn renew(
    tx: &SystemTx,
    owner: Uuid,
    leases: &[(Uuid, Uuid, i64)],
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<HashMap<Uuid, RunReason>, DbErr> {
    let columns: [Column<(Uuid, Uuid, i64)>; 3] = [
        Column::new("tenant_id", Kind::Uuid, |lease| lease.0.into()),
        Column::new("id", Kind::Uuid, |lease| lease.1.into()),
        Column::new("fence", Kind::Int, |lease| lease.2.into()),
    ];
    let sql = format!(
        "UPDATE task_run AS r SET lease_expires_at = $2 FROM {} \
         WHERE r.tenant_id = v.tenant_id AND r.id = v.id AND r.{} AND r.fence = v.fence \
         AND r.lease_owner = $3 AND r.lease_expires_at > $1 {}",
        tx.dialect().rows(4, &columns),
        is("RUNNING"),
        tx.dialect().returning_of("r"),
    );
    let mut values = vec![now.into(), until.into(), owner.into()];
    values.extend(tx.dialect().bind(&columns, leases));
    let kept = tx.query(&sql, values).await?;
    kept.iter().map(|row| Ok((row.try_get("", "id")?, row.try_get("", "reason")?))).collect()
}
