//! A tenant of a server, and what its owner makes in it.

use serde_json::{Value, json};

use super::model_server::ModelServer;
use super::{App, Client};

/// A tenant, as seen by its owner.
#[derive(Clone)]
pub struct Tenant {
    pub id: String,
    pub owner: Client,
    pub owner_email: String,
}

impl Tenant {
    /// A key of this tenant's owner.
    pub async fn key(&self, app: &App, scopes: &[&str]) -> Client {
        let made =
            self.owner.post("/v1/api-keys", json!({ "name": "test", "scopes": scopes })).await.expect(201);
        app.anyone().with_key(made["key"].as_str().unwrap())
    }

    /// An agent; `more` overrides the fields.
    pub async fn agent(&self, name: &str, more: Value) -> String {
        let mut body = json!({ "name": name, "type": "TASK_RUNNER", "model": "mock/echo" });
        merge(&mut body, more);
        text(&self.owner.post("/v1/agents", body).await.expect(201)["id"])
    }

    /// An agent whose model is the stand-in's.
    pub async fn model_agent(&self, name: &str, server: &ModelServer, more: Value) -> String {
        let provider = self.provider(name, "LLM_OPENAI_COMPATIBLE", server).await;
        let mut body = json!({ "model": "gpt-4o-mini", "providerId": provider });
        merge(&mut body, more);
        self.agent(name, body).await
    }

    /// An integration that leads to the stand-in.
    pub async fn provider(&self, name: &str, kind: &str, server: &ModelServer) -> String {
        let body = json!({ "name": name, "type": kind, "config": { "baseUrl": format!("{}/v1", server.url) },
            "credentials": { "apiKey": "sk-test" } });
        text(&self.owner.post("/v1/integrations", body).await.expect(201)["id"])
    }

    /// A tool of the built-in function.
    pub async fn builtin(&self, name: &str, function: &str) -> String {
        let config = json!({ "function": function });
        let body =
            json!({ "name": name, "description": "A test tool.", "type": "FUNCTION", "config": config });
        text(&self.owner.post("/v1/tools", body).await.expect(201)["id"])
    }

    /// An AUTOMATION definition; `more` names its agent or tool.
    pub async fn definition(&self, name: &str, more: Value) -> String {
        let mut body = json!({ "name": name, "type": "AUTOMATION" });
        merge(&mut body, more);
        text(&self.owner.post("/v1/task-definitions", body).await.expect(201)["id"])
    }

    /// A run that is waited for.
    pub async fn run(&self, body: Value) -> Value {
        self.owner.post("/v1/task-runs?wait=30", body).await.expect(201)
    }

    /// A tool that posts its `case` to the stand-in's `/effects/{name}`.
    pub async fn effect(&self, name: &str, server: &ModelServer, side_effect: &str) -> String {
        let url = format!("{}/effects/{name}", server.url);
        let config = json!({ "method": "POST", "url": url, "body": { "case": "{{ case }}" } });
        let schema =
            json!({ "type": "object", "properties": { "case": { "type": "string" } }, "required": ["case"] });
        let body = json!({ "name": name, "type": "API", "sideEffect": side_effect, "costPerCall": "0.001",
            "config": config, "schema": schema });
        text(&self.owner.post("/v1/tools", body).await.expect(201)["id"])
    }

    /// Lets the agent use the tool as configured.
    pub async fn bind(&self, agent: &str, tool: &str, config: Value) {
        let body = json!({ "config": config });
        self.owner.put(&format!("/v1/agents/{agent}/tools/{tool}"), body).await.expect(200);
    }

    /// The path of a new run.
    pub async fn create(&self, body: Value) -> String {
        let made = self.owner.post("/v1/task-runs", body).await.expect(201);
        format!("/v1/task-runs/{}", text(&made["id"]))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn merge(body: &mut Value, more: Value) {
    if let (Value::Object(body), Value::Object(more)) = (body, more) {
        body.extend(more);
    }
}
