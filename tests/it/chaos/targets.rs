//! What the callers start runs of.

use serde_json::{Value, json};
use uuid::Uuid;

use super::stand_in::StandIn;
use crate::support::{Client, Tenant, first_tenant};

/// How many runs of [`Targets::narrow`] may execute at once.
pub const NARROW: i64 = 2;

pub struct Targets {
    /// Calls by a key of the tenant's owner, which outlives every sign-in.
    pub owner: Client,
    /// An agent with the tools `charge` (KEYED), `send` (ONCE) and `echo` (SAFE).
    pub agent: Uuid,
    /// The same, with a limit.
    pub narrow: Uuid,
    /// Definitions of one tool each: `echo`, `charge`, `send`.
    pub tools: [Uuid; 3],
}

impl Targets {
    pub async fn make(url: &str, stand_in: &StandIn) -> Self {
        let acme = first_tenant(url).await;
        let key =
            acme.owner.post("/v1/api-keys", json!({ "name": "chaos", "scopes": ["*"] })).await.expect(201);
        let owner = acme.owner.with_key(key["key"].as_str().unwrap());
        let echo = acme.builtin("echo", "builtin/echo").await;
        let charge = acme.effect("charge", &stand_in.server, "KEYED").await;
        let send = acme.effect("send", &stand_in.server, "ONCE").await;
        let tools = [echo, charge, send];
        let agent = agent(&acme, "steady", stand_in, &tools, json!({})).await;
        let narrow = agent_with_limit(&acme, stand_in, &tools).await;
        let mut definitions = Vec::new();
        for (name, tool) in ["echo", "charge", "send"].iter().zip(&tools) {
            definitions.push(parsed(&acme.definition(name, json!({ "toolId": tool })).await));
        }
        let tools = definitions.try_into().unwrap();
        Self { owner, agent, narrow, tools }
    }
}

async fn agent_with_limit(acme: &Tenant, stand_in: &StandIn, tools: &[String]) -> Uuid {
    agent(acme, "narrow", stand_in, tools, json!({ "maxConcurrent": NARROW })).await
}

async fn agent(acme: &Tenant, name: &str, stand_in: &StandIn, tools: &[String], more: Value) -> Uuid {
    let agent = acme.model_agent(name, &stand_in.server, more).await;
    for tool in tools {
        acme.bind(&agent, tool, json!({})).await;
    }
    parsed(&agent)
}

fn parsed(id: &str) -> Uuid {
    id.parse().unwrap()
}
