//! `/v1/notifications`: who is told what, once.

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};
use service::clock::Clock;
use service::core::World;
use service::ids::Ids;
use service::notifications::notifications;

use crate::support::{App, Backend, Client, PASSWORD, eventually, mails, people};

/// A server that tells nothing by itself, and whose clock the test moves.
pub async fn still(backend: Backend) -> App {
    let clock = Clock::manual(DateTime::from_timestamp(1_900_000_000, 0).unwrap());
    let world = World { ids: Ids::random(clock.clone()), clock };
    App::start_with(backend, world, |config| config.engine.concurrency = 0).await
}

/// What the caller was told, the newest first, without what making keys told them.
pub async fn told(caller: &Client, kind: &str) -> Vec<Value> {
    let page = caller.get(&format!("/v1/notifications?type={kind}&limit=200")).await.expect(200);
    page["data"].as_array().unwrap().clone()
}

/// The mails of this kind to an address, the newest first. The clock may have been moved since the administrator
/// signed in.
pub async fn mailed(app: &App, to: &str, kind: &str) -> Vec<Value> {
    let admin = people::sign_in(app, "admin@example.com").await;
    let page = admin.get(&format!("/v1/mails?recipient={to}&kind={kind}&limit=200")).await.expect(200);
    page["data"].as_array().unwrap().clone()
}

async fn key(by: &Client, name: &str, expires: Option<TimeDelta>, app: &App) -> Value {
    let expires = expires.map(|after| app.core.clock.now() + after);
    by.post("/v1/api-keys", json!({ "name": name, "scopes": ["*"], "expiresAt": expires })).await.expect(201)
}

async fn sign_in_from(app: &App, email: &str, device: &str) -> Client {
    let login = json!({ "email": email, "password": PASSWORD });
    let anyone = app.anyone();
    let request = anyone.request("POST", "/v1/auth/login").header("user-agent", device).json(&login);
    let tokens = anyone.send(request).await.expect(200);
    anyone.with_token(tokens["accessToken"].as_str().unwrap())
}

on_both! {
    async fn people_are_told_of_what_is_done_to_their_account(app: App) {
        let email = "p@example.com";
        let person = people::verified(&app, &app.acme.owner, email, "MANAGER").await;
        assert_eq!(told(&person, "PASSWORD_CHANGED").await.len(), 1, "the proof set a password");
        key(&person, "mine", None, &app).await;
        let made = told(&person, "KEY_CREATED").await;
        assert_eq!((made.len(), &made[0]["resource"], &made[0]["tenantId"]), (1, &json!("api-key"), &json!(app.acme.id)));
        assert!(made[0]["title"].as_str().unwrap().contains("“mine”"));
        assert!(told(&person, "NEW_DEVICE").await.is_empty(), "the first device is no news");
        sign_in_from(&app, email, "Browser/1").await;
        sign_in_from(&app, email, "Browser/1").await;
        let device = told(&person, "NEW_DEVICE").await;
        assert_eq!((device.len(), &device[0]["tenantId"], &device[0]["severity"]), (1, &json!(null), &json!("WARNING")));
        assert!(device[0]["text"].as_str().unwrap().contains("Browser/1"));
        let change = json!({ "currentPassword": PASSWORD, "newPassword": PASSWORD });
        person.post("/v1/me/password", change).await.expect(204);
        assert_eq!(told(&person, "PASSWORD_CHANGED").await.len(), 2);
        let subjects: Vec<_> = mailed(&app, email, "SECURITY_NOTICE").await.iter().map(|mail| mail["subject"].clone()).collect();
        let about = |word: &str| subjects.iter().filter(|subject| subject.as_str().unwrap().contains(word)).count();
        assert_eq!((about("New sign-in"), about("API key")), (1, 1), "{subjects:?}");
        let text = app.admin.get(&format!("/v1/mails/{}", mails::newest(&app, email).await)).await.expect(200);
        assert!(text["text"].is_string());
        assert!(told(&app.acme.owner, "KEY_CREATED").await.is_empty() && told(&app.rival.owner, "NEW_DEVICE").await.is_empty());
    }

    async fn the_inbox_is_ones_own_and_read_once(app: App) {
        let owner = &app.acme.owner;
        for name in ["a", "b", "c"] {
            key(owner, name, None, &app).await;
        }
        let page = owner.get("/v1/notifications?limit=2&count=true").await.expect(200);
        assert_eq!((&page["total"], &page["hasMore"]), (&json!(3), &json!(true)));
        let next = owner.get(&format!("/v1/notifications?limit=2&cursor={}", page["nextCursor"].as_str().unwrap())).await.expect(200);
        let (newest, oldest) = (page["data"][0].clone(), next["data"][0].clone());
        assert!(newest["number"].as_i64() > oldest["number"].as_i64());
        assert_eq!(owner.get("/v1/notifications/unread-count").await.expect(200), json!({ "count": 3 }));
        let path = format!("/v1/notifications/{}/read", oldest["id"].as_str().unwrap());
        let read = owner.post(&path, Value::Null).await.expect(200);
        assert_ne!(read["readAt"], json!(null));
        assert_eq!(owner.post(&path, Value::Null).await.expect(200)["readAt"], read["readAt"]);
        assert_eq!(app.rival.owner.post(&path, Value::Null).await.problem(404), "not_found");
        assert_eq!(owner.get("/v1/notifications?read=false").await.expect(200)["data"].as_array().unwrap().len(), 2);
        assert_eq!(owner.get("/v1/notifications?minSeverity=WARNING").await.expect(200)["data"], json!([]));
        assert_eq!(owner.get("/v1/notifications?type=NEW_DEVICE").await.expect(200)["data"], json!([]));
        let all = json!({ "upTo": newest["number"].as_i64().unwrap() - 1 });
        assert_eq!(owner.post("/v1/notifications/read-all", all).await.expect(200), json!({ "marked": 1 }));
        assert_eq!(owner.post("/v1/notifications/read-all", json!({})).await.expect(200), json!({ "marked": 1 }));
        assert_eq!(owner.get("/v1/notifications/unread-count").await.expect(200), json!({ "count": 0 }));
        let by_key = app.acme.key(&app, &["*"]).await;
        for path in ["/v1/notifications", "/v1/notifications/unread-count", "/v1/notification-preferences"] {
            assert_eq!(by_key.get(path).await.problem(403), "person_only");
        }
        for wrong in ["type=NONE", "minSeverity=LOUD", "after=-1", "read=maybe", "sort=updatedAt", "limit=0"] {
            owner.get(&format!("/v1/notifications?{wrong}")).await.expect(422);
        }
        owner.post("/v1/notifications/read-all", json!({ "upTo": -1 })).await.expect(422);
    }

    async fn what_one_tenant_tells_is_not_seen_in_another(app: App) {
        let email = "both@example.com";
        let here = people::verified(&app, &app.acme.owner, email, "MANAGER").await;
        app.rival.owner.post("/v1/memberships", json!({ "email": email, "role": "MANAGER" })).await.expect(201);
        let places = here.get("/v1/me/memberships").await.expect(200);
        let invited = places["data"].as_array().unwrap().iter().find(|place| place["status"] == "INVITED").unwrap();
        here.post(&format!("/v1/me/memberships/{}/accept", invited["id"].as_str().unwrap()), Value::Null).await.expect(200);
        let login = json!({ "email": email, "password": PASSWORD, "tenantId": app.rival.id });
        let there = app.anyone().post("/v1/auth/login", login).await.expect(200);
        let there = app.anyone().with_token(there["accessToken"].as_str().unwrap());
        key(&there, "there", None, &app).await;
        assert_eq!((told(&here, "KEY_CREATED").await.len(), told(&there, "KEY_CREATED").await.len()), (0, 1));
        assert_eq!((told(&here, "PASSWORD_CHANGED").await.len(), told(&there, "PASSWORD_CHANGED").await.len()), (1, 1));
        let hidden = told(&there, "KEY_CREATED").await[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(here.post(&format!("/v1/notifications/{hidden}/read"), Value::Null).await.problem(404), "not_found");
        here.post("/v1/notifications/read-all", json!({})).await.expect(200);
        assert_eq!(told(&there, "KEY_CREATED").await[0]["readAt"], json!(null));
        let mine = here.get("/v1/me/export").await.expect(200);
        let all: Vec<_> = mine["notifications"].as_array().unwrap().iter().map(|told| told["type"].clone()).collect();
        assert!(all.contains(&json!("KEY_CREATED")) && all.contains(&json!("PASSWORD_CHANGED")), "{all:?}");
    }

    async fn notifications_are_followed(app: App) {
        let owner = &app.acme.owner;
        key(owner, "before", None, &app).await;
        let seen = told(owner, "KEY_CREATED").await[0]["number"].as_i64().unwrap();
        let open = async |last: i64| {
            let request = owner.request("GET", "/v1/notifications").header("accept", "text/event-stream");
            let response = request.header("last-event-id", last.to_string()).send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()), (200, "text/event-stream"));
            response
        };
        for (last, names) in [(seen, vec!["after"]), (seen - 1, vec!["before", "after"])] {
            let mut stream = open(last).await;
            if last == seen {
                key(owner, "after", None, &app).await;
            }
            let mut text = String::new();
            while !text.contains("“after”") {
                let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
                text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
            assert_eq!(text.matches("event: notification").count(), names.len(), "{text}");
            assert!(names.iter().all(|name| text.contains(&format!("“{name}”"))));
            assert!(text.contains(&format!("id: {}\n", last + 1)));
        }
    }

    async fn who_has_an_account_is_told_of_an_invitation(app: App) {
        let rival = &app.rival.owner;
        let invite = json!({ "email": app.rival.owner_email, "role": "OPERATOR" });
        app.acme.owner.post("/v1/team-invites", invite).await.expect(201);
        let told_of = told(rival, "INVITE_RECEIVED").await;
        assert_eq!((told_of.len(), &told_of[0]["tenantId"]), (1, &json!(null)));
        assert!(told_of[0]["title"].as_str().unwrap().contains("acme"));
        assert_eq!(mailed(&app, &app.rival.owner_email, "TEAM_INVITE").await.len(), 1);
        assert!(mailed(&app, &app.rival.owner_email, "NOTIFICATION").await.is_empty(), "the invitation is its mail");
    }

    async fn who_may_decide_is_told_of_an_approval(app: App) {
        let operator = people::verified(&app, &app.acme.owner, "op@example.com", "OPERATOR").await;
        let viewer = people::verified(&app, &app.acme.owner, "view@example.com", "VIEWER").await;
        let agent = app.acme.agent("asks", json!({ "model": "mock/tools" })).await;
        let tool = app.acme.builtin("careful_echo", "builtin/echo").await;
        app.acme.bind(&agent, &tool, json!({ "policy": "ASK" })).await;
        app.acme.create(json!({ "agentId": agent, "input": "x" })).await;
        eventually("they are told", async || !told(&operator, "APPROVAL_REQUESTED").await.is_empty()).await;
        let asked = app.acme.owner.get("/v1/approvals").await.expect(200)["data"][0]["id"].clone();
        for who in [&operator, &app.acme.owner] {
            let of = told(who, "APPROVAL_REQUESTED").await;
            assert_eq!((of.len(), &of[0]["resourceId"]), (1, &asked));
            assert!(of[0]["title"].as_str().unwrap().contains("careful_echo"));
        }
        assert!(told(&viewer, "APPROVAL_REQUESTED").await.is_empty());
        assert!(told(&app.rival.owner, "APPROVAL_REQUESTED").await.is_empty());
        assert_eq!(mailed(&app, "op@example.com", "NOTIFICATION").await.len(), 1);
        let (one, two) = tokio::join!(notifications::sweep(&app.core), notifications::sweep(&app.core));
        one.unwrap();
        two.unwrap();
        assert_eq!(told(&operator, "APPROVAL_REQUESTED").await.len(), 1);
    }
}

async fn a_key_that_ends_is_told_of_once_over_all_sweeps(backend: Backend) {
    let app = still(backend).await;
    let owner = &app.acme.owner;
    key(owner, "month", Some(TimeDelta::days(30)), &app).await;
    key(owner, "day", Some(TimeDelta::days(1)), &app).await;
    key(owner, "forever", None, &app).await;
    let gone = key(owner, "gone", Some(TimeDelta::days(30)), &app).await;
    owner.delete(&format!("/v1/api-keys/{}", gone["id"].as_str().unwrap())).await.expect(204);
    let names = async |at: Duration| {
        app.core.clock.advance(at);
        for _ in 0..2 {
            let sweeps = futures_util::future::join_all((0..4).map(|_| notifications::sweep(&app.core)));
            sweeps.await.into_iter().for_each(|swept| swept.unwrap());
        }
        let owner = people::sign_in(&app, &app.acme.owner_email).await;
        let told = told(&owner, "KEY_EXPIRING").await;
        told.iter()
            .map(|told| told["title"].as_str().unwrap().split(['“', '”']).nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let hour = Duration::from_secs(3600);
    assert!(names(hour * 17).await.is_empty());
    assert_eq!(names(hour).await, ["day"], "a quarter of its life before");
    assert_eq!(names(hour * 24 * 22).await, ["day"]);
    assert_eq!(names(hour * 6).await, ["month", "day"], "a week before");
    assert_eq!(names(hour * 24).await, ["month", "day"]);
    let sent = mailed(&app, &app.acme.owner_email, "NOTIFICATION").await;
    assert_eq!(sent.len(), 2);

    app.core.clock.advance(hour * 24 * 91);
    notifications::sweep(&app.core).await.unwrap();
    let owner = people::sign_in(&app, &app.acme.owner_email).await;
    assert_eq!(owner.get("/v1/notifications").await.expect(200)["data"], json!([]), "kept for ninety days");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_ends_is_told_of_once_on_sqlite() {
    a_key_that_ends_is_told_of_once_over_all_sweeps(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_ends_is_told_of_once_on_postgres() {
    a_key_that_ends_is_told_of_once_over_all_sweeps(Backend::Postgres).await;
}
