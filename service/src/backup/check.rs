//! Whether a copy of a database is whole: for SQLite, for the schema's references, for the migrations that
//! this program knows, and for every audit chain.

use std::path::Path;

use uuid::Uuid;

use super::archive::{Contents, SealedBy};
use crate::db::{Db, Reason};
use crate::error::{Error, Result};
use crate::governance::audit_logs;

/// # Errors
/// [`Error::Invalid`] naming what is broken.
pub async fn check(copy: &Path) -> Result<Contents> {
    let db = Db::open_copy(copy).await?;
    let checked = contents(&db).await;
    db.close().await;
    checked
}

async fn contents(db: &Db) -> Result<Contents> {
    if let Some(fault) = db.damage().await? {
        return Err(damaged(format!("The database is damaged: {fault}")));
    }
    let migrations = db.migrations().await?;
    if let Some(unknown) = db.unknown_migration(&migrations) {
        return Err(damaged(format!("It was made by a newer version ({unknown}): use that version.")));
    }
    let system = db.system(Reason::Operations);
    let mut audit_rows = 0;
    // Databases of before the audit log have no chains.
    if migrations.iter().any(|name| name.ends_with("_audit")) {
        for row in system.query("SELECT tenant_id FROM audit_chain ORDER BY tenant_id", Vec::new()).await? {
            let tenant: Uuid = row.try_get("", "tenant_id")?;
            let (rows, broken) = audit_logs::verify_stored(&db.tenant(tenant)).await?;
            if let Some(broken) = broken {
                let number = broken.number;
                return Err(damaged(format!(
                    "The audit chain of the tenant {tenant} breaks at row {number}."
                )));
            }
            audit_rows += rows;
        }
    }
    let mut sealed_by = Vec::new();
    if migrations.iter().any(|name| name.ends_with("_keys")) {
        let sql = "SELECT version, fingerprint FROM master_key
            WHERE seals_since IS NOT NULL AND emptied_at IS NULL ORDER BY version";
        for row in system.query(sql, Vec::new()).await? {
            let version = u32::try_from(row.try_get::<i32>("", "version")?).unwrap_or_default();
            sealed_by.push(SealedBy { version, fingerprint: row.try_get("", "fingerprint")? });
        }
    }
    let (tenants, runs) = (count(db, "tenant").await?, count(db, "task_run").await?);
    Ok(Contents { migrations, tenants, runs, audit_rows, sealed_by })
}

async fn count(db: &Db, table: &str) -> Result<u64> {
    let sql = format!("SELECT COUNT(*) AS number FROM {table}");
    let rows = db.system(Reason::Operations).query(&sql, Vec::new()).await?;
    let number: i64 = rows.first().map(|row| row.try_get("", "number")).transpose()?.unwrap_or(0);
    Ok(u64::try_from(number).unwrap_or_default())
}

fn damaged(message: String) -> Error {
    Error::invalid("backup", "invalid_backup", message)
}
