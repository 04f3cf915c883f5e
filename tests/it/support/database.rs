//! A database for each test: a copy of one that was migrated once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use secrecy::SecretString;
use service::db::{DatabaseConfig, Db};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::sync::OnceCell;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// Stands in the name of each test's database, with the process's id.
static NEXT: AtomicU32 = AtomicU32::new(0);

pub async fn fresh(backend: Backend, folder: &Path) -> DatabaseConfig {
    match backend {
        Backend::Sqlite => sqlite(folder).await,
        Backend::Postgres => postgres().await,
    }
}

/// A database that nobody has migrated.
pub async fn empty(backend: Backend, folder: &Path) -> DatabaseConfig {
    match backend {
        Backend::Sqlite => config(format!("sqlite://{}", folder.join("mission-control.db").display())),
        Backend::Postgres => {
            let name = next_name();
            create(&format!("CREATE DATABASE {name}")).await;
            config(named(&name))
        }
    }
}

fn config(url: String) -> DatabaseConfig {
    DatabaseConfig { url: SecretString::from(url), max_connections: 10 }
}

async fn sqlite(folder: &Path) -> DatabaseConfig {
    static TEMPLATE: OnceCell<PathBuf> = OnceCell::const_new();
    let template = TEMPLATE
        .get_or_init(|| async {
            let path =
                std::env::temp_dir().join(format!("mission-control-template-{}.db", std::process::id()));
            let db = Db::connect(&config(format!("sqlite://{}", path.display()))).await.unwrap();
            db.migrate().await.unwrap();
            db.close().await;
            path
        })
        .await;
    let path = folder.join("mission-control.db");
    std::fs::copy(template, &path).unwrap();
    config(format!("sqlite://{}", path.display()))
}

async fn postgres() -> DatabaseConfig {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let template = TEMPLATE
        .get_or_init(|| async {
            let name = format!("mc_template_{}", std::process::id());
            create(&format!("CREATE DATABASE {name}")).await;
            let db = Db::connect(&config(named(&name))).await.unwrap();
            db.migrate().await.unwrap();
            db.close().await;
            name
        })
        .await;
    let name = next_name();
    create(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
    config(named(&name))
}

fn next_name() -> String {
    format!("mc_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The server that `tests/run` started, or the caller's.
fn server() -> String {
    std::env::var("TEST_DATABASE_URL")
        .expect("TEST_DATABASE_URL names a PostgreSQL server; tests/run starts one")
}

fn named(database: &str) -> String {
    let mut url = url::Url::parse(&server()).unwrap();
    url.set_path(database);
    url.to_string()
}

async fn create(sql: &str) {
    // Two copies of one template at once are refused.
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = TURN.lock().await;
    let mut connection = PgConnection::connect(&server()).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}
