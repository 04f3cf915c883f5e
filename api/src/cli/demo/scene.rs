//! What the demo shows: a tenant with an owner, three tools, an agent and two task definitions.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use service::agents::{agent_tools, agents, tools};
use service::auth::passwords;
use service::auth::principal::{self, Credential, Principal, RequestInfo};
use service::core::Core;
use service::crud::{Expected, Paging};
use service::ctx::Ctx;
use service::error::Error;
use service::identity::api_keys::{self, ApiKeyFilter};
use service::identity::sessions::{self, SignedIn};
use service::identity::{operator, tenants};
use service::tasks::task_definitions;
use service::tasks::task_runs::{self, RunStatus, TaskRunFilter};
use uuid::Uuid;

use crate::cli::Failure;

const EMAIL: &str = "owner@demo.example";
const BRIEF: &str = "Daily brief";
const KEY: &str = "Demo";

pub struct Scene {
    pub ctx: Ctx,
    password: SecretString,
    key: String,
}

impl Scene {
    /// Makes what is missing. The password and the key are new at each start; those of before end.
    pub async fn set(core: &Core) -> Result<Self, Failure> {
        let password = passwords::generate(&core.ids);
        if !operator::set_password(core, EMAIL, password.clone()).await? {
            let operator = Principal::operator().ctx(core, &request());
            let owner = json!({ "email": EMAIL, "name": "Demo owner", "password": password.expose_secret() });
            let tenant = json!({ "name": "Demo", "slug": "demo", "plan": "PRO", "owner": owner });
            tenants::create(&operator, serde_json::from_value(tenant)?).await?;
        }
        let ctx = sign_in(core, &password).await?;
        furnish(&ctx).await?;
        let key = new_key(&ctx).await?;
        Ok(Self { ctx, password, key })
    }

    /// The live run of an earlier demo, or a new one.
    pub async fn run(&self) -> Result<Uuid, Failure> {
        let brief = definition(&self.ctx, BRIEF).await?.ok_or("the demo's task definition was deleted")?;
        for status in [RunStatus::Running, RunStatus::Pending, RunStatus::Waiting] {
            let filter = TaskRunFilter {
                status: Some(status),
                definition_id: Some(brief),
                ..TaskRunFilter::default()
            };
            let live = task_runs::list(&self.ctx, &Paging::default(), filter).await?.data;
            if let Some(run) = live.first() {
                println!("A run was interrupted: it goes on where it was. Finished steps are not repeated.");
                return Ok(run.id);
            }
        }
        let body = json!({ "definitionId": brief, "input": { "topic": "agents in production", "script": script() } });
        Ok(task_runs::create(&self.ctx, serde_json::from_value(body)?).await?.run.id)
    }

    /// What there is to see, before the run begins.
    pub fn greeting(&self) {
        println!(
            "\nMission Control: a demo tenant with an agent (mock/script, which needs no key), three tools"
        );
        println!("and two task definitions. The agent now writes its daily brief. Kill this process in the");
        println!("middle (kill -9 {}) and start it again: the run goes on.", std::process::id());
    }

    pub fn farewell(&self, url: &str, run: Uuid) {
        println!("\nMission Control serves {url}, until Ctrl-C.\n");
        println!("  Swagger UI   {url}/docs/   (Authorize with the key, then try an operation)");
        println!("  API key      {}", self.key);
        println!("  Login        {EMAIL}, {}", self.password.expose_secret());
        println!("\nThe journal of the run above:");
        println!("  curl -s {url}/v1/task-runs/{run}/steps -H 'X-API-Key: {}'", self.key);
        println!("An agent of your own in two calls: see README.md.");
    }
}

async fn sign_in(core: &Core, password: &SecretString) -> Result<Ctx, Error> {
    let login = json!({ "email": EMAIL, "password": password.expose_secret() });
    let login = serde_json::from_value(login).map_err(Error::internal)?;
    let SignedIn::Tokens(tokens) = sessions::login(core, login, None, &request()).await? else {
        return Err(Error::internal("the demo's person has a second factor"));
    };
    let principal = principal::authenticate(core, &Credential::Bearer(tokens.access_token)).await?;
    Ok(principal.ctx(core, &request()))
}

fn request() -> RequestInfo {
    RequestInfo { request_id: "demo".to_owned(), operation: "demo", ip: None, idempotency: None }
}

/// The list parameters that find an object by its name.
fn named(name: &str) -> Paging {
    Paging { q: Some(name.to_owned()), limit: Some(200), ..Paging::default() }
}

async fn definition(ctx: &Ctx, name: &str) -> Result<Option<Uuid>, Error> {
    let found = task_definitions::list(ctx, &named(name), &Default::default()).await?;
    Ok(found.data.into_iter().find(|definition| definition.name == name).map(|definition| definition.id))
}

async fn new_key(ctx: &Ctx) -> Result<String, Failure> {
    for old in api_keys::list(ctx, &named(KEY), &ApiKeyFilter { revoked: Some(false), workspace_id: None })
        .await?
        .data
    {
        if old.name == KEY {
            api_keys::revoke(ctx, old.id, Expected::Any).await?;
        }
    }
    let key = json!({ "name": KEY, "scopes": ["*"] });
    Ok(api_keys::create(ctx, serde_json::from_value(key)?).await?.key)
}

async fn furnish(ctx: &Ctx) -> Result<(), Failure> {
    let mut kit = Vec::new();
    for (name, description, function) in [
        ("current_time", "Tells the time in UTC.", "builtin/now"),
        ("render_text", "Fills a template with data.", "builtin/template"),
        ("pick_value", "Picks a value out of a document by JSON pointer.", "builtin/json_select"),
    ] {
        kit.push(tool(ctx, name, description, function).await?);
    }
    let officer = agent(ctx, &kit).await?;
    let brief = json!({ "name": BRIEF, "type": "AUTOMATION", "agentId": officer,
        "description": "A scripted agent run: model turns, tool calls, a final answer." });
    let render = json!({ "name": "Render a text", "type": "AUTOMATION", "toolId": kit.get(1),
        "description": "One tool call without an agent." });
    for wanted in [brief, render] {
        let name = wanted["name"].as_str().unwrap_or_default();
        if definition(ctx, name).await?.is_none() {
            task_definitions::create(ctx, serde_json::from_value(wanted)?).await?;
        }
    }
    Ok(())
}

async fn tool(ctx: &Ctx, name: &str, description: &str, function: &str) -> Result<Uuid, Failure> {
    let known = tools::list(ctx, &named(name), &Default::default()).await?.data;
    if let Some(tool) = known.into_iter().find(|tool| tool.name == name) {
        return Ok(tool.id);
    }
    let body = json!({ "name": name, "description": description, "type": "FUNCTION",
        "config": { "function": function }, "costPerCall": "0.0001" });
    Ok(tools::create(ctx, serde_json::from_value(body)?).await?.id)
}

async fn agent(ctx: &Ctx, kit: &[Uuid]) -> Result<Uuid, Failure> {
    let name = "Briefing officer";
    let known = agents::list(ctx, &named(name), &Default::default()).await?.data;
    let id = match known.into_iter().find(|agent| agent.name == name) {
        Some(agent) => agent.id,
        None => {
            let body = json!({
                "name": name, "type": "TASK_RUNNER", "model": "mock/script",
                "systemPrompt": "You write a short daily brief. Look up what you need with your tools.",
                "limits": { "maxSteps": 10, "maxCost": "1.00" },
            });
            agents::create(ctx, serde_json::from_value(body)?).await?.id
        }
    };
    for tool in kit {
        agent_tools::put(ctx, id, *tool, Expected::Any, serde_json::from_value(json!({}))?).await?;
    }
    Ok(id)
}

/// What the mock model says, turn by turn, slowly enough to be read and to be killed in the middle.
fn script() -> Value {
    let turn =
        |text: &str, calls: Value| json!({ "text": text, "delayMs": 600, "deltaMs": 60, "toolCalls": calls });
    json!([
        turn("Let me see what time it is.", json!([{ "name": "current_time", "arguments": {} }])),
        turn(
            "Then how many runs are waiting.",
            json!([{ "name": "pick_value", "arguments": {
            "value": { "queue": { "waiting": 3, "failed": 0 } }, "pointer": "/queue/waiting" } }])
        ),
        turn(
            "Now the wording.",
            json!([{ "name": "render_text", "arguments": {
            "template": "{{ waiting }} runs are waiting, {{ failed }} failed.",
            "data": { "waiting": 3, "failed": 0 } } }])
        ),
        turn("Good morning. 3 runs are waiting, 0 failed. Nothing needs you before coffee.", json!([])),
    ])
}
