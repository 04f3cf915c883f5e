//! Who this process is among the nodes. A node that starts again requeues at once what its former
//! self held, instead of waiting for leases to expire.

use std::path::Path;

use chrono::TimeDelta;
use entity::tasks::engine_node::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
};
use uuid::Uuid;

use super::transitions;
use crate::core::Core;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::secrets::known;

/// The node's lasting name is kept in its data folder and held by a lock while the process lives, so
/// that a second process beside it takes another name.
pub struct NodeName {
    pub name: String,
    _lock: Option<std::fs::File>,
}

pub fn name(data_dir: &Path, instance: Uuid) -> Result<NodeName> {
    std::fs::create_dir_all(data_dir).map_err(Error::internal)?;
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(data_dir.join("node"))
        .map_err(Error::internal)?;
    if file.try_lock().is_err() {
        return Ok(NodeName { name: instance.to_string(), _lock: None });
    }
    let path = data_dir.join("node");
    let known = std::fs::read_to_string(&path).map_err(Error::internal)?;
    let name = match known.trim() {
        "" => instance.to_string(),
        known => known.to_owned(),
    };
    std::fs::write(&path, &name).map_err(Error::internal)?;
    Ok(NodeName { name, _lock: Some(file) })
}

/// Registers this instance and takes the runs of the node's former selves back into the queue.
#[expect(clippy::disallowed_methods, reason = "nodes belong to no tenant")]
pub async fn register(core: &Core, name: &str, instance: Uuid) -> Result<usize> {
    let now = core.clock.now();
    let tx = core.db.system(Reason::Engine).begin().await?;
    let former = Entity::find().filter(Column::Name.eq(name)).all(tx.connection()).await?;
    let mut released = 0;
    for node in former {
        loop {
            let runs = transitions::release_node(&tx, node.id, now).await?;
            released += runs.len();
            if runs.is_empty() {
                break;
            }
        }
        Entity::delete_by_id(node.id).exec(tx.connection()).await?;
    }
    let row = Model {
        id: instance,
        name: name.to_owned(),
        started_at: now,
        last_seen_at: now,
        key_versions: versions(core),
        seals_with: i32::try_from(core.keys.seals_with()).ok(),
        stopped_at: None,
    };
    let row: ActiveModel = row.into_active_model().reset_all();
    row.insert(tx.connection()).await?;
    tx.commit().await?;
    Ok(released)
}

/// Follows the database's word for which master key seals, and tells what this node knows. What it sealed
/// with is told a look later: a transaction that was under way then is over.
pub async fn follow_keys(core: &Core, instance: Uuid) -> Result<()> {
    let sealed_with = i32::try_from(core.keys.seals_with()).ok();
    let followed = known::look(&core.db, &core.keys).await;
    let system = core.db.system(Reason::Engine);
    let sql = "SELECT key_versions, seals_with FROM engine_node WHERE id = $1";
    let Some(told) = system.query(sql, vec![instance.into()]).await?.into_iter().next() else {
        return followed;
    };
    let versions = versions(core);
    let told: (String, Option<i32>) = (told.try_get("", "key_versions")?, told.try_get("", "seals_with")?);
    if told != (versions.clone(), sealed_with) {
        let tx = system.begin().await?;
        let sql = "UPDATE engine_node SET key_versions = $2, seals_with = $3 WHERE id = $1";
        tx.execute(sql, vec![instance.into(), versions.into(), sealed_with.into()]).await?;
        tx.commit().await?;
    }
    followed
}

/// Whether a node other than `besides` is alive: it has not ended, and was heard of within three heartbeats.
pub async fn is_any_alive(core: &Core, besides: Option<Uuid>) -> Result<bool> {
    let silent = TimeDelta::from_std(core.engine.settings().heartbeat * 3).unwrap_or(TimeDelta::MAX);
    let sql =
        "SELECT id FROM engine_node WHERE stopped_at IS NULL AND last_seen_at > $1 AND id <> $2 LIMIT 1";
    let values = vec![(core.clock.now() - silent).into(), besides.unwrap_or(Uuid::nil()).into()];
    Ok(!core.db.system(Reason::Engine).query(sql, values).await?.is_empty())
}

/// This node has ended in order: nothing waits for it.
pub async fn stopped(core: &Core, instance: Uuid) -> Result<()> {
    let tx = core.db.system(Reason::Engine).begin().await?;
    let sql = "UPDATE engine_node SET stopped_at = $2 WHERE id = $1";
    tx.execute(sql, vec![instance.into(), core.clock.now().into()]).await?;
    tx.commit().await
}

fn versions(core: &Core) -> String {
    let versions: Vec<String> = core.keys.versions().iter().map(u32::to_string).collect();
    versions.join(" ")
}
