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
    /// Runs of one customer execute one after the other.
    pub keyed: Uuid,
    /// Waits for an event with the correlation key of its input.
    pub waiting: Uuid,
    /// Is started by each event of the type [`HAPPENED`].
    pub listening: Uuid,
    /// Is started each second by the schedule.
    pub scheduled: Uuid,
    pub schedule: Uuid,
    /// A graph: `echo`, then `charge` for each of three, then `echo`.
    pub graph: Uuid,
    /// A worker's.
    pub remote: Uuid,
    /// Of the targets of batches.
    pub batch: Uuid,
}

pub const HAPPENED: &str = "chaos.happened";

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
        let wait = acme.builtin("wait", "builtin/wait_for_event").await;
        let [echo, charge, send] = &tools;
        let define = async |name: &str, more: Value| parsed(&acme.definition(name, more).await);
        let scheduled = define("scheduled", json!({ "toolId": echo })).await;
        Self {
            agent,
            narrow,
            tools: [
                define("echo", json!({ "toolId": echo })).await,
                define("charge", json!({ "toolId": charge })).await,
                define("send", json!({ "toolId": send })).await,
            ],
            keyed: define("keyed", json!({ "toolId": charge, "config": one_a_customer() })).await,
            waiting: define("waiting", json!({ "toolId": wait })).await,
            listening: define("listening", json!({ "toolId": echo, "trigger": on_happened() })).await,
            scheduled,
            schedule: schedule(&acme, scheduled).await,
            graph: parsed(&acme.graph("graph", steps()).await),
            remote: parsed(&acme.remote("remote", json!({}), json!({})).await),
            batch: define("batch", json!({ "toolId": charge })).await,
            owner,
        }
    }
}

fn steps() -> Value {
    json!([
        { "id": "first", "tool": "echo", "input": { "case": "{{ input.case }}" } },
        { "id": "each", "tool": "charge", "needs": ["first"], "forEach": "{{ input.items }}",
          "input": { "case": "{{ input.case }}-{{ item }}" } },
        { "id": "last", "tool": "echo", "needs": ["each"], "input": { "case": "{{ input.case }}" } },
    ])
}

fn one_a_customer() -> Value {
    json!({ "concurrency": { "key": "{{ input.customer }}", "limit": 1, "strategy": "QUEUE" } })
}

fn on_happened() -> Value {
    json!({ "type": "EVENT", "filter": { "type": { "equals": HAPPENED } } })
}

async fn schedule(acme: &Tenant, definition: Uuid) -> Uuid {
    let body = json!({ "name": "each second", "definitionId": definition,
        "recurrence": { "cron": "* * * * * *" }, "input": {}, "overlap": "ALLOW", "catchup": "ALL" });
    let made = acme.owner.post("/v1/scheduled-tasks", body).await.expect(201);
    parsed(made["id"].as_str().unwrap())
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
