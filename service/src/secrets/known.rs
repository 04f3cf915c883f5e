//! What the database knows of the master keys: their versions and fingerprints, and which one seals. All
//! nodes follow it, so that none seals with a key that another one cannot open with.

use chrono::{DateTime, Utc};
use entity::identity::master_key::Model;
use sea_orm::FromQueryResult as _;

use super::MasterKeys;
use crate::clock::Clock;
use crate::db::{Db, Reason, SystemTx};
use crate::error::{Error, Result};

const ALL: &str = "SELECT * FROM master_key ORDER BY version";
const TELL: &str =
    "INSERT INTO master_key (version, fingerprint, created_at, seals_since) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING";

/// At the start of a node: its keys must be those that sealed what is here.
///
/// # Errors
/// [`Error::Invalid`] where a key is another one than the one of that version, or where one is missing that
/// values may still be sealed with.
pub async fn adopt(db: &Db, keys: &MasterKeys, clock: &Clock) -> Result<()> {
    let tx = begin(db).await?;
    if read(&tx).await?.is_empty() {
        for version in keys.versions() {
            let seals = if version == keys.first() { clock.now() } else { DateTime::UNIX_EPOCH };
            tell(&tx, keys, version, clock.now(), Some(seals)).await?;
        }
    }
    let known = read(&tx).await?;
    tx.commit().await?;
    check(keys, &known)?;
    for row in &known {
        let is_missing = keys.fingerprint(version(row)).is_none();
        if is_missing && row.seals_since.is_some() && row.emptied_at.is_none() {
            return Err(missing(row.version));
        }
    }
    follow(keys, &known)
}

/// Takes over which key seals.
///
/// # Errors
/// [`Error::Invalid`] while this node does not know that key: what it seals goes on under the key before.
pub fn follow(keys: &MasterKeys, known: &[Model]) -> Result<()> {
    check(keys, known)?;
    let Some(sealing) = sealing(known) else { return Ok(()) };
    if keys.seal_with(version(sealing)) { Ok(()) } else { Err(missing(sealing.version)) }
}

/// Looks at the database again, and into the key file where the database names a key that is not known.
pub async fn look(db: &Db, keys: &MasterKeys) -> Result<()> {
    let rows = db.system(Reason::Operations).query(ALL, Vec::new()).await?;
    let known = rows.iter().map(|row| Model::from_query_result(row, "")).collect::<Result<Vec<_>, _>>()?;
    let versions = keys.versions();
    if known.iter().any(|row| row.emptied_at.is_none() && !versions.contains(&version(row))) {
        keys.read_again()?;
    }
    follow(keys, &known)
}

/// Every key that this database was told of.
pub(super) async fn read(tx: &SystemTx) -> Result<Vec<Model>> {
    let rows = tx.query(ALL, Vec::new()).await?;
    Ok(rows.iter().map(|row| Model::from_query_result(row, "")).collect::<Result<_, _>>()?)
}

/// Tells the nodes of a key that does not seal yet.
pub(super) async fn announce(db: &Db, keys: &MasterKeys, target: u32, now: DateTime<Utc>) -> Result<()> {
    let tx = begin(db).await?;
    tell(&tx, keys, target, now, None).await?;
    let known = read(&tx).await?;
    tx.commit().await?;
    check(keys, &known)
}

/// From now on every node seals with this key.
pub(super) async fn activate(tx: &SystemTx, target: u32, now: DateTime<Utc>) -> Result<()> {
    let sql = "UPDATE master_key SET seals_since = $2, emptied_at = NULL WHERE version = $1";
    tx.execute(sql, vec![number(target).into(), now.into()]).await?;
    Ok(())
}

/// Nothing is sealed with the other keys any more.
pub(super) async fn mark_emptied(db: &Db, kept: u32, now: DateTime<Utc>) -> Result<()> {
    let tx = begin(db).await?;
    let sql = "UPDATE master_key SET emptied_at = $2
        WHERE version <> $1 AND emptied_at IS NULL AND seals_since IS NOT NULL";
    tx.execute(sql, vec![number(kept).into(), now.into()]).await?;
    tx.commit().await
}

/// Whoever changes what is known does so alone.
pub(super) async fn begin(db: &Db) -> Result<SystemTx> {
    let tx = db.system(Reason::Operations).begin().await?;
    tx.lock("master keys").await?;
    Ok(tx)
}

pub(super) fn sealing(known: &[Model]) -> Option<&Model> {
    known.iter().filter(|row| row.seals_since.is_some()).max_by_key(|row| row.seals_since)
}

pub(super) fn version(row: &Model) -> u32 {
    u32::try_from(row.version).unwrap_or_default()
}

async fn tell(
    tx: &SystemTx,
    keys: &MasterKeys,
    version: u32,
    now: DateTime<Utc>,
    seals_since: Option<DateTime<Utc>>,
) -> Result<()> {
    let fingerprint = keys.fingerprint(version).ok_or_else(|| missing(number(version)))?;
    let values = vec![number(version).into(), fingerprint.into(), now.into(), seals_since.into()];
    tx.execute(TELL, values).await?;
    Ok(())
}

/// The keys of the same version are the same keys.
fn check(keys: &MasterKeys, known: &[Model]) -> Result<()> {
    for row in known {
        if keys.fingerprint(version(row)).is_some_and(|ours| ours != row.fingerprint) {
            let message = format!(
                "The key v{} is another one than the one that sealed the secrets of this database.",
                row.version
            );
            return Err(Error::invalid("MC_MASTER_KEY", "wrong_master_key", message));
        }
    }
    Ok(())
}

fn missing(version: i32) -> Error {
    let message = format!(
        "Secrets of this database are sealed with the master key v{version}, which this node does not know: \
         give it v{version} in MC_MASTER_KEY or the key file."
    );
    Error::invalid("MC_MASTER_KEY", "missing_master_key", message)
}

fn number(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}
