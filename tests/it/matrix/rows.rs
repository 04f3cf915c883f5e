//! All rows of a tenant as text, to see that nothing of them changed.

use std::collections::BTreeMap;

use service::db::Reason;

use crate::support::{App, Backend};

/// Written beside what a request does: when a credential was used, and when a batch is looked at again.
const BOOKKEEPING: [&str; 2] = ["last_used_at", "next_at"];

/// The rows of every table that has the tenant's id.
pub async fn of(app: &App, tenant: &str) -> BTreeMap<String, Vec<String>> {
    let tenant: uuid::Uuid = tenant.parse().unwrap();
    let mut rows = BTreeMap::new();
    for (table, columns) in tables(app).await {
        let scope = if table == "tenant" { "id" } else { "tenant_id" };
        if !columns.iter().any(|column| column == scope) {
            continue;
        }
        let shown = columns.iter().filter(|column| !BOOKKEEPING.contains(&column.as_str()));
        let row = match app.backend {
            Backend::Sqlite => {
                shown.map(|name| format!("quote(\"{name}\")")).collect::<Vec<_>>().join(" || ',' || ")
            }
            Backend::Postgres => {
                let fields = shown.map(|name| format!("t.\"{name}\"::text")).collect::<Vec<_>>();
                format!("row({})::text", fields.join(", "))
            }
        };
        let key = if app.backend == Backend::Sqlite { "?" } else { "$1" };
        let sql = format!("SELECT {row} AS line FROM \"{table}\" t WHERE \"{scope}\" = {key} ORDER BY 1");
        rows.insert(table, lines(app, &sql, vec![tenant.into()]).await);
    }
    assert!(rows.len() > 10, "{:?}", rows.keys());
    rows
}

/// The columns of every table.
pub async fn tables(app: &App) -> BTreeMap<String, Vec<String>> {
    let sql = match app.backend {
        Backend::Sqlite => {
            "SELECT m.name || ' ' || c.name AS line FROM sqlite_master m, pragma_table_info(m.name) c \
             WHERE m.type = 'table'"
        }
        Backend::Postgres => {
            "SELECT table_name || ' ' || column_name AS line FROM information_schema.columns \
             WHERE table_schema = 'public' ORDER BY ordinal_position"
        }
    };
    let mut tables = BTreeMap::<String, Vec<String>>::new();
    for line in lines(app, sql, Vec::new()).await {
        let (table, column) = line.split_once(' ').unwrap();
        tables.entry(table.to_owned()).or_default().push(column.to_owned());
    }
    tables
}

async fn lines(app: &App, sql: &str, values: Vec<sea_orm::Value>) -> Vec<String> {
    let rows = app.core.db.system(Reason::Operations).query(sql, values).await.unwrap();
    rows.iter().map(|row| row.try_get("", "line").unwrap()).collect()
}
