//! What is asked of the product, and the goals of `docs/performance.md`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Result;
use crate::closed_loop::Plan;
use crate::database::Kind;
use crate::http::{Connection, Request};
use crate::limits::Limit;
use crate::server::{Server, Tenant, text};

const CONNECTIONS: usize = 64;
const STEPS: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Runs created and not waited for, while the engine executes them.
    Create,
    /// Create to COMPLETED with one call of a built-in tool.
    Tool,
    /// Create to COMPLETED with one turn of a `mock/echo` agent.
    Agent,
    /// `Tool` by a single client.
    ToolAlone,
    /// `Agent` by a single client.
    AgentAlone,
    /// Runs created for a later day: nothing is executed.
    CreateLater,
    Get,
    ListFirst,
    /// A page in the middle of the table.
    ListDeep,
}

/// The last one leaves its runs in the queue.
pub const RUNS: [Scenario; 6] = [
    Scenario::Create,
    Scenario::Tool,
    Scenario::Agent,
    Scenario::ToolAlone,
    Scenario::AgentAlone,
    Scenario::CreateLater,
];
pub const READS: [Scenario; 3] = [Scenario::Get, Scenario::ListFirst, Scenario::ListDeep];

impl Scenario {
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Tool => "tool",
            Self::Agent => "agent",
            Self::ToolAlone => "tool-alone",
            Self::AgentAlone => "agent-alone",
            Self::CreateLater => "create-later",
            Self::Get => "get",
            Self::ListFirst => "list-first",
            Self::ListDeep => "list-deep",
        }
    }

    /// The limit it is compared with and the ratio to reach.
    pub fn goal(self, kind: Kind) -> Option<(Limit, f64)> {
        let of = |postgres: f64, sqlite: f64| match kind {
            Kind::Postgres => postgres,
            Kind::Sqlite => sqlite,
        };
        match self {
            Self::Create | Self::CreateLater => Some((Limit::Insert, of(1.0, 4.0))),
            Self::Tool => Some((Limit::Insert, of(0.7, 3.0))),
            Self::Agent => Some((Limit::Insert, of(0.35, 1.5))),
            Self::Get => Some((Limit::RowByKey, 1.0)),
            Self::ToolAlone | Self::AgentAlone | Self::ListFirst | Self::ListDeep => None,
        }
    }

    /// The requests of this scenario, once what it needs is there.
    pub async fn plan(
        self,
        server: &Server,
        tenant: &Tenant,
        warm_up: Duration,
        time: Duration,
    ) -> Result<Plan> {
        let get = |path: &str| Request::new("GET", path, &tenant.credential, None);
        let create = |path: &str, body: Value| Request::new("POST", path, &tenant.credential, Some(&body));
        let waited = "/v1/task-runs?wait=30";
        let requests = match self {
            Self::Create => vec![create("/v1/task-runs", run(&tenant.tool_definition))],
            Self::CreateLater => {
                let mut body = run(&tenant.tool_definition);
                body["availableAt"] = json!(in_a_month());
                vec![create("/v1/task-runs", body)]
            }
            Self::Tool | Self::ToolAlone => vec![create(waited, run(&tenant.tool_definition))],
            Self::Agent | Self::AgentAlone => vec![create(waited, run(&tenant.agent_definition))],
            Self::Get => {
                ids(server, tenant).await?.iter().map(|id| get(&format!("/v1/task-runs/{id}"))).collect()
            }
            Self::ListFirst => vec![get("/v1/task-runs")],
            Self::ListDeep => vec![get(&format!("/v1/task-runs?cursor={}", middle(server, tenant).await?))],
        };
        let waits = requests.len() == 1
            && matches!(self, Self::Tool | Self::Agent | Self::ToolAlone | Self::AgentAlone);
        Ok(Plan {
            address: server.address,
            connections: if matches!(self, Self::ToolAlone | Self::AgentAlone) { 1 } else { CONNECTIONS },
            warm_up,
            time,
            requests: Arc::new(requests),
            status: if READS.contains(&self) { 200 } else { 201 },
            contains: if waits { r#""status":"COMPLETED""# } else { "" },
        })
    }
}

/// As large as the limit's row.
fn run(definition: &str) -> Value {
    json!({ "definitionId": definition, "input": {
        "agent": "researcher", "model": "gpt-x",
        "prompt": "Summarise the quarterly report and list three risks with owners.",
        "params": { "temperature": 0.2, "max_tokens": 512 }, "trace": "0af7651916cd43dd8448eb211c80319c",
    } })
}

fn in_a_month() -> String {
    (service::clock::Clock::system().now() + chrono::TimeDelta::days(30)).to_rfc3339()
}

/// A finished run that others can be copied from.
pub async fn finished_run(server: &Server, tenant: &Tenant) -> Result<String> {
    let body = run(&tenant.tool_definition);
    let request = Request::new("POST", "/v1/task-runs?wait=30", &tenant.credential, Some(&body));
    let mut connection = Connection::open(server.address).await?;
    let answer = connection.send(&request).await?;
    if answer.status != 201 {
        return Err(answer.unexpected().into());
    }
    text(&answer.json()?, "id")
}

/// The ids of runs all over the table.
async fn ids(server: &Server, tenant: &Tenant) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for cursor in [None, Some(middle(server, tenant).await?)] {
        let cursor = cursor.map_or(String::new(), |cursor| format!("&cursor={cursor}"));
        let page = page(server, tenant, &format!("limit=200{cursor}")).await?;
        for run in page.get("data").and_then(Value::as_array).into_iter().flatten() {
            ids.push(text(run, "id")?);
        }
    }
    Ok(ids)
}

/// A cursor in the middle of the table: that of the last page before the middle's time.
async fn middle(server: &Server, tenant: &Tenant) -> Result<String> {
    let first = page(server, tenant, "limit=1").await?;
    let last = page(server, tenant, "limit=1&sort=createdAt").await?;
    let time = |page: &Value| -> Result<chrono::DateTime<chrono::Utc>> {
        Ok(text(page.pointer("/data/0").ok_or("an empty list")?, "createdAt")?.parse()?)
    };
    let (newest, oldest) = (time(&first)?, time(&last)?);
    let middle = oldest + (newest - oldest) / 2;
    let before = middle.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    text(&page(server, tenant, &format!("limit=1&createdBefore={before}")).await?, "nextCursor")
}

async fn page(server: &Server, tenant: &Tenant, query: &str) -> Result<Value> {
    let request = Request::new("GET", &format!("/v1/task-runs?{query}"), &tenant.credential, None);
    let mut connection = Connection::open(server.address).await?;
    let answer = connection.send(&request).await?;
    if answer.status != 200 {
        return Err(answer.unexpected().into());
    }
    answer.json()
}

/// Returns when no run is queued or running, so that the next scenario has the machine to itself.
pub async fn drained(server: &Server, tenant: &Tenant) -> Result<()> {
    for _ in 0..STEPS {
        let mut busy = false;
        for query in ["limit=1&status=RUNNING", "limit=1&status=PENDING&reason=QUEUED"] {
            let page = page(server, tenant, query).await?;
            busy |= page.get("data").and_then(Value::as_array).is_some_and(|data| !data.is_empty());
        }
        if !busy {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err("the queue does not drain".into())
}
