//! FAILED or CANCELLED → PENDING for the children of a run that is retried: below a graph, or a tool that is an
//! agent, all that failed (but for those whose failure is tolerated), and below any run those that only ended
//! because it did. The rest of a tree is kept as it is: what an agent was told of a call stays what it was told.

use chrono::{DateTime, Utc};
use entity::tasks::task_run;
use sea_orm::{DbErr, FromQueryResult as _};
use serde_json::json;
use uuid::Uuid;

use super::{PLACE, Place};
use crate::db::SystemTx;
use crate::engine::transitions::{
    MOST_LOST, NEXT_START, SECONDS_PER_PRIORITY, SUSPECT, append_events, event, order_key, undecided,
};

/// What is queued again.
pub async fn restart(tx: &SystemTx, mut parents: Vec<Place>, now: DateTime<Utc>) -> Result<Vec<Uuid>, DbErr> {
    let dialect = tx.dialect();
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT c.tenant_id, c.id FROM {rows} \
         JOIN task_run p ON p.tenant_id = v.tenant_id AND p.id = v.id \
         JOIN task_run c ON c.tenant_id = p.tenant_id AND c.parent_run_id = p.id \
         WHERE c.status IN ('FAILED', 'CANCELLED') \
         AND (c.reason = 'BY_PARENT' OR (p.agent_id IS NULL AND COALESCE({tolerated}, '') NOT IN ('1', 'true')))\
         {lock}) \
         UPDATE task_run SET status = 'PENDING', reason = 'QUEUED', completed_at = NULL, error = NULL, \
         cancel_requested_at = NULL, cancel_reason = NULL, failures = 0, deadline_at = NULL, \
         lost_count = CASE WHEN lost_count >= {MOST_LOST} THEN {SUSPECT} ELSE 0 END, \
         settled = {no}, available_at = $1, queued_at = $1, order_key = $2 - priority * {point}, \
         queue_expires_at = {expiry}, event_seq = event_seq + 1, updated_at = $1 \
         WHERE status IN ('FAILED', 'CANCELLED') AND {undecided} \
         AND (tenant_id, id) IN (SELECT tenant_id, id FROM picked) RETURNING *",
        no = dialect.literal(false),
        // A JSON `true` as text, as either database writes it.
        tolerated = dialect.json_text("c.policy", &["tolerated"]),
        point = SECONDS_PER_PRIORITY * 1_000_000,
        expiry = dialect.after_seconds("$1", NEXT_START),
        undecided = undecided(dialect),
        rows = dialect.rows(3, &PLACE),
        lock = dialect.skip_locked_of("c"),
    );
    let mut restarted = Vec::new();
    while !parents.is_empty() {
        let mut values = vec![now.into(), order_key(now, 0).into()];
        values.extend(dialect.bind(&PLACE, &parents));
        let mut events = Vec::new();
        parents.clear();
        for row in tx.query(&sql, values).await? {
            let run = task_run::Model::from_query_result(&row, "")?;
            let data = json!({ "by": "parent" });
            events.push(event(run.tenant_id, run.id, run.event_seq, "run.retried", data, now));
            if run.children > 0 {
                parents.push((run.tenant_id, run.id));
            }
            restarted.push(run.id);
        }
        append_events(tx, &events).await?;
    }
    Ok(restarted)
}
