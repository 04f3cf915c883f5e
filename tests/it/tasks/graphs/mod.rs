//! Graphs as a caller sees them: definitions with steps, and what their runs do.

mod refused;
mod runs;
mod trees;

use serde_json::{Value, json};

use crate::support::Tenant;

impl Tenant {
    /// A definition of these steps.
    pub async fn graph(&self, name: &str, steps: Value) -> String {
        self.definition(name, json!({ "config": { "steps": steps } })).await
    }

    pub async fn run_of(&self, definition: &str, input: Value) -> Value {
        self.run(json!({ "definitionId": definition, "input": input })).await
    }

    /// The children of a run by their keys.
    pub async fn children(&self, run: &Value) -> Vec<(String, Value)> {
        let path = format!("/v1/task-runs?parentRunId={}&limit=200", run["id"].as_str().unwrap());
        let page = self.owner.get(&path).await.expect(200);
        let rows = page["data"].as_array().unwrap().iter().rev();
        rows.map(|row| (row["childKey"].as_str().unwrap().to_owned(), row.clone())).collect()
    }

    pub async fn again(&self, run: &Value) -> Value {
        self.owner.get(&format!("/v1/task-runs/{}", run["id"].as_str().unwrap())).await.expect(200)
    }
}
