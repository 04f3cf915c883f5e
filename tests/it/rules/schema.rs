//! The migrated schema on both databases: a reference to another tenant's row cannot be stored, the
//! entities are the tables, and every migration can be taken back.

use std::collections::{BTreeMap, BTreeSet};

use migration::{Migrator, MigratorTrait as _};
use sea_orm::{
    ConnectionTrait as _, Database, DatabaseConnection, DbBackend, EntityTrait, Iden as _, Iterable,
    Statement,
};
use secrecy::ExposeSecret as _;

use crate::support::{Backend, fresh};

/// Tables of the platform itself, whose rows belong to no tenant.
const PLATFORM: &[&str] = &[
    "account",
    "app_user",
    "engine_node",
    "mail",
    "master_key",
    "notification",
    "notification_inbox",
    "notification_preference",
    "oidc_request",
    "quarantine",
    "recovery_code",
    "refresh_token",
    "seaql_migrations",
    "second_factor",
    "session",
    "sign_in_challenge",
    "signing_key",
    "tenant",
    "tenant_erasure",
    "user_device",
    "verification_token",
];

#[derive(Debug, Default, PartialEq)]
pub struct Table {
    pub columns: BTreeSet<String>,
    primary_key: Vec<String>,
    /// The other table, with pairs of columns.
    pub references: Vec<(String, Vec<(String, String)>)>,
}

async fn rows(db: &DatabaseConnection, sql: &str) -> Vec<Vec<String>> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    let text = |row: &sea_orm::QueryResult, at| row.try_get_by_index::<String>(at).unwrap();
    rows.iter().map(|row| (0..5).map(|at| text(row, at)).collect()).collect()
}

/// Each row: table, `column`, `key` or the number of a reference, then what it needs.
const SQLITE: &str = "
    SELECT t.name, 'column', c.name, '', '' FROM sqlite_schema t, pragma_table_info(t.name) c
    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'
    UNION ALL
    SELECT * FROM (SELECT t.name, 'key', c.name, '', '' FROM sqlite_schema t, pragma_table_info(t.name) c
    WHERE t.type = 'table' AND c.pk > 0 ORDER BY t.name, c.pk)
    UNION ALL
    SELECT t.name, CAST(f.id AS TEXT), f.\"from\", f.\"table\", f.\"to\"
    FROM sqlite_schema t, pragma_foreign_key_list(t.name) f WHERE t.type = 'table'";

const POSTGRES: &str = "
    SELECT table_name::text, 'column', column_name::text, '', '' FROM information_schema.columns
    WHERE table_schema = 'public'
    UNION ALL
    SELECT c.conrelid::regclass::text, CASE c.contype WHEN 'p' THEN 'key' ELSE c.oid::text END,
           a.attname::text, COALESCE(NULLIF(c.confrelid, 0)::regclass::text, ''), COALESCE(f.attname::text, '')
    FROM pg_constraint c
    CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number
    LEFT JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = c.confkey[k.place]
    WHERE c.contype IN ('p', 'f') AND c.connamespace = 'public'::regnamespace";

pub async fn tables(db: &DatabaseConnection) -> BTreeMap<String, Table> {
    let sql = if db.get_database_backend() == DbBackend::Sqlite { SQLITE } else { POSTGRES };
    let mut tables = BTreeMap::<String, Table>::new();
    let mut references = BTreeMap::<_, Vec<_>>::new();
    for row in rows(db, sql).await {
        let [name, what, column, other, their] = <[String; 5]>::try_from(row).unwrap();
        let table = tables.entry(name.clone()).or_default();
        match what.as_str() {
            "column" => drop(table.columns.insert(column)),
            "key" => table.primary_key.push(column),
            number => references.entry((name, number.to_owned(), other)).or_default().push((column, their)),
        }
    }
    for ((table, _, other), pairs) in references {
        tables.entry(table).or_default().references.push((other, pairs));
    }
    for table in tables.values_mut() {
        table.references.sort();
    }
    tables
}

/// Each entity's table with its columns.
fn entities() -> BTreeMap<String, BTreeSet<String>> {
    fn columns<E: EntityTrait>() -> (String, BTreeSet<String>) {
        let columns = E::Column::iter().map(|column| column.unquoted().to_owned()).collect();
        (E::default().table_name().to_owned(), columns)
    }
    macro_rules! all {
        ($($domain:ident: $($table:ident)+;)+) => {
            [$($(columns::<entity::$domain::$table::Entity>()),+),+]
        };
    }
    BTreeMap::from(all! {
        agents: agent agent_tool agent_version tool;
        governance: audit_chain audit_log idempotency_record privacy_request quarantine retention_policy tenant_erasure;
        identity: account api_key api_key_usage app_user master_key membership oidc_request recovery_code refresh_token second_factor session sign_in_challenge sign_in_policy signing_key team_invite team_member tenant tenant_domain user_device verification_token workspace;
        integrations: integration;
        notifications: mail notification notification_inbox notification_preference;
         tasks: approval batch_task bulk_action bulk_action_item engine_node event event_run hook_body hook_delivery inbound_hook run_dedupe run_event run_step run_wait schedule_fire scheduled_task task_definition task_run task_target worker;
        usage: model_price rate_bucket run_usage;
    })
}

pub async fn connect(backend: Backend) -> (DatabaseConnection, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = fresh(backend, folder.path()).await;
    (Database::connect(config.url.expose_secret()).await.unwrap(), folder)
}

async fn tenants_are_apart(backend: Backend) {
    let (db, _folder) = connect(backend).await;
    let tables = tables(&db).await;
    let is_platform = |name: &str| PLATFORM.contains(&name);
    assert!(PLATFORM.iter().all(|name| tables.contains_key(*name)), "{:?}", tables.keys());
    let mut references = 0;
    for (name, table) in tables.iter().filter(|(name, _)| !is_platform(name)) {
        assert_eq!(table.primary_key.first().map(String::as_str), Some("tenant_id"), "{name}: {table:?}");
        for (other, pairs) in &table.references {
            let is_scoped = pairs.contains(&("tenant_id".to_owned(), "tenant_id".to_owned()));
            assert!(is_scoped || is_platform(other), "{name} refers to {other} by {pairs:?}");
            references += 1;
        }
    }
    assert!(references > 20, "{references} references were read");
}

async fn entities_are_the_tables(backend: Backend) {
    let (db, _folder) = connect(backend).await;
    let mut tables = tables(&db).await;
    tables.remove("seaql_migrations");
    let tables: BTreeMap<_, _> = tables.into_iter().map(|(name, table)| (name, table.columns)).collect();
    assert_eq!(tables, entities());
}

async fn migrations_go_down_and_up_again(backend: Backend) {
    let (db, _folder) = connect(backend).await;
    let before = tables(&db).await;
    Migrator::down(&db, None).await.unwrap();
    assert_eq!(tables(&db).await.into_keys().collect::<Vec<_>>(), ["seaql_migrations"]);
    Migrator::up(&db, None).await.unwrap();
    assert_eq!(tables(&db).await, before);
}

macro_rules! on_each_database {
    ($($name:ident)+) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Backend::Sqlite).await;
            })+
        }

        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Backend::Postgres).await;
            })+
        }
    };
}

on_each_database! { tenants_are_apart entities_are_the_tables migrations_go_down_and_up_again }
