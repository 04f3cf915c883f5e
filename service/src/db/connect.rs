//! Opening the database with the settings that its promises need: a 2xx means durable storage.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DbBackend, SqlxPostgresConnector, SqlxSqliteConnector,
    Statement,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Db, Dialect, Pools, Statements};
use crate::error::{Error, Result};

/// SQLite below this can lose committed writes in a checkpoint race.
const SQLITE_MINIMUM: (u32, u32, u32) = (3, 51, 3);
const SQLITE_READERS: u32 = 6;
/// Beside the pool of the configured size.
const ENGINE_CONNECTIONS: u32 = 6;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);
/// A burst on SQLite waits for the one writer; shedding happens before this.
const SQLITE_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the state is kept: `sqlite://path` or `postgres://…`.
#[derive(Clone)]
pub struct DatabaseConfig {
    pub url: SecretString,
    /// Size of the PostgreSQL pool.
    pub max_connections: u32,
}

impl DatabaseConfig {
    /// An embedded database.
    pub fn of_file(path: &Path) -> Self {
        let url = format!("sqlite://{}", path.display());
        Self { url: SecretString::from(url), max_connections: 1 }
    }

    /// The file of an embedded database, held as its server holds it.
    ///
    /// # Errors
    /// [`Error::Invalid`] on PostgreSQL; [`Error::Internal`] while a server uses the file.
    pub fn lock_file(&self) -> Result<(PathBuf, std::fs::File)> {
        let Some(path) = self.url.expose_secret().strip_prefix("sqlite:") else {
            let message = "PostgreSQL has its own tools for this: see docs/operating.md.";
            return Err(Error::invalid("DATABASE_URL", "not_sqlite", message));
        };
        let path = file(Path::new(path.trim_start_matches("//")))?;
        let lock = lock(&path)?;
        Ok((path, lock))
    }
}

impl Db {
    /// As the one server of a SQLite file, or as one of several of a PostgreSQL database.
    pub async fn connect(config: &DatabaseConfig) -> Result<Self> {
        Self::open(config, Role::Server).await
    }

    /// Beside the server of a SQLite file, which must exist: for a command that works on what is served.
    pub async fn connect_beside(config: &DatabaseConfig) -> Result<Self> {
        Self::open(config, Role::Beside).await
    }

    /// A copy that nobody serves, for reading only: it stays byte for byte what it is.
    pub async fn open_copy(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
        let connection = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.map_err(Error::internal)?);
        let pools = Pools {
            writer: connection.clone(),
            reader: connection,
            engine: None,
            listener: None,
            dialect: Dialect::Sqlite,
            writes: AtomicU64::default(),
            _lock: None,
        };
        Ok(Self { inner: Arc::new(pools) })
    }

    async fn open(config: &DatabaseConfig, role: Role) -> Result<Self> {
        let url = config.url.expose_secret();
        if let Some(path) = url.strip_prefix("sqlite:") {
            sqlite(Path::new(path.trim_start_matches("//")), role).await
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            postgres(url, config.max_connections).await
        } else {
            Err(Error::internal("DATABASE_URL must start with sqlite:// or postgres://"))
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Server,
    Beside,
}

async fn sqlite(path: &Path, role: Role) -> Result<Db> {
    let path = file(path)?;
    let lock = match role {
        Role::Server => Some(lock(&path)?),
        Role::Beside if path.exists() => None,
        Role::Beside => return Err(Error::internal(format!("there is no database at {}", path.display()))),
    };
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(role == Role::Server)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true)
        .statement_cache_capacity(500)
        .pragma("cache_size", "-16384")
        .pragma("mmap_size", "2147418112")
        .pragma("temp_store", "MEMORY");
    let of = |size| {
        let pool = SqlitePoolOptions::new().max_connections(size);
        pool.acquire_timeout(SQLITE_ACQUIRE_TIMEOUT).test_before_acquire(false)
    };
    let writer = of(1).connect_with(options.clone()).await.map_err(|cause| {
        Error::internal(format!(
            "{} cannot be opened as a SQLite database: {cause}. Check DATABASE_URL or MC_DATA_DIR.",
            path.display()
        ))
    })?;
    let reader = of(SQLITE_READERS).connect_lazy_with(options.pragma("query_only", "ON"));
    let writer = counted(SqlxSqliteConnector::from_sqlx_sqlite_pool(writer));
    refuse_old_sqlite(&writer).await?;
    let reader = counted(SqlxSqliteConnector::from_sqlx_sqlite_pool(reader));
    Ok(Db {
        inner: Arc::new(Pools {
            writer,
            reader,
            engine: None,
            listener: None,
            dialect: Dialect::Sqlite,
            writes: AtomicU64::default(),
            _lock: lock,
        }),
    })
}

/// The file that a URL names, in a folder that exists.
fn file(path: &Path) -> Result<PathBuf> {
    let file = path.to_str().map(|text| text.split('?').next().unwrap_or(text)).unwrap_or_default();
    if file.is_empty() || file.contains(":memory:") {
        return Err(Error::internal(
            "DATABASE_URL must name a SQLite file, such as sqlite://data/mission-control.db",
        ));
    }
    let path = PathBuf::from(file);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|cause| not_writable(folder, &cause))?;
    }
    Ok(path)
}

fn not_writable(path: impl AsRef<Path>, cause: &std::io::Error) -> Error {
    Error::internal(format!(
        "{} cannot be written: {cause}. Name a folder in MC_DATA_DIR (or a file in DATABASE_URL) that this user may write.",
        path.as_ref().display()
    ))
}

/// Two servers on one file would each believe to be alone; the second is refused.
fn lock(database: &Path) -> Result<std::fs::File> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let file = std::fs::File::create(PathBuf::from(&path)).map_err(|cause| not_writable(&path, &cause))?;
    file.try_lock().map_err(|_| {
        Error::internal(format!(
            "another process serves {}: stop it, or use PostgreSQL to run several nodes",
            database.display()
        ))
    })?;
    Ok(file)
}

async fn refuse_old_sqlite(connection: &DatabaseConnection) -> Result<()> {
    let row = connection
        .query_one_raw(Statement::from_string(DbBackend::Sqlite, "SELECT sqlite_version() AS version"))
        .await
        .map_err(Error::internal)?;
    let version: String =
        row.map(|row| row.try_get("", "version")).transpose().map_err(Error::internal)?.unwrap_or_default();
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if found < SQLITE_MINIMUM {
        return Err(Error::internal(format!(
            "SQLite {version} can lose committed writes: 3.51.3 or newer is needed"
        )));
    }
    Ok(())
}

async fn postgres(url: &str, max_connections: u32) -> Result<Db> {
    // The parser's error repeats the URL, and with it the password.
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| Error::internal("DATABASE_URL is not a valid PostgreSQL URL"))?
        .application_name("mission-control")
        .options([
            ("idle_in_transaction_session_timeout", "30s"),
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            // Every statement finds its rows by an index. Plans are kept, and one that was made while a
            // table was empty would read the whole of it, or sort it for a join, long after it grew.
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("jit", "off"),
        ]);
    let of = |size| {
        let pool = PgPoolOptions::new().max_connections(size);
        pool.acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false)
    };
    let pool = of(max_connections).min_connections(2).connect_with(options.clone()).await;
    let pool = pool.map_err(|cause| {
        Error::internal(format!(
            "the PostgreSQL server that DATABASE_URL names gives no connection: {cause}. Check that it runs, and the \
             host, port, database, user and password of the URL."
        ))
    })?;
    let engine = of(ENGINE_CONNECTIONS).connect_lazy_with(options.clone());
    let listener = of(1).min_connections(0).connect_lazy_with(options);
    refuse_unsafe_postgres(&pool).await?;
    let connection = counted(SqlxPostgresConnector::from_sqlx_postgres_pool(pool));
    let pools = Pools {
        writer: connection.clone(),
        reader: connection,
        engine: Some(SqlxPostgresConnector::from_sqlx_postgres_pool(engine)),
        listener: Some(listener),
        dialect: Dialect::Postgres,
        writes: AtomicU64::default(),
        _lock: None,
    };
    Ok(Db { inner: Arc::new(pools) })
}

/// The connection of requests, whose statements their log lines count.
fn counted(mut connection: DatabaseConnection) -> DatabaseConnection {
    connection.set_metric_callback(|_| Statements::add_one());
    connection
}

async fn refuse_unsafe_postgres(pool: &sea_orm::sqlx::PgPool) -> Result<()> {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value: String = sea_orm::sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(pool)
            .await
            .map_err(Error::internal)?;
        // `synchronous_commit` may also be `local`, `remote_write` or `remote_apply`.
        if value == "off" {
            return Err(Error::internal(format!(
                "PostgreSQL runs with {setting} = {value}: turn it on, or work is lost in a crash"
            )));
        }
    }
    Ok(())
}
