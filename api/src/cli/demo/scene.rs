//! What the demo shows: a tenant with an owner, three tools, an agent and two task definitions.

use serde_json::{Value, json};
use service::agents::{agent_tools, agents, tools};
use service::auth::principal::{self, Credential, Principal, RequestInfo};
use service::core::Core;
use service::crud::Paging;
use service::ctx::Ctx;
use service::error::Error;
use service::identity::{api_keys, sessions, tenants};
use service::tasks::task_definitions;
use service::tasks::task_runs::{self, RunStatus, TaskRunFilter};
use uuid::Uuid;

use crate::cli::Failure;

const EMAIL: &str = "owner@demo.example";
const PASSWORD: &str = "mission-control-demo";
const BRIEF: &str = "Daily brief";

pub struct Scene {
    pub ctx: Ctx,
    key: String,
}

impl Scene {
    /// Makes what is missing.
    pub async fn set(core: &Core) -> Result<Self, Failure> {
        let ctx = match sign_in(core).await {
            Ok(ctx) => ctx,
            Err(Error::Unauthenticated { .. }) => {
                let operator = Principal::operator().ctx(core, &request());
                let owner = json!({ "email": EMAIL, "name": "Demo owner", "password": PASSWORD });
                let tenant = json!({ "name": "Demo", "slug": "demo", "plan": "PRO", "owner": owner });
                tenants::create(&operator, serde_json::from_value(tenant)?).await?;
                sign_in(core).await?
            }
            Err(other) => return Err(other.into()),
        };
        if definition(&ctx).await?.is_none() {
            furnish(&ctx).await?;
        }
        let key = json!({ "name": "Demo", "scopes": ["*"] });
        let key = api_keys::create(&ctx, serde_json::from_value(key)?).await?.key;
        Ok(Self { ctx, key })
    }

    /// The live run of an earlier demo, or a new one.
    pub async fn run(&self) -> Result<Uuid, Failure> {
        for status in [RunStatus::Running, RunStatus::Pending] {
            let filter = TaskRunFilter { status: Some(status), ..TaskRunFilter::default() };
            let live = task_runs::list(&self.ctx, &Paging::default(), filter).await?.data;
            if let Some(run) = live.first() {
                println!("A run was interrupted; it goes on where it was.");
                return Ok(run.id);
            }
        }
        let definition = definition(&self.ctx).await?.ok_or("the demo's task definition was deleted")?;
        let body = json!({ "definitionId": definition, "input": { "topic": "agents in production", "script": script() } });
        Ok(task_runs::create(&self.ctx, serde_json::from_value(body)?).await?.run.id)
    }

    pub fn farewell(&self, url: &str) {
        println!("\nSwagger UI   {url}/docs/");
        println!("Login        {EMAIL} / {PASSWORD}");
        println!("API key      {}", self.key);
        println!("\nTry: curl -s {url}/v1/task-runs -H 'X-API-Key: {}'", self.key);
        println!("Ctrl-C ends.");
    }
}

async fn sign_in(core: &Core) -> Result<Ctx, Error> {
    let login = json!({ "email": EMAIL, "password": PASSWORD });
    let login = serde_json::from_value(login).map_err(Error::internal)?;
    let tokens = sessions::login(core, login, sessions::Device::default()).await?;
    let principal = principal::authenticate(core, Credential::Bearer(tokens.access_token)).await?;
    Ok(principal.ctx(core, &request()))
}

fn request() -> RequestInfo {
    RequestInfo { request_id: "demo".to_owned(), ip: None, idempotency: None }
}

async fn definition(ctx: &Ctx) -> Result<Option<Uuid>, Error> {
    let paging = Paging { q: Some(BRIEF.to_owned()), ..Paging::default() };
    let found = task_definitions::list(ctx, &paging, &Default::default()).await?;
    Ok(found.data.into_iter().find(|definition| definition.name == BRIEF).map(|definition| definition.id))
}

async fn furnish(ctx: &Ctx) -> Result<(), Failure> {
    let mut made = Vec::new();
    for (name, description, function) in [
        ("current_time", "Tells the time in UTC.", "builtin/now"),
        ("render_text", "Fills a template with data.", "builtin/template"),
        ("pick_value", "Picks a value out of a document by JSON pointer.", "builtin/json_select"),
    ] {
        let body = json!({ "name": name, "description": description, "type": "FUNCTION",
            "config": { "function": function }, "costPerCall": "0.0001" });
        made.push(tools::create(ctx, serde_json::from_value(body)?).await?.id);
    }
    let agent = json!({
        "name": "Briefing officer", "type": "TASK_RUNNER", "model": "mock/script",
        "systemPrompt": "You write a short daily brief. Look up what you need with your tools.",
        "limits": { "maxSteps": 10, "maxCost": "1.00" },
    });
    let agent = agents::create(ctx, serde_json::from_value(agent)?).await?.id;
    for tool in &made {
        agent_tools::put(ctx, agent, *tool, serde_json::from_value(json!({}))?).await?;
    }
    let brief = json!({ "name": BRIEF, "type": "AUTOMATION", "agentId": agent,
        "description": "A scripted agent run: model turns, tool calls, a final answer." });
    task_definitions::create(ctx, serde_json::from_value(brief)?).await?;
    let render = json!({ "name": "Render a text", "type": "AUTOMATION", "toolId": made.get(1),
        "description": "One tool call without an agent." });
    task_definitions::create(ctx, serde_json::from_value(render)?).await?;
    Ok(())
}

/// What the mock model says, turn by turn.
fn script() -> Value {
    json!([
        { "text": "Let me see what time it is.", "delayMs": 400,
          "toolCalls": [{ "name": "current_time", "arguments": {} }] },
        { "text": "Three figures matter today; I pick the first.", "delayMs": 400,
          "toolCalls": [{ "name": "pick_value", "arguments": {
              "value": { "queue": { "waiting": 3, "failed": 0 } }, "pointer": "/queue/waiting" } }] },
        { "text": "Now the wording.", "delayMs": 400,
          "toolCalls": [{ "name": "render_text", "arguments": {
              "template": "{{ waiting }} runs are waiting, {{ failed }} failed.", "data": { "waiting": 3, "failed": 0 } } }] },
        { "text": "Good morning. 3 runs are waiting, 0 failed. Nothing needs you before coffee.", "delayMs": 400 },
    ])
}
