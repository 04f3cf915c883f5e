//! What is proved by a mail: new passwords, links to sign in, addresses. Each attack is a test.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use service::clock::Clock;
use service::core::World;
use service::db::Statements;
use service::identity::verification_tokens::{
    RequestMagicLink, RequestPasswordReset, request_magic_link, request_reset,
};
use service::ids::Ids;

use crate::support::people::{member, sign_in, token, verified};
use crate::support::{App, Backend, PASSWORD, mails};

const OTHER: &str = "another password of one's own";
/// Where each kind of token is used, and with what beside it.
const USES: [(&str, &str, bool); 4] = [
    ("reset-token", "/v1/auth/reset-password", true),
    ("magic-token", "/v1/auth/magic-link/sign-in", false),
    ("verify-token", "/v1/auth/verify-email", true),
    ("change-token", "/v1/auth/change-email", false),
];

fn body(token: &Value, with_password: bool) -> Value {
    let mut body = json!({ "token": token });
    if with_password {
        body["password"] = json!(OTHER);
    }
    body
}

async fn login(app: &App, email: &str, password: &str) -> u16 {
    app.anyone().post("/v1/auth/login", json!({ "email": email, "password": password })).await.status
}

on_both! {
    idle;
    async fn a_forgotten_password_is_replaced_and_every_session_ends(app: App) {
        let email = app.acme.owner_email.clone();
        let before = sign_in(&app, &email).await;
        app.anyone().post("/v1/auth/forgot-password", json!({ "email": email.to_uppercase() })).await.expect(202);
        let token = json!(mails::token(&app, &email, "RESET_PASSWORD").await);
        let short = json!({ "token": token, "password": "short" });
        assert_eq!(app.anyone().post("/v1/auth/reset-password", short).await.body["errors"][0]["pointer"], "/password");
        app.anyone().post("/v1/auth/reset-password", body(&token, true)).await.expect(204);
        assert_eq!(before.get("/v1/whoami").await.problem(401), "session_ended");
        assert_eq!((login(&app, &email, PASSWORD).await, login(&app, &email, OTHER).await), (401, 200));
        assert_eq!(mails::to(&app, &email).await[0]["kind"], "SECURITY_NOTICE");
    }

    async fn enumeration_by_reset_and_magic_link(app: App) {
        for path in ["/v1/auth/forgot-password", "/v1/auth/magic-link"] {
            let mut answers = Vec::new();
            for email in [app.acme.owner_email.as_str(), "nobody@example.com"] {
                let before = mails::to(&app, email).await.len();
                let answer = app.anyone().post(path, json!({ "email": email })).await;
                assert_eq!(mails::to(&app, email).await.len(), before + 1, "either way one mail is written down");
                answers.push((answer.status, answer.text));
            }
            assert_eq!(answers[0], answers[1]);
        }
        let unknown = mails::to(&app, "nobody@example.com").await;
        assert!(unknown.iter().all(|mail| mail["status"] == "DROPPED"), "nobody is written to: {unknown:#?}");
    }

    async fn a_known_address_costs_no_statement_more_than_an_unknown_one(app: App) {
        for ask in 0..2 {
            let mut counts = Vec::new();
            for email in [app.acme.owner_email.as_str(), "nobody@example.com"] {
                let (statements, email) = (Statements::default(), email.to_owned());
                let work = async {
                    match ask {
                        0 => request_reset(&app.core, RequestPasswordReset { email }).await,
                        _ => request_magic_link(&app.core, RequestMagicLink { email }).await,
                    }
                };
                statements.clone().during(work).await.unwrap();
                counts.push(statements.count());
            }
            assert!(counts[0] == counts[1] && counts[0] > 3, "{counts:?}");
        }
        // Nobody got a token for nobody.
        let rows = app.core.db.system(service::db::Reason::SignIn);
        let rows = rows.query("SELECT email FROM verification_token", Vec::new()).await.unwrap();
        let emails: Vec<String> = rows.iter().map(|row| row.try_get("", "email").unwrap()).collect();
        assert_eq!(emails, vec![app.acme.owner_email.clone(); 2]);
    }

    async fn enumeration_by_a_new_address(app: App) {
        let mut answers = Vec::new();
        for email in [app.rival.owner_email.as_str(), "free@example.com"] {
            let change = json!({ "email": email, "password": PASSWORD });
            let answer = app.acme.owner.post("/v1/me/change-email", change).await;
            answers.push((answer.status, answer.text));
        }
        assert_eq!(answers[0], answers[1]);
        let id = mails::newest(&app, &app.rival.owner_email).await;
        let told = app.admin.get(&format!("/v1/mails/{id}")).await.expect(200);
        assert!(!told["text"].as_str().unwrap().contains("#token="));
    }

    async fn tokens_null_empty_array_of_another_purpose_and_made_up(app: App) {
        let mut tokens = Vec::new();
        for (kind, ..) in USES {
            tokens.push(json!(token(&app, &app.acme.owner, &format!("{kind}@example.com"), kind).await));
        }
        let made_up = format!("{}x", &tokens[0].as_str().unwrap()[..54]);
        for (index, (kind, path, with_password)) in USES.into_iter().enumerate() {
            for bad in [json!(null), json!([]), json!([tokens[index]]), json!({}), json!(1), json!(true)] {
                let refused = app.anyone().post(path, body(&bad, with_password)).await;
                assert_eq!(refused.body["errors"][0]["pointer"], "/token", "{path} {bad}");
                refused.expect(422);
            }
            app.anyone().post(path, json!({})).await.expect(422);
            for bad in [json!(""), json!(" "), json!(made_up), json!("mc_vt_"), json!("x".repeat(10_000)), json!("\u{0}")] {
                let refused = app.anyone().post(path, body(&bad, with_password)).await;
                assert!(matches!(refused.status, 401 | 422), "{path}: {}", refused.text);
            }
            for (other, token) in tokens.iter().enumerate().filter(|(other, _)| *other != index) {
                let refused = app.anyone().post(path, body(token, with_password)).await;
                assert_eq!(refused.problem(401), "invalid_verification_token", "{kind} with token {other}");
            }
        }
        for (token, (_, path, with_password)) in tokens.iter().zip(USES) {
            let used = app.anyone().post(path, body(token, with_password)).await;
            assert!(used.status < 300, "{path}: {}", used.text);
            let again = app.anyone().post(path, body(token, with_password)).await;
            assert_eq!(again.problem(401), "invalid_verification_token");
        }
    }

    async fn a_hundred_acceptances_at_once_one_wins(app: App) {
        for (kind, path, _) in USES.into_iter().filter(|(.., with_password)| !with_password) {
            let token = json!(token(&app, &app.acme.owner, &format!("{kind}@example.com"), kind).await);
            let anyone = app.anyone();
            let uses = join_all((0..100).map(|_| anyone.post(path, body(&token, false))));
            let statuses: Vec<_> = uses.await.iter().map(|answer| answer.status).collect();
            assert_eq!(statuses.iter().filter(|status| **status < 300).count(), 1, "{path}: {statuses:?}");
            assert!(statuses.iter().all(|status| matches!(status, 200 | 204 | 401)), "{statuses:?}");
        }
    }

    async fn new_passwords_at_once_one_wins(app: App) {
        let token = json!(token(&app, &app.acme.owner, "many@example.com", "reset-token").await);
        let anyone = app.anyone();
        let resets = join_all((0..10).map(|n| {
            let body = json!({ "token": token, "password": format!("password number {n}") });
            anyone.post("/v1/auth/reset-password", body)
        }));
        let won: Vec<_> = resets.await.iter().enumerate().filter(|(_, one)| one.status == 204).map(|(n, _)| n).collect();
        assert_eq!(won.len(), 1);
        assert_eq!(login(&app, "many@example.com", &format!("password number {}", won[0])).await, 200);
    }

    async fn verifying_an_address_takes_the_account_from_who_chose_its_password(app: App) {
        let planted = member(&app, &app.acme.owner, "victim@example.com", "VIEWER").await;
        planted.post("/v1/me/verify-email", Value::Null).await.expect(202);
        let token = json!(mails::token(&app, "victim@example.com", "VERIFY_EMAIL").await);
        app.anyone().post("/v1/auth/verify-email", json!({ "token": token })).await.expect(422);
        app.anyone().post("/v1/auth/verify-email", body(&token, true)).await.expect(204);
        assert_eq!(planted.get("/v1/whoami").await.problem(401), "session_ended");
        assert_eq!(login(&app, "victim@example.com", PASSWORD).await, 401);
        app.rival.owner.post("/v1/memberships", json!({ "email": "victim@example.com" })).await.expect(201);
        let both = json!({ "email": "victim@example.com", "password": OTHER, "tenantId": app.acme.id });
        let tokens = app.anyone().post("/v1/auth/login", both).await.expect(200);
        let person = app.anyone().with_token(tokens["accessToken"].as_str().unwrap());
        let mine = person.get("/v1/me/memberships").await.expect(200);
        let place = mine["data"].as_array().unwrap().iter().find(|place| place["status"] == "INVITED").unwrap();
        let accept = format!("/v1/me/memberships/{}/accept", place["id"].as_str().unwrap());
        person.post(&accept, json!({})).await.expect(200);
    }

    async fn a_link_signs_in_once_and_verifies_nothing(app: App) {
        let token = json!(token(&app, &app.acme.owner, "link@example.com", "magic-token").await);
        let elsewhere = json!({ "token": token, "tenantId": app.rival.id });
        let refused = app.anyone().post("/v1/auth/magic-link/sign-in", elsewhere).await;
        assert_eq!(refused.problem(403), "no_membership");
        let tokens = app.anyone().post("/v1/auth/magic-link/sign-in", body(&token, false)).await.expect(200);
        let person = app.anyone().with_token(tokens["accessToken"].as_str().unwrap());
        person.get("/v1/whoami").await.expect(200);
        let change = json!({ "email": "x@example.com", "password": PASSWORD });
        assert_eq!(person.post("/v1/me/change-email", change).await.problem(403), "email_unverified");
    }

    async fn a_changed_address_makes_older_tokens_worthless(app: App) {
        let person = verified(&app, &app.acme.owner, "old@example.com", "VIEWER").await;
        app.anyone().post("/v1/auth/forgot-password", json!({ "email": "old@example.com" })).await.expect(202);
        let reset = json!(mails::token(&app, "old@example.com", "RESET_PASSWORD").await);
        let wrong = json!({ "email": "new@example.com", "password": OTHER });
        let refused = person.post("/v1/me/change-email", wrong).await;
        assert_eq!(refused.body["errors"][0]["pointer"], "/password");
        let change = json!({ "email": "New@Example.com", "password": PASSWORD });
        person.post("/v1/me/change-email", change).await.expect(202);
        let token = json!(mails::token(&app, "new@example.com", "CHANGE_EMAIL").await);
        assert_eq!(login(&app, "old@example.com", PASSWORD).await, 200, "nothing changes before the proof");
        app.anyone().post("/v1/auth/change-email", body(&token, false)).await.expect(204);
        assert_eq!((login(&app, "old@example.com", PASSWORD).await, login(&app, "new@example.com", PASSWORD).await), (401, 200));
        let late = app.anyone().post("/v1/auth/reset-password", body(&reset, true)).await;
        assert_eq!(late.problem(401), "invalid_verification_token");
        assert_eq!(mails::to(&app, "old@example.com").await[0]["kind"], "SECURITY_NOTICE");
    }

    async fn mails_to_one_person_are_throttled_and_the_answer_is_the_same(app: App) {
        for n in 0..8 {
            app.anyone().post("/v1/auth/forgot-password", json!({ "email": app.acme.owner_email })).await.expect(202);
            let mails = mails::to(&app, &app.acme.owner_email).await;
            let expected = if n < 5 { ("KEPT", Value::Null) } else { ("DROPPED", json!("TOO_MANY")) };
            assert_eq!((mails[0]["status"].as_str().unwrap(), mails[0]["reason"].clone()), expected);
        }
        assert_eq!(login(&app, &app.acme.owner_email, PASSWORD).await, 200, "the owner is not locked out");
    }

    async fn open_redirects(app: App) {
        for field in ["redirectUrl", "redirect", "next", "callbackUrl", "publicUrl"] {
            let body = json!({ "email": app.acme.owner_email, field: "https://evil.example" });
            app.anyone().post("/v1/auth/forgot-password", body).await.expect(422);
        }
        let request = app.anyone().request("POST", "/v1/auth/forgot-password").json(&json!({ "email": app.acme.owner_email }));
        let request = request.header("x-forwarded-host", "evil.example").header("origin", "https://evil.example");
        app.anyone().send(request.header("forwarded", "host=evil.example")).await.expect(202);
        let id = mails::newest(&app, &app.acme.owner_email).await;
        let mail = app.admin.get(&format!("/v1/mails/{id}")).await.expect(200);
        let text = mail["text"].as_str().unwrap();
        assert!(text.contains("https://console.example.com/reset-password#token=") && !text.contains("evil"), "{text}");
    }

    async fn a_deactivated_persons_tokens_are_refused(app: App) {
        let token = json!(token(&app, &app.acme.owner, "gone@example.com", "reset-token").await);
        let tx = app.core.db.system(service::db::Reason::People).begin().await.unwrap();
        tx.execute("UPDATE app_user SET is_active = $1 WHERE email = $2", vec![false.into(), "gone@example.com".into()]).await.unwrap();
        tx.commit().await.unwrap();
        let refused = app.anyone().post("/v1/auth/reset-password", body(&token, true)).await;
        assert_eq!(refused.problem(401), "invalid_verification_token");
    }
}

async fn an_expired_token(backend: Backend) {
    for (kind, path, with_password) in USES {
        let clock = Clock::manual("2026-11-24T12:00:00Z".parse().unwrap());
        let world = World { ids: Ids::random(clock.clone()), clock: clock.clone() };
        let app = App::start_with(backend, world, |config| config.engine.concurrency = 0).await;
        let token = json!(token(&app, &app.acme.owner, "late@example.com", kind).await);
        clock.advance(Duration::from_secs(24 * 3600 + 1));
        let refused = app.anyone().post(path, body(&token, with_password)).await;
        assert_eq!(refused.problem(401), "invalid_verification_token", "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_sqlite() {
    an_expired_token(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_postgres() {
    an_expired_token(Backend::Postgres).await;
}
