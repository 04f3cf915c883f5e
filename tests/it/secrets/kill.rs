//! Proof: `kill -9` in the middle of a rotation loses nothing. Whatever is stored opens with the keys that the
//! serving node has, and the next rotation ends the work.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::json;
use service::clock::Clock;
use service::db::{Db, Reason};
use service::ids::Ids;
use service::secrets::{MasterKeys, Place, rotation};
use uuid::Uuid;

use crate::support::process::{Home, free_port};
use crate::support::{Backend, database, first_tenant};

const KILLS: u32 = 12;
const SECRETS: u32 = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    survive(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    survive(Backend::Postgres).await;
}

async fn survive(backend: Backend) {
    let dice = Ids::random(Clock::system());
    let folder = tempfile::tempdir().unwrap();
    let home = Home {
        folder: folder.path().to_owned(),
        database: database::fresh(backend, folder.path()).await,
        private_hosts: "127.0.0.1".to_owned(),
        lease_seconds: 30,
        concurrency: 4,
    };
    let process = home.start(free_port()).await;
    let acme = first_tenant(&process.url).await;
    let db = Db::connect_beside(&home.database).await.unwrap();
    fill(&db, &keys(folder.path())).await;

    for _ in 0..KILLS {
        let mut rotation = home.command("keys").arg("rotate").stdout(Stdio::null()).spawn().unwrap();
        // Not to wait for something: to fall into the middle of it.
        tokio::time::sleep(Duration::from_millis(dice.below(2_000))).await;
        let _ = rotation.kill();
        rotation.wait().unwrap();
        all_open(&db, &keys(folder.path())).await;
        let key = json!({ "name": "meanwhile", "scopes": ["*"] });
        acme.owner.post_once("/v1/api-keys", &dice.next().to_string(), key).await.expect(201);
    }

    let ended = home.command("keys").arg("rotate").stdout(Stdio::null()).status().unwrap();
    assert!(ended.success());
    all_open(&db, &keys(folder.path())).await;
    let counts = rotation::counts(&db).await.unwrap();
    let first = counts[0].version;
    assert!(first > 1 && counts.iter().all(|count| count.version == first), "{counts:?}");
    println!("{KILLS} kills, {SECRETS} secrets, all under v{first}");
}

fn keys(folder: &Path) -> MasterKeys {
    MasterKeys::from_env_or_file(None, &folder.join("master.key"), &Ids::random(Clock::system())).unwrap()
}

fn place(row: Uuid) -> Place {
    Place { tenant: Uuid::nil(), table: "mail", column: "sealed", row }
}

async fn fill(db: &Db, keys: &MasterKeys) {
    let ids = Ids::random(Clock::system());
    let now = Clock::system().now();
    let tx = db.system(Reason::Operations).begin().await.unwrap();
    let sql = "INSERT INTO mail (id, kind, recipient, subject, sealed, status, attempts, next_attempt_at, \
         expires_at, revision, created_at, updated_at) \
         VALUES ($1, 'SECURITY_NOTICE', 'ada@example.org', '', $2, 'KEPT', 0, $3, $3, 1, $3, $3)";
    for _ in 0..SECRETS {
        let id = ids.next();
        let sealed = keys.seal(&place(id), id.to_string().as_bytes()).unwrap();
        tx.execute(sql, vec![id.into(), sealed.into(), now.into()]).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn all_open(db: &Db, keys: &MasterKeys) {
    let sql = "SELECT id, sealed FROM mail WHERE subject = ''";
    let rows = db.system(Reason::Operations).query(sql, Vec::new()).await.unwrap();
    assert_eq!(rows.len(), SECRETS as usize);
    for row in rows {
        let (id, sealed): (Uuid, Vec<u8>) =
            (row.try_get("", "id").unwrap(), row.try_get("", "sealed").unwrap());
        assert_eq!(keys.open_text(&place(id), &sealed).unwrap().expose_secret(), id.to_string());
    }
}
