//! `/v1/privacy-requests`: what a person may ask of a tenant.

use serde_json::{Value, json};
use service::db::Reason;

use crate::support::people::sign_in;
use crate::support::{App, Client, PASSWORD, eventually, mails};

const EMAIL: &str = "gr_ce@acme.example.com";

/// A person who joined, did something, and left.
struct Former {
    id: String,
    client: Client,
}

async fn joined(app: &App) -> (Former, String) {
    let invitation = json!({ "email": EMAIL, "name": "Grace", "role": "MANAGER", "password": PASSWORD });
    let place = app.acme.owner.post("/v1/memberships", invitation).await.expect(201);
    let login = json!({ "email": EMAIL, "password": PASSWORD });
    let tokens = app.anyone().post("/v1/auth/login", login).await.expect(200);
    let client = app.anyone().with_token(tokens["accessToken"].as_str().unwrap());
    let id = client.get("/v1/whoami").await.expect(200)["user"]["id"].as_str().unwrap().to_owned();
    let agent = json!({ "name": "by grace", "type": "TASK_RUNNER", "model": "mock/echo" });
    client.post_once("/v1/agents", "once", agent).await.expect(201);
    (Former { id, client }, place["id"].as_str().unwrap().to_owned())
}

async fn left(app: &App) -> Former {
    let (former, place) = joined(app).await;
    assert_eq!(app.acme.owner.delete(&format!("/v1/memberships/{place}")).await.status, 204);
    former
}

/// Proves the address of somebody who is signed in, and signs them in again.
async fn proved(app: &App, former: &Former, email: &str) -> Client {
    former.client.post("/v1/me/verify-email", Value::Null).await.expect(202);
    let token = mails::token(app, email, "VERIFY_EMAIL").await;
    let body = json!({ "token": token, "password": PASSWORD });
    app.anyone().post("/v1/auth/verify-email", body).await.expect(204);
    sign_in(app, email).await
}

/// The address becomes this one.
async fn moved(app: &App, person: &Client, to: &str) {
    let body = json!({ "email": to, "password": PASSWORD });
    person.post("/v1/me/change-email", body).await.expect(202);
    let token = mails::token(app, to, "CHANGE_EMAIL").await;
    app.anyone().post("/v1/auth/change-email", json!({ "token": token })).await.expect(204);
}

/// What others did that names the person without their present address: their role was changed, they were put
/// into a team with skills, and an older invitation was taken back.
async fn handled(app: &App, former: &Former, place: &str) {
    let owner = &app.acme.owner;
    owner.patch(&format!("/v1/memberships/{place}"), json!({ "role": "ADMIN" })).await.expect(200);
    let space = owner.post("/v1/workspaces", json!({ "name": "Space" })).await.expect(201);
    let team = json!({ "workspaceId": space["id"], "userId": former.id, "skills": ["quaternions"] });
    let team = owner.post("/v1/team-members", team).await.expect(201);
    let team = format!("/v1/team-members/{}", team["id"].as_str().unwrap());
    owner.patch(&team, json!({ "skills": ["octonions"] })).await.expect(200);
}

/// Everything of the tenant's records in which a person could be named.
async fn records(app: &App) -> String {
    let mut all = String::new();
    for path in [
        "/v1/audit-logs?limit=200",
        "/v1/team-activity-logs?limit=200",
        "/v1/audit-logs/export",
        "/v1/memberships?limit=200",
        "/v1/team-invites?limit=200",
    ] {
        all.push_str(&app.acme.owner.get(path).await.text);
    }
    all
}

async fn is_intact(app: &App) -> bool {
    let verified = app.acme.owner.get("/v1/audit-logs/verify").await.expect(200);
    verified["intact"] == true && verified["complete"] == true
}

async fn ask(app: &App, kind: &str, user: &str) -> crate::support::Answer {
    app.acme
        .owner
        .post("/v1/privacy-requests", json!({ "kind": kind, "userId": user, "note": "Ticket 1" }))
        .await
}

/// The person's account, as it is stored.
async fn account(app: &App, user: &str) -> (String, Option<String>, bool) {
    let id: uuid::Uuid = user.parse().unwrap();
    let sql = "SELECT email, name, is_active FROM app_user WHERE id = $1";
    let rows = app.core.db.system(Reason::Operations).query(sql, vec![id.into()]).await.unwrap();
    let row = &rows[0];
    (
        row.try_get("", "email").unwrap(),
        row.try_get("", "name").unwrap(),
        row.try_get("", "is_active").unwrap(),
    )
}

async fn erased(app: &App, user: &str) -> Value {
    let asked = ask(app, "ERASE", user).await.expect(201);
    assert_eq!(asked["status"], "PENDING");
    let path = format!("/v1/privacy-requests/{}", asked["id"].as_str().unwrap());
    eventually("the erasure ends", async || {
        app.acme.owner.get(&path).await.expect(200)["status"] == "COMPLETED"
    })
    .await;
    app.acme.owner.get(&path).await.expect(200)
}

on_both! {
    async fn an_export_has_what_the_tenant_has(app: App) {
        let invite = json!({ "email": EMAIL, "role": "VIEWER" });
        app.acme.owner.post("/v1/team-invites", invite.clone()).await.expect(201);
        app.rival.owner.post("/v1/team-invites", invite).await.expect(201);
        let (former, place) = joined(&app).await;
        handled(&app, &former, &place).await;
        let asked = ask(&app, "EXPORT", &former.id).await.expect(201);
        let path = format!("/v1/privacy-requests/{}/export", asked["id"].as_str().unwrap());
        let exported = app.acme.owner.get(&path).await;
        assert_eq!(exported.status, 200);
        let lines: Vec<Value> = exported.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for from in ["person", "membership", "team-member", "session", "invitation", "audit-log"] {
            assert!(lines.iter().any(|line| line["from"] == from), "{from}: {lines:?}");
        }
        assert_eq!(lines[0]["data"]["email"], EMAIL);
        assert!(lines.iter().any(|line| line["data"]["action"] == "create_agent"));
        // What others did to their place is there, but not where those others were.
        let others: Vec<_> = lines.iter().filter(|line| line["from"] == "audit-log" && line["data"]["userId"] != former.id.as_str()).collect();
        let actions: Vec<_> = others.iter().map(|line| line["data"]["action"].as_str().unwrap()).collect();
        for action in ["create_team_invite", "create_membership", "update_membership", "create_team_member", "update_team_member"] {
            assert!(actions.contains(&action), "{action}: {actions:?}");
        }
        assert!(others.iter().all(|line| line["data"]["ipAddress"].is_null()));
        assert!(!actions.contains(&"create_workspace"), "{actions:?}");
        assert_eq!(lines.iter().filter(|line| line["from"] == "invitation").count(), 1, "the rival's is the rival's");
        app.rival.owner.get(&path).await.problem(404);
    }

    async fn an_erased_person_is_named_nowhere_and_the_chain_holds(app: App) {
        let former = left(&app).await;
        let told = app.acme.owner.get("/v1/audit-logs?limit=200").await.text;
        assert!(told.contains(EMAIL), "the log named them before");
        let request = erased(&app, &former.id).await;
        let counts = &request["receipt"]["erased"];
        for what in ["auditAddresses", "auditData", "sessions", "answers"] {
            assert!(counts[what].as_u64().unwrap() > 0, "{what}: {counts}");
        }
        assert!(request["receipt"]["kept"].as_array().unwrap().contains(&json!("task_run.created_by")));
        let verified = app.acme.owner.get("/v1/audit-logs/verify").await.expect(200);
        assert_eq!((&verified["intact"], &verified["complete"]), (&json!(true), &json!(true)), "{verified}");
        assert!(verified["erased"].as_u64().unwrap() > 0);
        for path in ["/v1/audit-logs?limit=200", "/v1/team-activity-logs?limit=200", "/v1/audit-logs/export", "/v1/memberships"] {
            let text = app.acme.owner.get(path).await.text;
            assert!(!text.contains(EMAIL) && !text.contains("Grace"), "{path}: {text}");
        }
        let theirs = app.acme.owner.get(&format!("/v1/audit-logs?userId={}&action=create_agent", former.id)).await.expect(200);
        assert_eq!((&theirs["data"][0]["ipAddress"], &theirs["data"][0]["newData"]["name"]), (&Value::Null, &json!("by grace")));
        let (email, name, is_active) = account(&app, &former.id).await;
        assert!(email.starts_with("erased-") && name.is_none() && !is_active, "{email}");
        app.anyone().post("/v1/auth/login", json!({ "email": EMAIL, "password": PASSWORD })).await.problem(401);
        former.client.get("/v1/whoami").await.problem(401);
    }

    async fn what_names_the_person_without_their_address_is_found_by_whom_it_is_about(app: App) {
        let invite = json!({ "email": EMAIL, "role": "VIEWER" });
        let invited = app.acme.owner.post("/v1/team-invites", invite.clone()).await.expect(201);
        app.acme.owner.delete(&format!("/v1/team-invites/{}", invited["id"].as_str().unwrap())).await.expect(204);
        app.rival.owner.post("/v1/team-invites", invite).await.expect(201);
        let (former, place) = joined(&app).await;
        let person = proved(&app, &former, EMAIL).await;
        handled(&app, &former, &place).await;
        moved(&app, &person, "hopper@elsewhere.example.com").await;
        // Another person, who stays as they are.
        let other = json!({ "email": "alan@acme.example.com", "name": "Alan", "role": "VIEWER", "password": PASSWORD });
        let other = app.acme.owner.post("/v1/memberships", other).await.expect(201);
        sign_in(&app, "alan@acme.example.com").await;
        app.acme.owner.patch(&format!("/v1/memberships/{}", other["id"].as_str().unwrap()), json!({ "role": "OPERATOR" })).await.expect(200);
        app.acme.owner.delete(&format!("/v1/memberships/{place}")).await.expect(204);
        let before = records(&app).await;
        let told = [EMAIL, "hopper@elsewhere.example.com", "Grace", "quaternions", "octonions"];
        assert!(told.iter().all(|told| before.contains(told)), "{before}");
        erased(&app, &former.id).await;
        let after = records(&app).await;
        for told in told {
            assert!(!after.contains(told), "{told}: {after}");
        }
        assert!(after.contains("alan@acme.example.com") && after.contains("Alan"), "{after}");
        assert!(is_intact(&app).await);
        assert!(app.rival.owner.get("/v1/audit-logs?limit=200").await.text.contains(EMAIL), "the rival's log is the rival's");
    }

    async fn who_deleted_themselves_is_named_nowhere_either(app: App) {
        let (former, place) = joined(&app).await;
        let person = proved(&app, &former, EMAIL).await;
        handled(&app, &former, &place).await;
        person.post("/v1/me/delete", json!({ "password": PASSWORD })).await.expect(204);
        let before = records(&app).await;
        for told in [EMAIL, "Grace", "octonions"] {
            assert!(before.contains(told), "{told}");
        }
        erased(&app, &former.id).await;
        let after = records(&app).await;
        for told in [EMAIL, "Grace", "quaternions", "octonions"] {
            assert!(!after.contains(told), "{told}: {after}");
        }
        assert!(is_intact(&app).await);
    }

    async fn an_address_that_somebody_else_has_now_is_theirs(app: App) {
        let (former, place) = joined(&app).await;
        let person = proved(&app, &former, EMAIL).await;
        moved(&app, &person, "hopper@elsewhere.example.com").await;
        app.acme.owner.delete(&format!("/v1/memberships/{place}")).await.expect(204);
        let next = json!({ "email": EMAIL, "name": "Ada", "role": "VIEWER", "password": PASSWORD });
        let next = app.acme.owner.post("/v1/memberships", next).await.expect(201);
        erased(&app, &former.id).await;
        let log = app.acme.owner.get("/v1/audit-logs?action=create_membership&limit=200").await.expect(200);
        let of = |id: &Value| log["data"].as_array().unwrap().iter().find(|row| row["resourceId"] == *id).unwrap().clone();
        assert_eq!(of(&next["id"])["newData"]["email"], EMAIL);
        assert_eq!(of(&json!(place))["newData"], Value::Null);
        let tokens = sign_in(&app, EMAIL).await;
        tokens.get("/v1/whoami").await.expect(200);
        assert!(!records(&app).await.contains("hopper@"));
    }

    async fn who_belongs_elsewhere_keeps_the_account(app: App) {
        let former = left(&app).await;
        app.rival.owner.post("/v1/memberships", json!({ "email": EMAIL, "role": "VIEWER" })).await.expect(201);
        erased(&app, &former.id).await;
        assert_eq!(account(&app, &former.id).await, (EMAIL.to_owned(), Some("Grace".to_owned()), true));
    }

    async fn only_who_left_is_erased_and_strangers_do_not_exist(app: App) {
        let (former, _) = joined(&app).await;
        assert_eq!(ask(&app, "ERASE", &former.id).await.problem(409), "still_member");
        let theirs = app.rival.owner.get("/v1/whoami").await.expect(200)["user"]["id"].as_str().unwrap().to_owned();
        let mut answers = Vec::new();
        for stranger in [theirs.as_str(), "01980000-0000-7000-8000-00000000dead"] {
            for kind in ["EXPORT", "ERASE"] {
                let mut refused = ask(&app, kind, stranger).await.expect(422);
                refused.as_object_mut().unwrap().remove("requestId");
                answers.push(refused);
            }
        }
        assert!(answers.iter().all(|answer| *answer == answers[0] && answer["errors"][0]["pointer"] == "/userId"));
        let gone = left_again(&app, &former).await;
        let asked = ask(&app, "ERASE", &gone).await.expect(201);
        let path = format!("/v1/privacy-requests/{}/export", asked["id"].as_str().unwrap());
        assert_eq!(app.acme.owner.get(&path).await.problem(409), "not_exportable");
        let told = app.acme.owner.get("/v1/audit-logs?action=create_privacy_request").await.expect(200);
        assert_eq!(told["data"][0]["resource"], "privacy-request");
    }
}

async fn left_again(app: &App, former: &Former) -> String {
    let places = app.acme.owner.get("/v1/memberships").await.expect(200);
    let place =
        places["data"].as_array().unwrap().iter().find(|row| row["userId"] == former.id.as_str()).unwrap();
    app.acme.owner.delete(&format!("/v1/memberships/{}", place["id"].as_str().unwrap())).await;
    former.id.clone()
}
