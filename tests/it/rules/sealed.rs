//! A rotation of the master key goes through every sealed value: none can be stored where it does not look.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;
use service::secrets::sealed::{PLAIN, SEALED};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::product;
use crate::support::{Backend, fresh};

#[tokio::test]
async fn every_column_of_bytes_is_sealed_or_plain() {
    let folder = tempfile::tempdir().unwrap();
    let config = fresh(Backend::Postgres, folder.path()).await;
    let mut connection = PgConnection::connect(config.url.expose_secret()).await.unwrap();
    let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns \
         WHERE table_schema = 'public' AND data_type = 'bytea'";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    let stored: BTreeSet<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let sealed = SEALED.iter().map(|sealed| (sealed.table, sealed.column));
    let decided: BTreeSet<_> = sealed
        .chain(PLAIN.iter().copied())
        .map(|(table, column)| (table.to_owned(), column.to_owned()))
        .collect();
    let missing: Vec<_> = stored.difference(&decided).collect();
    assert!(missing.is_empty(), "are these sealed? Say so in secrets/sealed.rs: {missing:?}");
    let gone: Vec<_> = decided.difference(&stored).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn every_place_is_one_that_a_rotation_goes_through() {
    let mut found = BTreeSet::new();
    for source in product() {
        for place in source.text.split("Place {").skip(1) {
            let place = place.split('}').next().unwrap_or_default();
            let field = |name: &str| {
                let rest = place.split(&format!("{name}: \"")).nth(1)?;
                Some(rest.split('"').next().unwrap_or_default().to_owned())
            };
            if let (Some(table), Some(column)) = (field("table"), field("column")) {
                let known = SEALED.iter().any(|sealed| sealed.table == table && sealed.column == column);
                assert!(known, "{}: {table}.{column} is missing in secrets/sealed.rs", source.path);
                found.insert((table, column));
            }
        }
    }
    assert_eq!(found.len(), SEALED.len(), "{found:?}");
}
