//! The examples that people copy, as they are in the repository, against the real binary.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::process::Home;
use crate::support::{Backend, Tenant, database, first_tenant};

/// Ended with its test.
struct Example(Child);

impl Example {
    fn start(program: &str, script: &str, url: &str, key: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let mut command = Command::new(program);
        command.arg(folder.join(script)).env("MC_URL", url).env("MC_API_KEY", key).stdin(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")))
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn run(acme: &Tenant, function: &str, text: Value) -> Value {
    let definition = acme.remote(function, json!({}), json!({ "retry": { "maxAttempts": 1 } })).await;
    let body = json!({ "definitionId": definition, "input": { "text": text } });
    acme.owner.post("/v1/task-runs?wait=60", body).await.expect(201)
}

async fn serves(program: &str, script: &str, function: &str, output: &str) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home {
        folder: folder.path().to_owned(),
        database: database::fresh(Backend::Sqlite, folder.path()).await,
        private_hosts: "127.0.0.1".to_owned(),
        lease_seconds: 30,
        concurrency: 2,
    };
    let process = home.start(0).await;
    let acme = first_tenant(&process.url).await;
    let made = json!({ "name": "worker", "scopes": ["workers:write"] });
    let key = acme.owner.post("/v1/api-keys", made).await.expect(201)["key"].as_str().unwrap().to_owned();
    let _worker = Example::start(program, script, &process.url, &key);
    let done = run(&acme, function, json!("hello")).await;
    assert_eq!((&done["status"], &done["output"]["text"]), (&json!("COMPLETED"), &json!(output)), "{done}");
    let again = json!({ "definitionId": done["definitionId"], "input": { "text": "again" } });
    assert_eq!(acme.owner.post("/v1/task-runs?wait=60", again).await.expect(201)["status"], "COMPLETED");
    let broken = json!({ "definitionId": done["definitionId"], "input": { "text": 5 } });
    let broken = acme.owner.post("/v1/task-runs?wait=60", broken).await.expect(201);
    assert_eq!(broken["status"], "FAILED", "{broken}");
    let workers = acme.owner.get("/v1/workers").await.expect(200);
    assert_eq!(workers["data"][0]["status"], "ONLINE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python() {
    serves("python3", "worker.py", "upper", "HELLO").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receiver() {
    serves("python3", "receiver.py", "lower", "hello").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shell() {
    serves("bash", "worker.sh", "shout", "HELLO!").await;
}

/// As many lines as its page says.
#[test]
fn they_are_short() {
    for (example, most) in [("worker.py", 60), ("worker.sh", 60), ("receiver.py", 60)] {
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(example));
        let lines = text.unwrap().lines().count();
        assert!(lines <= most, "{example} has {lines} lines");
    }
}
