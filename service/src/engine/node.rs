//! Who this process is among the nodes. A node that starts again requeues at once what its former
//! self held, instead of waiting for leases to expire.

use std::path::Path;

use entity::tasks::engine_node::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
};
use uuid::Uuid;

use super::transitions;
use crate::core::Core;
use crate::db::Reason;
use crate::error::{Error, Result};

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
    let row = Model { id: instance, name: name.to_owned(), started_at: now, last_seen_at: now };
    let row: ActiveModel = row.into_active_model().reset_all();
    row.insert(tx.connection()).await?;
    tx.commit().await?;
    Ok(released)
}
