//! Mails on their way: to a real SMTP server, and kept where there is none.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::{Value, json};
use service::clock::Clock;
use service::core::World;
use service::ids::Ids;

use crate::support::mails::token_in;
use crate::support::smtp::SmtpServer;
use crate::support::{App, Backend, PASSWORD, eventually, mails};

const PAUSE: Duration = Duration::from_secs(120);

async fn start(backend: Backend, smtp: String) -> (App, Clock) {
    let clock = Clock::manual("2026-11-24T12:00:00Z".parse().unwrap());
    let world = World { ids: Ids::random(clock.clone()), clock: clock.clone() };
    let mut app = App::start_with(backend, world, |config| {
        config.mail.from = "Mission Control <no-reply@example.com>".to_owned();
        config.mail.smtp_url = Some(SecretString::from(smtp));
    })
    .await;
    // A session would end while time passes.
    let key = json!({ "name": "reads mails", "scopes": ["platform:mails"] });
    let key = app.admin.post("/v1/api-keys", key).await.expect(201);
    app.admin = app.anyone().with_key(key["key"].as_str().unwrap());
    (app, clock)
}

async fn forgot(app: &App, email: &str) {
    app.anyone().post("/v1/auth/forgot-password", json!({ "email": email })).await.expect(202);
}

/// A member with this address, and a token that was asked for.
async fn asked(app: &App, email: &str) {
    let body = json!({ "email": email, "role": "VIEWER", "password": PASSWORD });
    app.acme.owner.post("/v1/memberships", body).await.expect(201);
    forgot(app, email).await;
}

async fn mail(app: &App, recipient: &str) -> Value {
    mails::to(app, recipient).await.into_iter().next().unwrap_or_default()
}

async fn becomes(app: &App, recipient: &str, status: &str) -> Value {
    eventually(status, async || mail(app, recipient).await["status"] == status).await;
    mail(app, recipient).await
}

/// Waits until an attempt is over: an attempt counts when it begins, and is on its way for longer than
/// the pauses of this test.
async fn put_off(app: &App, clock: &Clock, recipient: &str, attempts: i32, reason: &str) {
    let over = async || {
        let mail = mail(app, recipient).await;
        let next: Option<DateTime<Utc>> = serde_json::from_value(mail["nextAttemptAt"].clone()).unwrap();
        let is_over = next.is_some_and(|next| next <= clock.now() + PAUSE);
        is_over && mail["attempts"] == attempts && mail["reason"] == reason
    };
    eventually("put off", over).await;
}

async fn mails_are_delivered_retried_and_given_up(backend: Backend) {
    let server = SmtpServer::start().await;
    let (app, clock) = start(backend, server.url()).await;

    asked(&app, "ada@example.org").await;
    let sent = becomes(&app, "ada@example.org", "SENT").await;
    let taken = server.taken_for("ada@example.org");
    assert_eq!((taken.len(), &sent["attempts"]), (1, &json!(1)));
    let headers = &taken[0]["headers"];
    assert_eq!(headers["from"], "Mission Control <no-reply@example.com>");
    assert_eq!((&headers["to"], &headers["subject"]), (&json!("ada@example.org"), &sent["subject"]));
    assert_eq!(headers["message-id"], format!("<{}@example.com>", sent["id"].as_str().unwrap()));
    assert!(taken[0]["text"].as_str().unwrap().contains("https://console.example.com/reset-password#token="));
    let kept = app.admin.get(&format!("/v1/mails/{}", sent["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(kept["text"], Value::Null, "what was sent is not shown");

    let reset = json!({ "token": token_in(taken[0]["text"].as_str().unwrap()), "password": PASSWORD });
    app.anyone().post("/v1/auth/reset-password", reset).await.expect(204);

    asked(&app, "busy-2@example.org").await;
    for attempts in 1..=2 {
        put_off(&app, &clock, "busy-2@example.org", attempts, "SMTP_451").await;
        assert_eq!(server.taken_for("busy-2@example.org").len(), 0);
        clock.advance(PAUSE);
    }
    assert_eq!(becomes(&app, "busy-2@example.org", "SENT").await["attempts"], 3);
    assert_eq!(server.taken_for("busy-2@example.org").len(), 1);

    asked(&app, "unknown@example.org").await;
    let failed = becomes(&app, "unknown@example.org", "FAILED").await;
    assert_eq!((&failed["reason"], &failed["attempts"]), (&json!("SMTP_550"), &json!(1)));
}

async fn a_mail_outlives_a_server_that_is_away_and_then_ends(backend: Backend) {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (app, clock) = start(backend, format!("smtp://127.0.0.1:{closed}")).await;
    asked(&app, "ada@example.org").await;
    for attempts in 1..=3 {
        put_off(&app, &clock, "ada@example.org", attempts, "CONNECTION").await;
        assert_eq!(mail(&app, "ada@example.org").await["status"], "QUEUED");
        clock.advance(PAUSE);
    }
    clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(becomes(&app, "ada@example.org", "FAILED").await["reason"], "EXPIRED");
}

macro_rules! on_each_database {
    ($($name:ident)+) => {
        $(mod $name {
            use super::Backend;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name(Backend::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$name(Backend::Postgres).await;
            }
        })+
    };
}

on_each_database! {
    mails_are_delivered_retried_and_given_up
    a_mail_outlives_a_server_that_is_away_and_then_ends
}

on_both! {
    idle;
    async fn without_a_server_mails_are_kept_for_the_platform_alone(app: App) {
        forgot(&app, &app.acme.owner_email).await;
        let id = mails::newest(&app, &app.acme.owner_email).await;
        let kept = app.admin.get(&format!("/v1/mails/{id}")).await.expect(200);
        assert_eq!((&kept["status"], &kept["kind"]), (&json!("KEPT"), &json!("RESET_PASSWORD")));
        assert!(kept["text"].as_str().unwrap().contains("#token=mc_vt_"));
        let listed = app.admin.get("/v1/mails?kind=RESET_PASSWORD&status=KEPT").await;
        assert!(!listed.text.contains("mc_vt_"));
        for path in ["/v1/mails".to_owned(), format!("/v1/mails/{id}")] {
            assert_eq!(app.acme.owner.get(&path).await.problem(403), "permission_missing");
        }
    }
}
