//! A worker as its program would be, driven step by step by a test.

use serde_json::{Value, json};

use super::{Answer, Client, Tenant};

/// A registered worker with its credential.
pub struct Worker {
    pub client: Client,
    pub id: String,
    pub path: String,
}

/// A run that it was given.
#[derive(Clone, Debug)]
pub struct Lease {
    pub run: String,
    pub attempt: i64,
    pub token: String,
    /// The whole item of the claim.
    pub item: Value,
}

impl Worker {
    pub async fn register(client: &Client, name: &str, capabilities: &[&str], slots: u32) -> Self {
        let body = json!({ "name": name, "capabilities": capabilities, "slots": slots });
        let made = client.post("/v1/workers", body).await.expect(201);
        let id = made["id"].as_str().unwrap().to_owned();
        Self { client: client.clone(), path: format!("/v1/workers/{id}"), id }
    }

    /// What is given at once.
    pub async fn claim(&self, max: u32) -> Vec<Lease> {
        self.wait(max, 0).await
    }

    pub async fn wait(&self, max: u32, millis: u32) -> Vec<Lease> {
        let body = json!({ "max": max, "waitMs": millis });
        let claims = self.client.post(&format!("{}/claim", self.path), body).await.expect(200);
        claims["data"].as_array().unwrap().iter().map(Lease::of).collect()
    }

    /// The one run that is there, or comes.
    pub async fn take(&self) -> Lease {
        let mut taken = self.wait(1, 30_000).await;
        taken.pop().expect("a run to execute")
    }

    /// A call of the attempt; `more` is its body beside the token.
    pub async fn call(&self, lease: &Lease, verb: &str, more: Value) -> Answer {
        let mut body = json!({ "leaseToken": lease.token });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.client.post(&format!("{}/{verb}", lease.path()), body).await
    }

    pub async fn complete(&self, lease: &Lease, output: Value) -> Value {
        self.call(lease, "complete", json!({ "output": output })).await.expect(200)["run"].clone()
    }

    /// The states of these leases.
    pub async fn beat(&self, leases: &[&Lease]) -> Value {
        let leases: Vec<_> = leases.iter().map(|lease| lease.beat()).collect();
        self.client.post(&format!("{}/heartbeat", self.path), json!({ "leases": leases })).await.expect(200)
    }

    pub async fn status(&self) -> Value {
        self.client.get(&self.path).await.expect(200)["status"].clone()
    }
}

impl Lease {
    pub fn of(item: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let attempt = item["attempt"].as_i64().unwrap();
        Self { run: text(&item["run"]["id"]), attempt, token: text(&item["leaseToken"]), item: item.clone() }
    }

    pub fn path(&self) -> String {
        format!("/v1/task-runs/{}/attempts/{}", self.run, self.attempt)
    }

    pub fn beat(&self) -> Value {
        json!({ "runId": self.run, "attempt": self.attempt, "leaseToken": self.token })
    }
}

impl Tenant {
    /// A tool whose function a worker offers under the tool's own name; `more` overrides its fields.
    pub async fn function(&self, name: &str, more: Value) -> String {
        let mut body = json!({ "name": name, "description": "A worker's.", "type": "FUNCTION",
            "config": { "function": name }, "sideEffect": "SAFE", "timeoutSeconds": 600 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.owner.post("/v1/tools", body).await.expect(201)["id"].as_str().unwrap().to_owned()
    }

    /// A definition of such a tool; `config` is the definition's.
    pub async fn remote(&self, name: &str, more: Value, config: Value) -> String {
        let tool = self.function(name, more).await;
        self.definition(name, json!({ "toolId": tool, "config": config })).await
    }
}
