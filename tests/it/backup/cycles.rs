//! Proof: a backup under write load is one moment of the database. Everything that was acknowledged before it
//! began is in it, and no transaction is in it by half.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use serde_json::json;
use service::backup::{self, Existing};
use service::db::{DatabaseConfig, Db, Reason};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{App, Backend, Client};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_backups_under_load() {
    cycles(5).await;
}

/// `cargo test -p tests --test it -- --ignored a_hundred_backups_under_load`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute"]
async fn a_hundred_backups_under_load() {
    cycles(100).await;
}

/// Writes without pause, and remembers what was acknowledged.
async fn write(owner: Client, definition: String, done: Arc<Mutex<Vec<Uuid>>>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let key = json!({ "name": "written", "scopes": ["*"] });
        let made = owner.post("/v1/api-keys", key).await.expect(201);
        owner.post("/v1/task-runs", json!({ "definitionId": definition })).await.expect(201);
        done.lock().unwrap().push(made["id"].as_str().unwrap().parse().unwrap());
    }
}

async fn cycles(count: u32) {
    let app = App::start(Backend::Sqlite).await;
    let done = Arc::new(Mutex::new(Vec::new()));
    let stop = CancellationToken::new();
    let mut writers = Vec::new();
    for tenant in [&app.acme, &app.rival] {
        let tool = tenant.builtin("echo", "builtin/echo").await;
        let definition = tenant.definition("echo", json!({ "toolId": tool })).await;
        let write = write(tenant.owner.clone(), definition, done.clone(), stop.clone());
        writers.push(tokio::spawn(write));
    }
    let (clock, ids) = (&app.core.clock, &app.core.ids);
    let served = Db::connect_beside(&app.core.config.database).await.unwrap();
    let mut sizes = Vec::new();
    for cycle in 0..count {
        let before: Vec<Uuid> = done.lock().unwrap().clone();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup");
        let taken = backup::take(&served, &file, Existing::Refuse, clock).await.unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let config = DatabaseConfig::of_file(&folder.path().join("restored.db"));
        let restored = backup::restore(&file, &config, Existing::Refuse, clock, ids).await.unwrap();
        assert_eq!(restored.manifest, taken);
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 3, "the backup, the database and its lock: {left:?}");

        let copy = Db::connect_beside(&config).await.unwrap();
        let found = ids_of(&copy, "SELECT id FROM api_key").await;
        let lost: Vec<_> = before.iter().filter(|id| !found.contains(id)).collect();
        assert!(lost.is_empty(), "cycle {cycle}: acknowledged and not in the backup: {lost:?}");
        let recorded = "SELECT resource_id AS id FROM audit_log WHERE action = 'create_api_key' AND outcome = 'SUCCEEDED'";
        assert_eq!(
            found,
            ids_of(&copy, recorded).await,
            "cycle {cycle}: a key without its audit row, or the reverse"
        );
        let halves = "SELECT id FROM task_run r WHERE NOT EXISTS (SELECT 1 FROM run_event e \
             WHERE e.tenant_id = r.tenant_id AND e.run_id = r.id AND e.seq = 1)";
        assert!(ids_of(&copy, halves).await.is_empty(), "cycle {cycle}: a run without its first event");
        let live = "SELECT id FROM session WHERE revoked_at IS NULL";
        assert!(ids_of(&copy, live).await.is_empty(), "sessions of the former life");
        copy.close().await;
        sizes.push(before.len());
    }
    stop.cancel();
    for writer in writers {
        writer.await.unwrap();
    }
    served.close().await;
    assert!(sizes.first() < sizes.last(), "something was written meanwhile");
    println!(
        "{count} backups, restored and checked; {} acknowledged writes at the last",
        sizes.last().unwrap()
    );
}

async fn ids_of(db: &Db, sql: &str) -> HashSet<Uuid> {
    let rows = db.system(Reason::Operations).query(sql, Vec::new()).await.unwrap();
    rows.iter().map(|row| row.try_get("", "id").unwrap()).collect()
}
