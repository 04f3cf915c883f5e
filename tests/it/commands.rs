//! The real binary as an operator uses it: `demo`, `migrate`, `openapi`, a first start, SIGTERM, and a database that is
//! not there.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::process::{Home, free_port};
use crate::support::{Backend, Client, database, eventually, first_tenant};

async fn home(backend: Backend, folder: &Path) -> Home {
    Home {
        folder: folder.to_owned(),
        database: database::fresh(backend, folder).await,
        private_hosts: String::new(),
        lease_seconds: 30,
        concurrency: 16,
    }
}

/// As somebody types it: nothing is set but where its data is.
fn plain(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.command(arguments[0]);
    command.args(&arguments[1..]).env("MC_BIND", format!("127.0.0.1:{}", free_port()));
    for name in ["MC_ADMIN_EMAIL", "MC_ADMIN_PASSWORD", "MC_RATE_LIMIT", "MC_SIGN_IN_LIMIT"] {
        command.env_remove(name);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Whether it succeeded, what it printed and what it complained of.
async fn outcome(mut command: Command) -> (bool, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// Killed once a line says this; what it had printed.
async fn killed_at(mut command: Command, word: &'static str) -> String {
    let mut child = command.spawn().unwrap();
    tokio::task::spawn_blocking(move || {
        let mut seen = String::new();
        let mut printed = BufReader::new(child.stdout.take().unwrap());
        while !seen.lines().last().is_some_and(|line| line.contains(word)) {
            assert!(printed.read_line(&mut seen).unwrap() > 0, "{word:?} never came: {seen}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        seen
    })
    .await
    .unwrap()
}

/// What stands behind a label of the farewell.
fn told(text: &str, label: &str) -> String {
    let line = text.lines().find(|line| line.trim_start().starts_with(label));
    let line = line.unwrap_or_else(|| panic!("no {label}: {text}"));
    line.trim_start().trim_start_matches(label).split_whitespace().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_works_goes_on_after_a_kill_and_works_again() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(Backend::Sqlite, folder.path()).await;
    let seen = killed_at(plain(&home, &["demo", "--exit"]), "current_time").await;
    let run = told(&seen, "Task run");
    let (succeeded, printed, errors) = outcome(plain(&home, &["demo", "--exit"])).await;
    assert!(succeeded, "{printed}{errors}");
    assert!(printed.contains("interrupted") && told(&printed, "Task run") == run, "{printed}");
    assert_eq!(printed.matches("render_text {").count(), 1, "no call is made twice: {printed}");

    // Without --exit it stays, and its key works.
    let mut stays = plain(&home, &["demo"]).spawn().unwrap();
    let mut output = BufReader::new(stays.stdout.take().unwrap());
    let (seen, mut stays) = tokio::task::spawn_blocking(move || {
        let mut seen = String::new();
        while !seen.contains("X-API-Key") {
            assert!(output.read_line(&mut seen).unwrap() > 0, "{seen}");
        }
        (seen, stays)
    })
    .await
    .unwrap();
    let (key, login) = (told(&seen, "API key"), told(&seen, "Login"));
    let url = told(&seen, "Swagger UI").trim_end_matches("/docs/").to_owned();
    assert_eq!(login, "owner@demo.example,");
    let client = Client::new(&url).with_key(&key);
    let page = client.send(client.request("GET", "/docs/")).await;
    assert_eq!(page.status, 200);
    // What waits in the tenant is no run of the demo.
    let tool = json!({ "name": "ask", "type": "FUNCTION", "config": { "function": "builtin/ask_user" } });
    let tool = client.post("/v1/tools", tool).await.expect(201)["id"].clone();
    let definition = json!({ "name": "ask", "type": "AUTOMATION", "toolId": tool });
    let definition = client.post("/v1/task-definitions", definition).await.expect(201)["id"].clone();
    let waits = json!({ "definitionId": definition, "input": { "question": "?" } });
    client.post("/v1/task-runs", waits).await.expect(201);
    stays.kill().unwrap();
    stays.wait().unwrap();
    let (succeeded, printed, errors) = outcome(plain(&home, &["demo", "--exit"])).await;
    assert!(succeeded && !printed.contains("interrupted"), "{printed}{errors}");
}

async fn a_first_start_shows_its_password_once(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let home = home(backend, folder.path()).await;
    let (succeeded, _, errors) = outcome(plain(&home, &["migrate"])).await;
    assert!(succeeded, "{errors}");
    let first = killed_at(plain(&home, &["serve"]), " serves ").await;
    assert!(!told(&first, "password:").is_empty() && first.contains("shown this once"), "{first}");
    let second = killed_at(plain(&home, &["serve"]), " serves ").await;
    assert!(!second.contains("password"), "{second}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_shows_its_password_once_on_sqlite() {
    a_first_start_shows_its_password_once(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_shows_its_password_once_on_postgres() {
    a_first_start_shows_its_password_once(Backend::Postgres).await;
}

async fn who_is_asked_to_stop_gives_back_what_it_executes(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let home = home(backend, folder.path()).await;
    let port = free_port();
    let mut server = home.start(port).await;
    let acme = first_tenant(&server.url).await;
    let agent = acme.agent("slow", json!({ "model": "mock/script" })).await;
    let turn = |calls: Value| json!({ "text": "One moment.", "delayMs": 400, "toolCalls": calls });
    let tool = acme.builtin("now", "builtin/now").await;
    acme.bind(&agent, &tool, json!({})).await;
    let call = json!([{ "name": "now", "arguments": {} }]);
    let script = json!([turn(call.clone()), turn(call.clone()), turn(call), turn(json!([]))]);
    let path = acme.create(json!({ "agentId": agent, "input": { "script": script } })).await;
    eventually("it executes", async || acme.owner.get(&path).await.expect(200)["status"] == "RUNNING").await;
    // A queue behind it keeps nobody from stopping: what is not begun stays queued.
    for _ in 0..60 {
        acme.create(json!({ "agentId": agent, "input": { "script": [turn(json!([]))] } })).await;
    }
    server.signal("TERM");
    let ends = tokio::task::spawn_blocking(move || server.wait());
    let ends = tokio::time::timeout(Duration::from_secs(60), ends).await.expect("it ends").unwrap();
    assert!(ends, "it ends in order");
    let server = home.start(port).await;
    let owner = acme.owner.at(&server.url);
    eventually("it goes on", async || owner.get(&path).await.expect(200)["status"] == "COMPLETED").await;
    let steps = owner.get(&format!("{path}/steps")).await.expect(200);
    let turns = steps["data"].as_array().unwrap().iter().filter(|step| step["kind"] == "MODEL").count();
    assert_eq!(turns, 4, "no finished turn is asked for again: {steps}");
    assert_eq!(owner.get(&path).await.expect(200)["attempt"], 1, "to be given back is no attempt");
    let left = "/v1/task-runs?status=PENDING&limit=1";
    eventually("all of them end", async || owner.get(left).await.expect(200)["data"] == json!([])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_asked_to_stop_gives_back_what_it_executes_on_sqlite() {
    who_is_asked_to_stop_gives_back_what_it_executes(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_asked_to_stop_gives_back_what_it_executes_on_postgres() {
    who_is_asked_to_stop_gives_back_what_it_executes(Backend::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_opened_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(Backend::Sqlite, folder.path()).await;
    let is_file = folder.path().join("file");
    std::fs::write(&is_file, "no database").unwrap();
    let inside = is_file.join("inside").display().to_string();
    for (database, data, named) in [
        ("postgres://nobody:secret@127.0.0.1:1/none".to_owned(), None, "DATABASE_URL"),
        (format!("sqlite://{}", is_file.display()), None, "DATABASE_URL"),
        (format!("sqlite://{inside}/mc.db"), None, "MC_DATA_DIR"),
        (String::new(), Some(inside.clone()), "MC_DATA_DIR"),
        ("mysql://nobody@127.0.0.1/none".to_owned(), None, "DATABASE_URL"),
    ] {
        let mut command = plain(&home, &["serve"]);
        command.env_remove("DATABASE_URL");
        if !database.is_empty() {
            command.env("DATABASE_URL", &database);
        }
        if let Some(data) = data {
            command.env("MC_DATA_DIR", data);
        }
        let (succeeded, _, errors) = outcome(command).await;
        assert!(!succeeded && errors.contains(named) && !errors.contains("secret"), "{database}: {errors}");
    }
}

#[test]
fn the_document_is_printed_without_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let binary = Home {
        folder: folder.path().to_owned(),
        database: service::db::DatabaseConfig::of_file(&folder.path().join("none.db")),
        private_hosts: String::new(),
        lease_seconds: 30,
        concurrency: 1,
    };
    let mut child = binary.command("openapi").stdout(Stdio::piped()).spawn().unwrap();
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(printed.starts_with("openapi: 3.1"), "{}", &printed[..40]);
    assert!(!folder.path().join("none.db").exists());
}
