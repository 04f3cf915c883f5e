//! The product's process, started as an operator would, and the tenant that is measured in.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Result;
use crate::http::{Connection, Request};

const EMAIL: &str = "load@example.com";
const PASSWORD: &str = "a password for load only";
const START: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// From the start of the process to its first readiness.
    pub cold_start: Duration,
}

impl Server {
    pub async fn start(binary: &Path, url: &str, folder: &Path) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = File::create(folder.join("server.log"))?;
        let started = Instant::now();
        let child = Command::new(binary)
            .arg("serve")
            .env("MC_BIND", address.to_string())
            .env("DATABASE_URL", url)
            .env("MC_DATA_DIR", folder)
            .env("MC_ADMIN_EMAIL", EMAIL)
            .env("MC_ADMIN_PASSWORD", PASSWORD)
            .env("MC_RATE_LIMIT", "off")
            .env("MC_SIGN_IN_LIMIT", "off")
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Self { child, address, cold_start: Duration::ZERO };
        while !server.is_ready().await {
            if let Some(status) = server.child.try_wait()? {
                let log = std::fs::read_to_string(folder.join("server.log"))?;
                return Err(format!("the server ended with {status}: {log}").into());
            }
            if started.elapsed() > START {
                return Err("the server does not become ready".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.cold_start = started.elapsed();
        Ok(server)
    }

    async fn is_ready(&self) -> bool {
        let Ok(mut connection) = Connection::open(self.address).await else { return false };
        let ready = Request::new("GET", "/readyz", "", None);
        connection.send(&ready).await.is_ok_and(|answer| answer.status == 200)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the process to drain, and waits for its end.
    pub fn stop(mut self) -> Result<()> {
        Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already, or this run failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A key of the tenant, and what its runs are of.
#[derive(Clone)]
pub struct Tenant {
    /// The value of `Authorization`.
    pub credential: String,
    /// A definition that calls `builtin/echo` once.
    pub tool_definition: String,
    /// A definition of an agent with the model `mock/echo`.
    pub agent_definition: String,
}

impl Tenant {
    /// That of the first start.
    pub async fn create(address: SocketAddr) -> Result<Self> {
        Self::furnished(Api::signed_in(address, EMAIL).await?).await
    }

    /// One beside it.
    pub async fn another(address: SocketAddr) -> Result<Self> {
        const OWNER: &str = "owner@example.com";
        let mut admin = Api::signed_in(address, EMAIL).await?;
        let owner = json!({ "email": OWNER, "password": PASSWORD });
        let tenant = json!({ "name": "Another", "slug": "another", "plan": "ENTERPRISE", "owner": owner });
        admin.create("/v1/tenants", &tenant).await?;
        Self::furnished(Api::signed_in(address, OWNER).await?).await
    }

    async fn furnished(mut api: Api) -> Result<Self> {
        let key = api.post("/v1/api-keys", &json!({ "name": "load", "scopes": ["*"] })).await?;
        api.credential = format!("Bearer {}", text(&key, "key")?);
        let tool = json!({ "name": "echo", "type": "FUNCTION", "config": { "function": "builtin/echo" } });
        let tool = api.create("/v1/tools", &tool).await?;
        let agent = json!({ "name": "Echo", "type": "TASK_RUNNER", "model": "mock/echo" });
        let agent = api.create("/v1/agents", &agent).await?;
        let tool = json!({ "name": "One tool call", "type": "AUTOMATION", "toolId": tool });
        let agent = json!({ "name": "One agent turn", "type": "AUTOMATION", "agentId": agent });
        Ok(Self {
            tool_definition: api.create("/v1/task-definitions", &tool).await?,
            agent_definition: api.create("/v1/task-definitions", &agent).await?,
            credential: api.credential,
        })
    }
}

struct Api {
    connection: Connection,
    credential: String,
}

impl Api {
    async fn signed_in(address: SocketAddr, email: &str) -> Result<Self> {
        let mut api = Self { connection: Connection::open(address).await?, credential: String::new() };
        let login = api.post("/v1/auth/login", &json!({ "email": email, "password": PASSWORD })).await?;
        api.credential = format!("Bearer {}", text(&login, "accessToken")?);
        Ok(api)
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        let request = Request::new("POST", path, &self.credential, Some(body));
        let answer = self.connection.send(&request).await?;
        if answer.status >= 300 {
            return Err(format!("{path}: {}", answer.unexpected()).into());
        }
        answer.json()
    }

    /// The new resource's id.
    async fn create(&mut self, path: &str, body: &Value) -> Result<String> {
        text(&self.post(path, body).await?, "id")
    }
}

pub fn text(value: &Value, field: &str) -> Result<String> {
    Ok(value.get(field).and_then(Value::as_str).ok_or_else(|| format!("no {field} in {value}"))?.to_owned())
}
