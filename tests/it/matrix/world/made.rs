//! How the kinds about tasks are made.

use serde_json::{Value, json};

use super::{World, number, text};
use crate::support::eventually;

impl World<'_> {
    pub(super) async fn bulk(&self, filter: Value, dry_run: bool) -> String {
        let body = json!({ "kind": "CANCEL", "filter": filter, "dryRun": dry_run });
        self.create("/v1/bulk-actions", body).await
    }

    /// One that has ended, with two results.
    pub(super) async fn worked_bulk(&self) -> String {
        let label =
            json!({ "toolId": self.kept("tool").await, "config": { "concurrency": { "key": "bulk" } } });
        let definition = self.definition(&format!("bulk {}", number()), label).await;
        let later = self.app.core.clock.now() + chrono::TimeDelta::days(30);
        for _ in 0..2 {
            let body = json!({ "definitionId": definition, "availableAt": later });
            self.create("/v1/task-runs", body).await;
        }
        let id = self.bulk(json!({ "definitionId": definition }), false).await;
        eventually("it is worked off", async || {
            let action = self.owner.get(&format!("/v1/bulk-actions/{id}")).await.expect(200);
            action["status"] == "COMPLETED"
        })
        .await;
        id
    }

    pub(super) async fn agent(&self, kind: &str, name: &str) -> String {
        let model = if kind == "asking" { "mock/tools" } else { "mock/echo" };
        let provider = if kind == "agent" { json!(self.kept("integration").await) } else { Value::Null };
        let body = json!({ "name": name, "type": "TASK_RUNNER", "model": model, "providerId": provider });
        let id = self.create("/v1/agents", self.placed(body, self.within)).await;
        let policy = if kind == "asking" { "ASK" } else { "ALLOW" };
        if matches!(kind, "asking" | "bound") {
            let path = format!("/v1/agents/{id}/tools/{}", self.kept("tool").await);
            self.owner.put(&path, json!({ "config": { "policy": policy } })).await.expect(200);
        }
        if kind == "paused" {
            self.post(&format!("/v1/agents/{id}/pause"), json!({})).await;
        }
        id
    }

    pub(super) async fn tool(&self, name: &str, kind: &str, config: Value) -> String {
        let body = json!({ "name": name, "description": "A tool.", "type": kind, "config": config });
        self.create("/v1/tools", self.placed(body, self.within)).await
    }

    pub(super) async fn definition(&self, name: &str, target: Value) -> String {
        let mut body = json!({ "name": name, "type": "AUTOMATION" });
        body.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        self.create("/v1/task-definitions", self.placed(body, self.within)).await
    }

    /// But for the plain one, over an agent that is paused: nothing of it goes on while a test looks.
    pub(super) async fn batch(&self, kind: &str, name: &str) -> String {
        let definition = match kind {
            "batch" => self.kept("definition").await,
            _ => self.definition(name, json!({ "agentId": self.kept("paused").await })).await,
        };
        let body = json!({ "name": name, "definitionId": definition, "pacing": { "maxInFlight": 1 } });
        let id = self.create("/v1/batch-tasks", body).await;
        let path = format!("/v1/batch-tasks/{id}");
        let targets: Vec<Value> =
            (0..2).map(|n| json!({ "targetKey": format!("t{n}"), "input": { "a": n } })).collect();
        self.post(&format!("{path}/targets"), json!({ "targets": targets })).await;
        let schema = async |schema: Value| {
            let body = json!({ "config": { "inputSchema": schema } });
            self.owner.patch(&format!("/v1/task-definitions/{definition}"), body).await.expect(200);
        };
        if kind == "failed-batch" {
            schema(json!({ "type": "string" })).await;
        }
        if !matches!(kind, "batch" | "ready-batch") {
            self.post(&format!("{path}/start"), json!({})).await;
        }
        if kind == "paused-batch" {
            self.post(&format!("{path}/pause"), json!({})).await;
        }
        if kind == "failed-batch" {
            eventually("the targets fail", async || {
                self.owner.get(&path).await.expect(200)["status"] == "COMPLETED_WITH_ERRORS"
            })
            .await;
            schema(Value::Null).await;
        }
        id
    }

    pub(super) async fn schedule(&self, kind: &str, name: &str) -> String {
        let definition = self.kept("definition").await;
        let recurrence = json!({ "cron": "0 0 1 1 *" });
        let body = json!({ "name": name, "definitionId": definition, "recurrence": recurrence });
        let id = self.create("/v1/scheduled-tasks", body).await;
        if kind == "paused-schedule" {
            self.post(&format!("/v1/scheduled-tasks/{id}/pause"), json!({})).await;
        }
        id
    }

    /// A batch or a schedule that belongs to the workspace of its definition.
    pub(super) async fn of_placed_definition(&self, kind: &str, name: &str) -> String {
        let definition = Box::pin(self.kept("placed-definition")).await;
        let body = json!({ "name": name, "definitionId": definition });
        if kind == "batch" {
            return self.create("/v1/batch-tasks", body).await;
        }
        let mut body = body;
        body["recurrence"] = json!({ "cron": "0 0 1 1 *" });
        self.create("/v1/scheduled-tasks", body).await
    }

    pub(super) async fn run(&self, kind: &str) -> String {
        match kind {
            "run" => {
                for target in ["definition", "tool-definition"] {
                    let body = json!({ "definitionId": self.kept(target).await, "input": { "a": 1 } });
                    self.post("/v1/task-runs?wait=30", body).await;
                }
                let body = json!({ "agentId": self.kept("agent").await, "input": "hello" });
                self.create("/v1/task-runs?wait=30", body).await
            }
            "waiting" | "approval" => {
                let body = json!({ "agentId": self.kept("asking").await, "input": "hello" });
                let run = self.create("/v1/task-runs", body).await;
                let approval = self.asked(&run).await;
                if kind == "waiting" { run } else { approval }
            }
            _ => {
                let later = self.app.core.clock.now() + chrono::TimeDelta::days(30);
                let body = json!({ "agentId": self.kept("agent").await, "availableAt": later });
                let run = self.create("/v1/task-runs", body).await;
                if kind == "cancelled" {
                    self.post(&format!("/v1/task-runs/{run}/cancel"), json!({})).await;
                }
                run
            }
        }
    }

    /// A run that a worker of its own holds.
    pub(super) async fn leased(&self, name: &str) -> String {
        let tool = self.tool(name, "FUNCTION", json!({ "function": name })).await;
        let definition = self.definition(name, json!({ "toolId": tool })).await;
        let run = self.create("/v1/task-runs", json!({ "definitionId": definition, "input": {} })).await;
        let worker = json!({ "name": name, "capabilities": [format!("function:{name}")] });
        let worker = self.create("/v1/workers", worker).await;
        let claims = self.post(&format!("/v1/workers/{worker}/claim"), json!({})).await;
        self.leases.lock().await.insert(run.clone(), text(&claims["data"][0]["leaseToken"]));
        run
    }

    /// What shows that the run of the path is held.
    pub(super) async fn lease(&self, path: &str) -> String {
        let run = path.split('/').nth(3).unwrap_or_default();
        self.leases.lock().await.get(run).cloned().unwrap_or_else(|| "mc_lt_none".to_owned())
    }

    /// The approval that the run waits for.
    pub(super) async fn asked(&self, run: &str) -> String {
        self.first_of(&format!("/v1/approvals?runId={run}"), run).await
    }

    /// A hook of a definition of its own that takes whatever is sent, as it is shown once.
    pub(super) async fn hook(&self, name: &str) -> Value {
        let definition = Box::pin(self.make("webhook")).await;
        let body = json!({ "name": name, "definitionId": definition, "scheme": "NONE" });
        self.post("/v1/inbound-hooks", body).await
    }

    /// The question that the run waits for.
    pub(super) async fn question(&self, run: &str) -> String {
        self.first_of(&format!("/v1/run-waits?runId={run}"), run).await
    }

    /// The first row of this list, which a change of the run brings.
    async fn first_of(&self, list: &str, run: &str) -> String {
        let mut changes = self.app.core.engine.watch(run.parse().unwrap());
        loop {
            if let Some(row) = self.owner.get(list).await.expect(200)["data"].get(0) {
                return text(&row["id"]);
            }
            changes.changed().await;
        }
    }

    /// That of the run which the path names, where it is one of this world.
    pub(super) async fn question_of(&self, path: &str) -> String {
        let run = path.trim_start_matches("/v1/task-runs/").split('/').next().unwrap_or_default();
        let found = self.owner.get(&format!("/v1/run-waits?runId={run}")).await;
        match found.body["data"][0]["id"].as_str() {
            Some(id) => id.to_owned(),
            None => self.kept("question").await,
        }
    }
}
