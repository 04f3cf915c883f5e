//! Repetitions: whatever takes an `Idempotency-Key`, as its document says, is done once under one, and tells the
//! same again, whatever has changed since.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use service::db::Reason;

use super::cases::{self, Takes};
use super::positions;
use super::request::Request;
use super::world::World;
use crate::support::oidc_server::{OidcServer, REDIRECT};
use crate::support::people::{member, verified};
use crate::support::second_factors::Authenticator;
use crate::support::{App, Client, PASSWORD, mails};

/// What only somebody in a state of their own can do, and is tried by hand.
const BY_HAND: [&str; 8] = [
    "link_my_account",
    "confirm_my_second_factor",
    "renew_my_recovery_codes",
    "disable_my_second_factor",
    "close_current_tenant",
    "reopen_current_tenant",
    "start_emergency_stop",
    "release_emergency_stop",
];

/// Sends it twice with one key, and then another body with that key: what the first was told. Each audit row tells
/// of an effect.
async fn once(app: &App, caller: &Client, request: &Request) -> Value {
    let key = app.core.ids.next().to_string();
    let headers = [("idempotency-key", key.as_str())];
    let called = format!("{} {}", request.method, request.path);
    let first = request.send_with(caller, &headers).await;
    assert!((200..300).contains(&first.status), "{called}: {}", first.text);
    let before = super::audit::counted(app).await;
    let again = request.send_with(caller, &headers).await;
    assert_eq!(again.status, first.status, "{called}");
    match began_at_once(&first.body) {
        true => assert_eq!(again.body["id"], first.body["id"], "{called}"),
        false => assert_eq!(again.text, first.text, "{called}"),
    }
    assert_eq!(super::audit::counted(app).await, before, "{called}");
    let body = request.body.clone().unwrap_or_else(|| json!({}));
    let other = caller.request(request.method, &request.path).header("idempotency-key", &key);
    let other = caller.send(other.header("content-type", "application/json").body(format!(" {body}"))).await;
    assert_eq!(other.body["errors"][0]["code"], "idempotency_key_reused", "{called}: {}", other.text);
    first.body
}

/// A run is kept as it was accepted: that its attempt began in the same commit is told once.
fn began_at_once(answer: &Value) -> bool {
    answer["status"] == "RUNNING" && answer["reason"] == "EXECUTING"
}

async fn post(app: &App, caller: &Client, path: &str, body: Value) -> Value {
    once(app, caller, &Request { method: "POST", path: path.to_owned(), query: Vec::new(), body: Some(body) })
        .await
}

/// How many mails of each kind went to the address.
async fn mailed(app: &App, address: &str, kind: &str) -> usize {
    mails::to(app, address).await.iter().filter(|mail| mail["kind"] == kind).count()
}

/// How many answers to the person are kept.
async fn kept(app: &App, user: &str) -> usize {
    let sql = "SELECT id FROM idempotency_record WHERE principal = $1";
    let principal = format!("user:{user}");
    app.core.db.system(Reason::Operations).query(sql, vec![principal.into()]).await.unwrap().len()
}

on_both! {
    async fn what_is_sent_again_with_its_key_is_done_once(app: App) {
        let world = World::of(&app, &app.acme).await;
        let document = positions::json();
        let mut left = BTreeSet::new();
        let mut probed = BTreeSet::new();
        for case in cases::all() {
            let operation = case.of();
            let described = &document["paths"][&operation.path][operation.method.to_lowercase()];
            let parameters = described["parameters"].as_array().cloned().unwrap_or_default();
            if !parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key") {
                if operation.method == "POST" && !operation.public {
                    left.insert(case.operation);
                }
                continue;
            }
            if case.takes == Takes::Nothing {
                continue;
            }
            probed.insert(case.operation);
            let caller = if case.is_of_platform() { &app.admin } else { &app.acme.owner };
            once(&app, caller, &case.request(&world, None, false).await).await;
        }
        assert_eq!(left, BTreeSet::from(["delete_me"]), "a POST that is not safe to repeat");
        let expected = cases::all().into_iter().filter(|case| case.of().method == "POST" && !case.of().public);
        let unprobed = expected.map(|case| case.operation).filter(|name| !probed.contains(name) && !left.contains(name));
        assert_eq!(unprobed.collect::<BTreeSet<_>>(), BTreeSet::from(BY_HAND));
    }

    async fn what_a_person_does_to_their_account_is_done_once(app: App) {
        let address = "ada@example.com";
        let person = verified(&app, &app.acme.owner, address, "OPERATOR").await;
        let noticed = mailed(&app, address, "SECURITY_NOTICE").await;
        let me = "/v1/me/second-factor";
        let begun = post(&app, &person, me, json!({ "password": PASSWORD })).await;
        let code = Authenticator::scan(&begun).code(&app, 0);
        let enabled = post(&app, &person, &format!("{me}/confirm"), json!({ "code": code })).await;
        let renewed = post(&app, &person, &format!("{me}/recovery-codes"), json!({ "code": enabled["recoveryCodes"][0] })).await;
        assert_ne!(renewed, enabled);
        assert_eq!(person.get(me).await.expect(200)["recoveryCodesLeft"], 10);
        post(&app, &person, &format!("{me}/disable"), json!({ "code": renewed["recoveryCodes"][0], "password": PASSWORD })).await;
        assert_eq!(person.get(me).await.expect(200)["isEnabled"], false);

        let server = OidcServer::of_this_process();
        let path = "/v1/me/accounts/example";
        let asked = json!({ "redirectUri": REDIRECT, "password": PASSWORD });
        let begun = post(&app, &person, &format!("{path}/start"), asked).await;
        let claims = json!({ "sub": "ada-at-home", "email": "ada@example.net" });
        let answer = server.visit(begun["authorizationUrl"].as_str().unwrap(), claims);
        post(&app, &person, &format!("{path}/callback"), answer).await;

        post(&app, &person, "/v1/me/change-email", json!({ "email": "new@example.com", "password": PASSWORD })).await;
        let new = "a ship in port is safe";
        post(&app, &person, "/v1/me/password", json!({ "currentPassword": PASSWORD, "newPassword": new })).await;
        let unproved = member(&app, &app.acme.owner, "eve@example.com", "VIEWER").await;
        post(&app, &unproved, "/v1/me/verify-email", json!({})).await;
        // Of the second factor, both ways, the account and the password.
        assert_eq!(mailed(&app, address, "SECURITY_NOTICE").await, noticed + 4);
        for (address, kind) in [("new@example.com", "CHANGE_EMAIL"), ("eve@example.com", "VERIFY_EMAIL")] {
            assert_eq!(mailed(&app, address, kind).await, 1, "{kind}");
        }
        let gone = json!({ "password": new });
        let id = person.get("/v1/whoami").await.expect(200)["user"]["id"].as_str().unwrap().to_owned();
        assert!(kept(&app, &id).await > 0);
        person.post_once("/v1/me/delete", "k", gone.clone()).await.expect(204);
        assert_eq!(kept(&app, &id).await, 0, "who is gone is told nothing again");
        person.post_once("/v1/me/delete", "k", gone).await.problem(401);
    }

    async fn what_stops_a_tenant_is_done_once(app: App) {
        let owner = &app.rival.owner;
        post(&app, owner, "/v1/tenant/emergency-stop", json!({})).await;
        post(&app, owner, "/v1/tenant/emergency-stop/release", json!({})).await;
        post(&app, owner, "/v1/tenant/close", json!({ "slug": "rival" })).await;
        post(&app, owner, "/v1/tenant/reopen", json!({})).await;
    }

    async fn an_answer_is_found_when_the_request_would_be_refused(app: App) {
        let world = World::of(&app, &app.acme).await;
        let owner = &app.acme.owner;
        let approval = world.make("approval").await;
        let links = format!("/v1/approvals/{approval}/links");
        let link = owner.post_once(&links, "k", json!({})).await.expect(200);
        owner.post(&format!("/v1/approvals/{approval}/decide"), json!({ "decision": "REJECT" })).await.expect(200);
        assert_eq!(owner.post(&links, json!({})).await.problem(409), "already_decided");
        assert_eq!(owner.post_once(&links, "k", json!({})).await.expect(200), link);

        let (gone, archived) = (world.make("workspace").await, world.make("workspace").await);
        let invite = json!({ "email": "late@example.com", "role": "VIEWER", "workspaceIds": [gone] });
        let invited = owner.post_once("/v1/team-invites", "k", invite.clone()).await.expect(201);
        let tool = json!({ "name": "late", "type": "FUNCTION", "config": { "function": "builtin/echo" }, "workspaceId": archived });
        let made = owner.post_once("/v1/tools", "k", tool.clone()).await.expect(201);
        owner.delete(&format!("/v1/workspaces/{gone}")).await.expect(204);
        owner.post(&format!("/v1/workspaces/{archived}/archive"), json!({})).await.expect(200);
        for (path, body, first) in [("/v1/team-invites", invite, invited), ("/v1/tools", tool, made)] {
            let refused = owner.post(path, body.clone()).await;
            assert!(matches!(refused.status, 409 | 422), "{path}: {}", refused.text);
            assert_eq!(owner.post_once(path, "k", body).await.expect(201), first);
        }
    }
}
