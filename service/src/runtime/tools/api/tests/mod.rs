mod configs;
mod exchange;
mod injection;
mod server;

use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use serde_json::Value;
use uuid::Uuid;

use super::ApiConfig;
use super::request::{Prepared, prepare};
use crate::clock::Clock;
use crate::egress::{Egress, Policy, Request};
use crate::error::Error;
use crate::runtime::tools::{BoundSecret, SecretSource, ToolCallContext, ToolFailure};

const KEY: &str = "01980000-0000-7000-8000-000000000001";

/// One secret, [`KEY`], bound to one place.
struct OneSecret(String);

#[async_trait]
impl SecretSource for OneSecret {
    async fn resolve(&self, integration: Uuid) -> Result<Option<BoundSecret>, Error> {
        let secret = || BoundSecret { value: "s3cr&t/key".into(), hosts: vec![self.0.clone()] };
        Ok((integration.to_string() == KEY).then(secret))
    }
}

struct World {
    egress: Egress,
    clock: Clock,
    secrets: OneSecret,
}

impl World {
    fn new() -> Self {
        Self::bound_to("127.0.0.1")
    }

    fn bound_to(place: &str) -> Self {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let policy = Policy { allow_private_hosts: vec!["127.0.0.1".to_owned()], ..Policy::default() };
        let egress = Egress::new(policy, clock.clone()).unwrap();
        Self { egress, clock, secrets: OneSecret(place.to_owned()) }
    }

    fn cx(&self) -> ToolCallContext<'_> {
        ToolCallContext {
            egress: &self.egress,
            clock: &self.clock,
            secrets: &self.secrets,
            effect_key: "run:1:2",
            timeout: Duration::from_secs(10),
            max_output_bytes: 4096,
        }
    }

    /// The request that a call would send.
    async fn request(&self, config: &Value, arguments: &Value) -> Result<Request, ToolFailure> {
        let config = ApiConfig::parse(config).expect("parses");
        prepare(&config, arguments, &self.cx()).await.map(|Prepared { request, .. }| request)
    }
}
