//! How fast an audit chain is verified, over HTTP: rows are chained onto a tenant's log by SQL, since making
//! them over HTTP would take hours.

use std::time::Instant;

use entity::governance::audit_log::{AuditOutcome, Column, Entity, Model};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait as _, Database, DatabaseConnection,
    EntityTrait as _, IntoActiveModel as _, QueryFilter as _, Statement,
};
use serde::Serialize;
use serde_json::{Value, json};
use service::clock::Clock;
use service::governance::audit_logs::{data_hash, ip_hash, row_hash};
use service::ids::Ids;

use crate::Result;
use crate::database::Kind;
use crate::http::{Connection, Request};
use crate::server::{Server, Tenant};

/// Rows of one statement.
const CHUNK: u32 = 500;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditFigure {
    pub database: Kind,
    pub rows: u64,
    pub rows_per_second: Vec<f64>,
}

/// The last row of the log, as the export tells it.
pub async fn last(server: &Server, tenant: &Tenant) -> Result<Value> {
    let mut connection = Connection::open(server.address).await?;
    let request = Request::new("GET", "/v1/audit-logs?limit=1", &tenant.credential, None);
    Ok(connection.send(&request).await?.json()?["data"][0].clone())
}

/// Chains `rows` rows behind `last`, of the tenant that has it. The server must not run.
pub async fn seed(url: &str, last: &Value, rows: u32) -> Result<()> {
    let db = Database::connect(url).await?;
    let (clock, seen) = (Clock::system(), last["id"].as_str().unwrap_or_default().parse()?);
    let ids = Ids::seeded(clock.clone(), 1);
    let mut previous = stored(&db, seen).await?;
    for chunk in 0..rows.div_ceil(CHUNK) {
        let mut models = Vec::new();
        for _ in 0..CHUNK.min(rows - chunk * CHUNK) {
            let mut row = Model {
                id: ids.next(),
                number: previous.number + 1,
                created_at: clock.now(),
                ..previous.clone()
            };
            row.action = "update_agent".to_owned();
            row.outcome = AuditOutcome::Succeeded;
            row.old_data = Some(json!({ "temperature": 0.7, "maxTokens": 2048 }).to_string());
            row.new_data =
                Some(json!({ "temperature": 0.2, "maxTokens": 4096, "name": "Support bot" }).to_string());
            let salt = ids.next().as_bytes().to_vec();
            let data = data_hash(&salt, row.old_data.as_deref(), row.new_data.as_deref());
            row.detail_hash = [ip_hash(&salt, row.ip_address.as_deref()), data].concat();
            (row.ip_salt, row.data_salt) = (Some(salt.clone()), Some(salt));
            row.hash = row_hash(&previous.hash, &row).to_vec();
            previous = row.clone();
            models.push(row.into_active_model().reset_all());
        }
        Entity::insert_many(models).exec_without_returning(&db).await?;
    }
    let end = "UPDATE audit_chain SET number = $2, hash = $3 WHERE tenant_id = $1";
    let values = [previous.tenant_id.into(), previous.number.into(), previous.hash.into()];
    db.execute_raw(Statement::from_sql_and_values(db.get_database_backend(), end, values)).await?;
    Ok(db.close().await?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the driver reads its own database, whose tenant it does not know"
)]
async fn stored(db: &DatabaseConnection, id: uuid::Uuid) -> Result<Model> {
    let found = Entity::find().filter(Column::Id.eq(id)).one(db).await?;
    found.ok_or_else(|| "the last audit row is gone".into())
}

/// Rows verified in a second, by one caller.
pub async fn verify(server: &Server, tenant: &Tenant, repeats: usize) -> Result<(u64, Vec<f64>)> {
    let mut connection = Connection::open(server.address).await?;
    let mut per_second = Vec::new();
    let mut rows = 0;
    for _ in 0..repeats {
        let request = Request::new("GET", "/v1/audit-logs/verify", &tenant.credential, None);
        let started = Instant::now();
        let answer = connection.send(&request).await?.json()?;
        let took = started.elapsed().as_secs_f64();
        if answer["intact"] != true || answer["complete"] != true {
            return Err(format!("the chain is not whole: {answer}").into());
        }
        rows = answer["rows"].as_u64().unwrap_or_default();
        per_second.push(rows as f64 / took);
    }
    Ok((rows, per_second))
}
