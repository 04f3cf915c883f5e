//! Somebody has decided for every column what it holds of a person.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;
use service::governance::personal_data::{COLUMNS, Holds, columns};
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::support::{Backend, fresh};

#[tokio::test]
async fn every_text_and_json_column_is_classified() {
    let folder = tempfile::tempdir().unwrap();
    let config = fresh(Backend::Postgres, folder.path()).await;
    let mut connection = PgConnection::connect(config.url.expose_secret()).await.unwrap();
    let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns \
         WHERE table_schema = 'public' AND data_type IN ('text', 'character varying', 'jsonb', 'json') \
         AND table_name <> 'seaql_migrations'";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    let stored: BTreeSet<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let decided = COLUMNS.iter().flat_map(|(table, columns)| {
        columns.iter().map(|(column, _)| ((*table).to_owned(), (*column).to_owned()))
    });
    let decided: BTreeSet<_> = decided.collect();
    let missing: Vec<_> = stored.difference(&decided).collect();
    assert!(missing.is_empty(), "what do these hold of a person? Say so in personal_data.rs: {missing:?}");
    let gone: Vec<_> = decided.difference(&stored).collect();
    assert!(gone.is_empty(), "{gone:?}");
    assert!(columns(Holds::Personal).count() > 5);
}
