//! Whether the database can be used, asked at most once a second however many ask for it.

use std::time::Duration;

use service::db::Db;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

const FRESH: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy)]
pub struct Database {
    pub answers: bool,
    pub is_migrated: bool,
}

/// The last look at the database.
#[derive(Default)]
pub struct Health(Mutex<Option<(Instant, Database)>>);

impl Health {
    pub async fn of(&self, db: &Db) -> Database {
        let mut last = self.0.lock().await;
        if let Some((at, known)) = *last
            && at.elapsed() < FRESH
        {
            return known;
        }
        let known = match timeout(PATIENCE, db.is_migrated()).await {
            Ok(Ok(is_migrated)) => Database { answers: true, is_migrated },
            Ok(Err(_)) | Err(_) => Database { answers: false, is_migrated: false },
        };
        *last = Some((Instant::now(), known));
        known
    }
}
