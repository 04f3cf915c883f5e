//! The SQLite that is built in is built as `.cargo/config.toml` says.

use sqlx::{Connection, SqliteConnection};

#[tokio::test]
async fn plans_of_prepared_statements_are_kept() {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let used: bool = sqlx::query_scalar("SELECT sqlite_compileoption_used('ENABLE_QPSG')")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(used, "LIBSQLITE3_FLAGS of .cargo/config.toml did not reach the compiler");
}
