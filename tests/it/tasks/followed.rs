//! The real binary: `run follow` and `top` over the public API, and runs that rest while their server is killed.

use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::support::process::{Home, free_port};
use crate::support::{Backend, Tenant, database, eventually, first_tenant};

async fn home(backend: Backend, folder: &tempfile::TempDir) -> Home {
    Home {
        folder: folder.path().to_owned(),
        database: database::fresh(backend, folder.path()).await,
        private_hosts: String::new(),
        lease_seconds: 30,
        concurrency: 16,
    }
}

async fn key(acme: &Tenant) -> String {
    let made = json!({ "name": "terminal", "scopes": ["task-runs:read"] });
    acme.owner.post("/v1/api-keys", made).await.expect(201)["key"].as_str().unwrap().to_owned()
}

/// A run of the built-in that rests now.
async fn resting(acme: &Tenant, function: &str, input: Value) -> String {
    let tool = acme.builtin(&format!("tool_{}", function.replace('/', "_")), function).await;
    let definition = acme.definition(function, json!({ "toolId": tool })).await;
    let path = acme.create(json!({ "definitionId": definition, "input": input })).await;
    let rests = async || acme.owner.get(&path).await.expect(200)["status"] == "WAITING";
    eventually("it rests", rests).await;
    path
}

fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

async fn output(mut command: std::process::Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn a_timer_outlives_its_server(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let home = home(backend, &folder).await;
    let port = free_port();
    let mut server = home.start(port).await;
    let acme = first_tenant(&server.url).await;
    let path = resting(&acme, "builtin/wait", json!({ "seconds": 2 })).await;
    server.kill();
    let server = home.start(port).await;
    let owner = acme.owner.at(&server.url);
    eventually("it wakes", async || owner.get(&path).await.expect(200)["status"] == "COMPLETED").await;
    let run = owner.get(&path).await.expect(200);
    assert!(run["waitingMs"].as_i64().unwrap() >= 2_000, "{run}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_outlives_its_server_on_sqlite() {
    a_timer_outlives_its_server(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_outlives_its_server_on_postgres() {
    a_timer_outlives_its_server(Backend::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_followed_over_a_restart_to_its_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(Backend::Sqlite, &folder).await;
    let port = free_port();
    let mut server = home.start(port).await;
    let acme = first_tenant(&server.url).await;
    let key = key(&acme).await;
    let path = resting(&acme, "builtin/ask_user", json!({ "question": "Well?" })).await;
    let follow = |run: &str| {
        let mut command = home.command("run");
        command.args(["follow", run, "--url", &server.url]).env("MC_API_KEY", &key);
        command
    };
    let missing = output(follow("01980000-0000-7000-8000-00000000dead")).await;
    assert_eq!(missing.status.code(), Some(1), "{}", text(&missing.stderr));
    assert!(text(&missing.stderr).contains("404"), "{}", text(&missing.stderr));

    let followed = follow(id(&path)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    server.kill();
    let server = home.start(port).await;
    let owner = acme.owner.at(&server.url);
    owner.post(&format!("{path}/input"), json!({ "answer": "yes" })).await.expect(200);
    let followed = tokio::task::spawn_blocking(move || followed.wait_with_output().unwrap()).await.unwrap();
    let lines = text(&followed.stdout);
    assert_eq!(followed.status.code(), Some(0), "{lines}\n{}", text(&followed.stderr));
    let kinds: Vec<_> =
        ["run.created", "wait.registered", "run.waiting", "run.resumed", "run.completed"].into();
    let places: Vec<_> =
        kinds.iter().map(|kind| lines.find(kind).unwrap_or_else(|| panic!("{kind}: {lines}"))).collect();
    assert!(places.is_sorted(), "{lines}");
    assert_eq!(lines.matches("run.created").count(), 1, "nothing is printed twice: {lines}");

    let cancelled = resting(&first(&acme, &server.url), "builtin/wait", json!({ "seconds": 3600 })).await;
    owner.post(&format!("{cancelled}/cancel"), json!({})).await.expect(200);
    let mut command = home.command("run");
    command.args(["follow", id(&cancelled), "--url", &server.url]).env("MC_API_KEY", &key);
    assert_eq!(output(command).await.status.code(), Some(3));

    let mut command = home.command("top");
    command.args(["--frames", "1", "--url", &server.url]).env("MC_API_KEY", &key);
    let shown = output(command).await;
    let shown = text(&shown.stdout);
    for part in
        ["queued", "running", "waiting", "last minute: 2 created, 1 completed (0.0/s), 0 failed, 1 cancelled"]
    {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(!shown.contains("workers:"), "the key may not read them: {shown}");

    let made = json!({ "name": "all", "scopes": ["*"] });
    let all = owner.post("/v1/api-keys", made).await.expect(201)["key"].as_str().unwrap().to_owned();
    owner
        .post("/v1/workers", json!({ "name": "w", "capabilities": ["function:nothing"], "slots": 3 }))
        .await
        .expect(201);
    let acme = first(&acme, &server.url);
    let tool = acme.builtin("asked", "builtin/ask_user").await;
    let definition = acme.definition("asked", json!({ "toolId": tool })).await;
    let batch = json!({ "name": "many", "definitionId": definition });
    let batch = owner.post("/v1/batch-tasks", batch).await.expect(201)["id"].as_str().unwrap().to_owned();
    let target = |n: u8| json!({ "targetKey": n.to_string(), "input": { "question": format!("{n}?") } });
    let targets: String = (0..4).map(|n| target(n).to_string() + "\n").collect();
    let batch = format!("/v1/batch-tasks/{batch}");
    let upload = owner.request("POST", &format!("{batch}/targets"));
    let upload = upload.header("content-type", "application/jsonl").body(targets);
    owner.send(upload).await.expect(200);
    owner.post(&format!("{batch}/start"), json!({})).await.expect(200);
    let runs = async || owner.get(&batch).await.expect(200)["status"] == "RUNNING";
    eventually("it runs", runs).await;
    let mut command = home.command("top");
    command.args(["--frames", "1", "--url", &server.url]).env("MC_API_KEY", &all);
    let shown = text(&output(command).await.stdout);
    for part in
        ["workers: 0 online with 0 slots, 0 draining, 0 paused, 1 offline", "· 0 of 4, 0 failed  many"]
    {
        assert!(shown.contains(part), "{shown}");
    }
    let mut command = home.command("top");
    command.args(["--frames", "1", "--url", &server.url]).env("MC_API_KEY", "mc_live_wrong");
    let refused = output(command).await;
    assert!(!refused.status.success() && text(&refused.stderr).contains("401"), "{}", text(&refused.stderr));
}

/// The same tenant at the server that was started again.
fn first(acme: &Tenant, url: &str) -> Tenant {
    Tenant { owner: acme.owner.at(url), ..acme.clone() }
}
