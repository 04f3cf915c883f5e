//! What is damaged, incomplete or in use is refused, and nothing is changed.

use std::path::Path;

use service::backup::{self, Existing};
use service::db::{DatabaseConfig, Db, Reason};
use service::error::{Error, Result};

use crate::support::{App, Backend};

fn code<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    match outcome {
        Err(Error::Invalid { errors }) => errors[0].code.to_string(),
        Err(Error::Conflict { code, .. }) => code.to_owned(),
        Err(Error::Internal(cause)) => cause.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn restore(app: &App, file: &Path, to: &Path, existing: Existing) -> Result<backup::Restored> {
    let config = DatabaseConfig::of_file(to);
    backup::restore(file, &config, existing, &app.core.clock, &app.core.ids).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_refused_wherever_the_damage_is() {
    let app = App::start(Backend::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup");
    let served = Db::connect_beside(&app.core.config.database).await.unwrap();
    backup::take(&served, &file, Existing::Refuse, &app.core.clock).await.unwrap();
    let whole = std::fs::read(&file).unwrap();
    let target = folder.path().join("restored.db");

    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let longer = [&whole[..], b"x"].concat();
    let length = whole.len();
    let mut cases = vec![Vec::new(), whole[..10].to_vec(), whole[..length - 1].to_vec(), longer];
    cases.extend([1, 40, 200, length / 3, length / 2, length - 1].map(flipped));
    for (case, bytes) in cases.into_iter().enumerate() {
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(
            code(restore(&app, &file, &target, Existing::Refuse).await),
            "invalid_backup",
            "case {case}"
        );
        assert!(!target.exists());
    }
    std::fs::write(&file, &whole).unwrap();
    restore(&app, &file, &target, Existing::Refuse).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_overwritten_unless_it_is_said() {
    let app = App::start(Backend::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let (file, target) = (folder.path().join("backup"), folder.path().join("restored.db"));
    let served = Db::connect_beside(&app.core.config.database).await.unwrap();
    let clock = &app.core.clock;
    backup::take(&served, &file, Existing::Refuse, clock).await.unwrap();
    assert_eq!(code(backup::take(&served, &file, Existing::Refuse, clock).await), "exists");
    backup::take(&served, &file, Existing::Replace, clock).await.unwrap();

    std::fs::write(&target, "of before").unwrap();
    std::fs::write(folder.path().join("restored.db-wal"), "its log").unwrap();
    assert_eq!(code(restore(&app, &file, &target, Existing::Refuse).await), "exists");
    assert_eq!(std::fs::read(&target).unwrap(), b"of before");
    let former = restore(&app, &file, &target, Existing::Replace).await.unwrap().former.unwrap();
    assert_eq!(std::fs::read(&former).unwrap(), b"of before");
    let log = format!("{}-wal", former.display());
    assert_eq!(std::fs::read(log).unwrap(), b"its log");
    assert!(!folder.path().join("restored.db-wal").exists());

    // The database that is served is not replaced under its server.
    let served = app.core.config.data_dir.join("mission-control.db");
    let refused = code(restore(&app, &file, &served, Existing::Replace).await);
    assert!(refused.starts_with("another process serves"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_audit_chain_is_not_backed_up_as_whole() {
    let app = App::start(Backend::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup");
    let served = Db::connect_beside(&app.core.config.database).await.unwrap();
    let tx = served.system(Reason::Operations).begin().await.unwrap();
    tx.execute("DROP TRIGGER audit_log_update_guard", Vec::new()).await.unwrap();
    tx.execute("UPDATE audit_log SET actor = 'somebody else' WHERE number = 1", Vec::new()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(code(backup::take(&served, &file, Existing::Refuse, &app.core.clock).await), "invalid_backup");
    assert!(!file.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_left_to_its_own_tools() {
    let app = App::start_idle(Backend::Postgres).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup");
    assert_eq!(
        code(backup::take(&app.core.db, &file, Existing::Refuse, &app.core.clock).await),
        "not_sqlite"
    );
    let config = &app.core.config.database;
    let restored = backup::restore(&file, config, Existing::Refuse, &app.core.clock, &app.core.ids).await;
    assert_eq!(code(restored), "not_sqlite");
}
