//! Many schedules that are due at one instant.

use sea_orm::Value;
use serde_json::json;
use service::db::{Column, Kind, Reason};
use service::tasks::scheduled_tasks::round;
use uuid::Uuid;

use super::{Stage, seconds};
use crate::support::App;

/// `MC_HERD` overrides it.
const HERD: usize = 1_500;

fn size() -> usize {
    std::env::var("MC_HERD").ok().and_then(|size| size.parse().ok()).unwrap_or(HERD)
}

/// So many more of a schedule, as if people had made them.
pub(super) async fn multiply(app: &App, schedule: &str, count: usize) {
    let ids: Vec<(Uuid, String)> = (0..count).map(|n| (app.core.ids.next(), format!("copy {n}"))).collect();
    let columns: [Column<(Uuid, String)>; 2] = [
        Column::new("copy_id", Kind::Uuid, |copy| copy.0.into()),
        Column::new("copy_name", Kind::Text, |copy| copy.1.clone().into()),
    ];
    let tx = app.core.db.system(Reason::Operations).begin().await.unwrap();
    let same = "workspace_id, definition_id, is_owned, schedule_type, recurrence, run_at, delay_seconds, input, \
         overlap, catchup, catchup_window_seconds, jitter_seconds, starts_at, ends_at, status, status_reason, \
         status_note, retry_count, max_retries, next_due_at, next_fire_at, last_due_at, created_by, metadata, \
         revision, created_at, updated_at, deleted_at";
    let rows = tx.dialect().rows(2, &columns);
    let sql = format!(
        "INSERT INTO scheduled_task (tenant_id, id, name, {same}) SELECT tenant_id, copy_id, copy_name, {same} \
         FROM scheduled_task s, {rows} WHERE s.id = $1"
    );
    for some in ids.chunks(500) {
        let id: Uuid = schedule.parse().unwrap();
        let values = [vec![Value::from(id)], tx.dialect().bind(&columns, some)].concat();
        tx.execute(&sql, values).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// The one number that a statement answers with.
pub(super) async fn number(app: &App, sql: &str) -> i64 {
    let rows = app.core.db.system(Reason::Operations).query(sql, Vec::new()).await.unwrap();
    rows[0].try_get("", "number").unwrap()
}

on_both! {
    manual;

    async fn all_have_fire_records_and_runs(app: App) {
        let stage = Stage::of(&app).await;
        let id = stage.create("first", json!({ "recurrence": { "cron": "0 0 * * *" } })).await;
        let herd = size();
        multiply(&app, &id, herd - 1).await;
        app.core.clock.advance(seconds(86_400));
        round(&app.core).await.unwrap();
        let count = "SELECT COUNT(*) AS number FROM schedule_fire f JOIN task_run r ON r.tenant_id = f.tenant_id \
             AND r.id = f.run_id WHERE f.status = 'STARTED'";
        // The loop of the server fires beside.
        crate::support::eventually("all have fired", async || number(&app, count).await == i64::try_from(herd).unwrap()).await;
        assert_eq!(number(&app, "SELECT COUNT(*) AS number FROM schedule_fire").await, i64::try_from(herd).unwrap());
        assert_eq!(number(&app, "SELECT COUNT(*) AS number FROM task_run").await, i64::try_from(herd).unwrap());
    }
}
