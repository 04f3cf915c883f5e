//! The commands, as an operator gives them: a backup of a server that serves, restored elsewhere, looked at and
//! confirmed.

use std::path::Path;

use serde_json::json;
use service::db::DatabaseConfig;

use crate::support::process::{Home, free_port};
use crate::support::{Backend, Client, PASSWORD, database, eventually, first_tenant};

fn home(folder: &Path, database: DatabaseConfig) -> Home {
    let private_hosts = "127.0.0.1".to_owned();
    Home { folder: folder.to_owned(), database, private_hosts, lease_seconds: 30, concurrency: 4 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_looked_at_and_confirmed() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = home(folder.path(), database::fresh(Backend::Sqlite, folder.path()).await);
    let new = home(elsewhere.path(), DatabaseConfig::of_file(&elsewhere.path().join("mission-control.db")));
    let file = folder.path().join("backup");
    let run = |home: &Home, arguments: &[&str]| {
        let (command, arguments) = arguments.split_first().unwrap();
        let output = home.command(command).args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let file = file.to_str().unwrap();

    let server = old.start(free_port()).await;
    let acme = first_tenant(&server.url).await;
    let tool = acme.builtin("echo", "builtin/echo").await;
    let definition = acme.definition("echo", json!({ "toolId": tool })).await;
    let done = acme.run(json!({ "definitionId": definition, "input": { "n": 1 } })).await;
    let (taken, said) = run(&old, &["backup", file]);
    assert!(taken && said.contains("The master key (v1) is not in it"), "{said}");

    let (restored, said) = run(&new, &["restore", file]);
    assert!(restored && said.contains("The master key v1 is needed"), "{said}");
    assert!(!run(&new, &["restore", file]).0, "there is a database now");
    std::fs::copy(folder.path().join("master.key"), elsewhere.path().join("master.key")).unwrap();
    let (restored, said) = run(&new, &["restore", file, "--replace"]);
    assert!(restored && !said.contains("is needed"), "{said}");

    let copy = new.start(free_port()).await;
    let anyone = Client::new(&copy.url);
    assert_eq!(acme.owner.at(&copy.url).get("/v1/whoami").await.status, 401, "a session of the former life");
    let body = json!({ "email": acme.owner_email, "password": PASSWORD });
    let token = anyone.post("/v1/auth/login", body).await.expect(200);
    let owner = anyone.with_token(token["accessToken"].as_str().unwrap());
    let path = format!("/v1/task-runs/{}", done["id"].as_str().unwrap());
    assert_eq!(owner.get(&path).await.expect(200)["output"], done["output"]);
    anyone.get("/readyz").await.expect(503);
    let waiting = owner
        .post("/v1/task-runs?wait=1", json!({ "definitionId": definition, "input": { "n": 2 } }))
        .await
        .expect(202);
    assert_eq!(waiting["status"], "PENDING");

    assert!(run(&new, &["restore", "--confirm"]).0);
    let path = format!("/v1/task-runs/{}", waiting["id"].as_str().unwrap());
    eventually("the run ends", async || owner.get(&path).await.expect(200)["status"] == "COMPLETED").await;
    eventually("it is ready", async || anyone.get("/readyz").await.status == 200).await;
    assert_eq!(owner.get("/v1/audit-logs/verify").await.expect(200)["intact"], true);
}
