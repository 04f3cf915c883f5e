//! Rotation of the master key while nodes serve: they are told of the new key, then seal with it, then
//! everything that older keys sealed is wrapped anew in batches, and at the end nothing may be left.
//!
//! Invariant: whenever it stops, at whatever place, every value opens with the keys that every serving node
//! has; what is left is found again by the same question.

use std::time::Duration;

use sea_orm::{QueryResult, Value};
use uuid::Uuid;

use super::sealed::{SEALED, Sealed};
use super::{MasterKeys, known};
use crate::clock::Clock;
use crate::db::{Db, Reason, SystemDb, SystemTx};
use crate::error::{Error, Result};

/// Values of one transaction.
const BATCH: u64 = 100;
/// What was written while a pass went by is found by the next one.
const PASSES: u32 = 5;
/// How often nodes are asked how far they are.
const POLL: Duration = Duration::from_millis(200);
/// A node that was not heard of for longer has ended.
const SILENT_SECONDS: i64 = 90;

pub struct Rotation<'a> {
    pub db: &'a Db,
    pub keys: &'a MasterKeys,
    pub clock: &'a Clock,
    /// How long serving nodes are waited for.
    pub patience: Duration,
}

/// What a rotation did.
#[derive(Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The version that seals now.
    pub version: u32,
    /// How many values were wrapped anew.
    pub values: u64,
}

/// How many values of a column each version has sealed.
#[derive(Debug, PartialEq, Eq)]
pub struct Count {
    pub column: Sealed,
    pub version: u32,
    pub values: u64,
}

impl Rotation<'_> {
    /// Makes the given key the sealing one and wraps everything with it. Can be called again at any time.
    ///
    /// # Errors
    /// [`Error::Conflict`] `node_without_key` naming the nodes that serve without it: nothing was changed
    /// then; `values_left` where values remain that no known key opens.
    pub async fn to(&self, target: u32) -> Result<Rotated> {
        known::announce(self.db, self.keys, target, self.clock.now()).await?;
        self.until("node_without_key", async || self.without(target).await).await?;
        let tx = known::begin(self.db).await?;
        refuse("node_without_key", &laggards(&tx.query(NODES, self.since()).await?, knows(target))?)?;
        let rows = known::read(&tx).await?;
        if known::sealing(&rows).is_none_or(|row| known::version(row) != target) {
            known::activate(&tx, target, self.clock.now()).await?;
        }
        let rows = known::read(&tx).await?;
        tx.commit().await?;
        known::follow(self.keys, &rows)?;
        self.until("node_behind", async || self.behind(target).await).await?;
        let values = self.wrap(target).await?;
        known::mark_emptied(self.db, target, self.clock.now()).await?;
        Ok(Rotated { version: target, values })
    }

    async fn wrap(&self, target: u32) -> Result<u64> {
        let mut wrapped = 0;
        for _ in 0..PASSES {
            for column in SEALED {
                wrapped += self.pass(column).await?;
            }
            if left(self.db, target).await? == 0 {
                return Ok(wrapped);
            }
        }
        let left = left(self.db, target).await?;
        let message = format!(
            "{left} values are not under v{target}: they were changed meanwhile, or no known key opens them. \
             The log names them; the older keys are still needed."
        );
        Err(Error::conflict("values_left", message))
    }

    /// Every value of a column that another key sealed, in the order of its rows.
    async fn pass(&self, column: &Sealed) -> Result<u64> {
        let Sealed { table, column: name, row, of_tenant } = column;
        let (tenant, key) = if *of_tenant { ("tenant_id", "tenant_id, ") } else { ("NULL", "") };
        let behind =
            if *of_tenant { format!("(tenant_id, {row}) > ($2, $3)") } else { format!("{row} > $2") };
        let sql = format!(
            "SELECT {tenant} AS tenant, {row} AS id, {name} AS sealed FROM {table} WHERE {behind} \
             AND {other} ORDER BY {key}{row} LIMIT {BATCH}",
            other = other(name)
        );
        let (mut last, mut wrapped) = ((Uuid::nil(), Uuid::nil()), 0);
        loop {
            let mut values: Vec<Value> = vec![prefix(self.keys.seals_with()).into()];
            if *of_tenant {
                values.push(last.0.into());
            }
            values.push(last.1.into());
            let tx = self.system().begin().await?;
            let rows = tx.query(&sql, values).await?;
            for found in &rows {
                let tenant: Uuid = if *of_tenant { found.try_get("", "tenant")? } else { Uuid::nil() };
                last = (tenant, found.try_get("", "id")?);
                wrapped += self.one(&tx, column, last, found.try_get("", "sealed")?).await?;
            }
            tx.commit().await?;
            if u64::try_from(rows.len()).unwrap_or(BATCH) < BATCH {
                return Ok(wrapped);
            }
        }
    }

    /// A value that changed meanwhile stays as it is.
    async fn one(
        &self,
        tx: &SystemTx,
        column: &Sealed,
        (tenant, id): (Uuid, Uuid),
        sealed: Vec<u8>,
    ) -> Result<u64> {
        let Sealed { table, column: name, row, of_tenant } = column;
        let anew = match self.keys.rewrap(&column.place(tenant, id), &sealed) {
            Ok(Some(anew)) => anew,
            Ok(None) => return Ok(0),
            Err(cause) => {
                tracing::error!(table, column = name, row = %id, %tenant, %cause, "a value stays under its key");
                return Ok(0);
            }
        };
        let mut values: Vec<Value> = vec![anew.into(), id.into(), sealed.into()];
        let mut scope = String::new();
        if *of_tenant {
            values.push(tenant.into());
            scope.push_str(" AND tenant_id = $4");
        }
        let sql = format!("UPDATE {table} SET {name} = $1 WHERE {row} = $2 AND {name} = $3{scope}");
        Ok(tx.execute(&sql, values).await?.rows_affected())
    }

    /// Waits until no node is named, or the patience is over.
    async fn until(&self, code: &'static str, named: impl AsyncFn() -> Result<Vec<String>>) -> Result<()> {
        let mut waited = Duration::ZERO;
        loop {
            let nodes = named().await?;
            if nodes.is_empty() || waited >= self.patience {
                return refuse(code, &nodes);
            }
            tokio::time::sleep(POLL).await;
            waited += POLL;
        }
    }

    async fn without(&self, target: u32) -> Result<Vec<String>> {
        let nodes = self.system().query(NODES, self.since()).await?;
        laggards(&nodes, knows(target))
    }

    async fn behind(&self, target: u32) -> Result<Vec<String>> {
        let nodes = self.system().query(NODES, self.since()).await?;
        laggards(&nodes, |_, seals| seals == i32::try_from(target).ok())
    }

    fn system(&self) -> SystemDb {
        self.db.system(Reason::Operations)
    }

    fn since(&self) -> Vec<Value> {
        vec![(self.clock.now() - chrono::TimeDelta::seconds(SILENT_SECONDS)).into()]
    }
}

/// The nodes that serve.
const NODES: &str = "SELECT name, key_versions, seals_with FROM engine_node
    WHERE stopped_at IS NULL AND last_seen_at > $1";

fn knows(target: u32) -> impl Fn(&str, Option<i32>) -> bool {
    move |versions, _| versions.split(' ').any(|version| version == target.to_string())
}

/// Those of which `fits` does not hold.
fn laggards(nodes: &[QueryResult], fits: impl Fn(&str, Option<i32>) -> bool) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for node in nodes {
        let versions: String = node.try_get("", "key_versions")?;
        if !fits(&versions, node.try_get("", "seals_with")?) {
            names.push(node.try_get("", "name")?);
        }
    }
    Ok(names)
}

fn refuse(code: &'static str, nodes: &[String]) -> Result<()> {
    if nodes.is_empty() {
        return Ok(());
    }
    let nodes = nodes.join(", ");
    Err(match code {
        "node_without_key" => Error::conflict(
            code,
            format!(
                "These nodes serve and do not know the new master key: {nodes}. Nothing was changed. Give them \
                 the key (MC_MASTER_KEY or their key file), restart them, and run this again."
            ),
        ),
        _ => Error::conflict(
            code,
            format!(
                "These nodes do not seal with the new master key yet: {nodes}. Run this again to go on; the \
                 older keys are still needed."
            ),
        ),
    })
}

/// How many values are not under this key.
async fn left(db: &Db, target: u32) -> Result<u64> {
    let counts = counts(db).await?;
    Ok(counts.iter().filter(|count| count.version != target).map(|count| count.values).sum())
}

/// How many values of each column each key has sealed.
pub async fn counts(db: &Db) -> Result<Vec<Count>> {
    let system = db.system(Reason::Operations);
    let mut counts = Vec::new();
    for sealed in SEALED {
        let Sealed { table, column, .. } = sealed;
        let sql = format!(
            "SELECT substr({column}, 1, 4) AS version, COUNT(*) AS number FROM {table} \
             WHERE length({column}) > 0 GROUP BY 1 ORDER BY 1"
        );
        for row in system.query(&sql, Vec::new()).await? {
            let version: Vec<u8> = row.try_get("", "version")?;
            let version = <[u8; 4]>::try_from(version).map_or(0, u32::from_be_bytes);
            let values = u64::try_from(row.try_get::<i64>("", "number")?).unwrap_or_default();
            counts.push(Count { column: *sealed, version, values });
        }
    }
    Ok(counts)
}

/// The values that another key than `$1` sealed.
fn other(column: &str) -> String {
    format!("length({column}) > 0 AND substr({column}, 1, 4) <> $1")
}

/// What stands in front of every value that this key sealed.
fn prefix(version: u32) -> Vec<u8> {
    version.to_be_bytes().to_vec()
}
