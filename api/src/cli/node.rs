//! A node: the core with its engine running. Every command that does work starts one.

use std::sync::Arc;

use service::auth::key_usage;
use service::config::Config;
use service::core::{Core, World};
use service::engine::Running;
use service::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Failure, first_start};

pub struct Node {
    pub core: Core,
    engine: Running,
}

impl Node {
    /// Opens the database, makes the platform administrator at the first start, and starts the engine.
    pub async fn start(config: Config) -> Result<Self, Failure> {
        let core = Core::open(config, World::real()).await?;
        first_start::announce(&core).await?;
        let engine = core.engine.start(&core, Arc::new(Runtime)).await?;
        Ok(Self { core, engine })
    }

    /// Drains the engine once the token is cancelled.
    pub async fn until(self, draining: CancellationToken) {
        draining.cancelled().await;
        self.engine.drain().await;
        if let Err(error) = key_usage::flush(&self.core).await {
            tracing::warn!(%error, "the usage of keys could not be written");
        }
    }
}
