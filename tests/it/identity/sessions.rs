//! `/v1/auth` as a caller sees it.

use std::time::Duration;

use entity::identity::refresh_token;
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};
use serde_json::{Value, json};

use crate::support::process::Home;
use crate::support::{App, Backend, Client, PASSWORD, database, first_tenant};

async fn log_in(app: &App, email: &str, password: &str) -> crate::support::Answer {
    app.anyone().post("/v1/auth/login", json!({ "email": email, "password": password })).await
}

async fn refresh(app: &App, tokens: &Value) -> crate::support::Answer {
    app.anyone().post("/v1/auth/refresh", json!({ "refreshToken": tokens["refreshToken"] })).await
}

fn with_token(app: &App, tokens: &Value) -> crate::support::Client {
    app.anyone().with_token(tokens["accessToken"].as_str().unwrap())
}

/// Lets a session have used so many tokens before.
async fn use_tokens(app: &App, session: &str, count: u32) {
    let now = app.core.clock.now();
    let row = |n: u32| refresh_token::Model {
        hash: n.to_be_bytes().to_vec(),
        session_id: session.parse().unwrap(),
        created_at: now,
        used_at: Some(now),
    };
    let tx = app.core.db.system(service::db::Reason::SignIn).begin().await.unwrap();
    let rows = (0..count).map(|n| row(n).into_active_model().reset_all());
    refresh_token::Entity::insert_many(rows).exec_without_returning(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
}

on_both! {
    async fn enumeration_by_login(app: App) {
        let wrong = log_in(&app, &app.acme.owner_email, "not the password").await;
        let unknown = log_in(&app, "nobody@example.com", PASSWORD).await;
        assert_eq!(wrong.body["detail"], unknown.body["detail"]);
        assert_eq!((wrong.problem(401), unknown.problem(401)), ("wrong_credentials".into(), "wrong_credentials".into()));
        log_in(&app, &app.acme.owner_email.to_uppercase(), PASSWORD).await.expect(200);
    }

    async fn refresh_reuse_ends_the_session(app: App) {
        let first = log_in(&app, &app.acme.owner_email, PASSWORD).await.expect(200);
        let second = refresh(&app, &first).await.expect(200);
        with_token(&app, &second).get("/v1/whoami").await.expect(200);
        assert_eq!(refresh(&app, &first).await.problem(401), "invalid_refresh_token");
        assert_eq!(refresh(&app, &second).await.problem(401), "invalid_refresh_token");
        assert_eq!(with_token(&app, &second).get("/v1/whoami").await.problem(401), "session_ended");
        app.acme.owner.get("/v1/whoami").await.expect(200);
    }

    async fn many_refreshes_do_not_make_a_used_token_forgotten(app: App) {
        let first = log_in(&app, &app.acme.owner_email, PASSWORD).await.expect(200);
        let mut last = first.clone();
        for _ in 0..40 {
            last = refresh(&app, &last).await.expect(200);
        }
        assert_eq!(refresh(&app, &first).await.problem(401), "invalid_refresh_token");
        assert_eq!(with_token(&app, &last).get("/v1/whoami").await.problem(401), "session_ended");
    }

    async fn a_session_ends_when_it_was_refreshed_too_often(app: App) {
        let tokens = log_in(&app, &app.acme.owner_email, PASSWORD).await.expect(200);
        let who = with_token(&app, &tokens).get("/v1/whoami").await.expect(200);
        use_tokens(&app, who["credential"]["id"].as_str().unwrap(), 4999).await;
        let tokens = refresh(&app, &tokens).await.expect(200);
        assert_eq!(refresh(&app, &tokens).await.problem(401), "invalid_refresh_token");
        assert_eq!(with_token(&app, &tokens).get("/v1/whoami").await.problem(401), "session_ended");
    }

    async fn of_many_refreshes_at_once_one_wins(app: App) {
        for _ in 0..5 {
            let tokens = log_in(&app, &app.acme.owner_email, PASSWORD).await.expect(200);
            let all = futures_util::future::join_all((0..8).map(|_| refresh(&app, &tokens))).await;
            let won = all.iter().filter(|answer| answer.status == 200).count();
            assert_eq!(won, 1, "{:?}", all.iter().map(|answer| answer.status).collect::<Vec<_>>());
            assert!(all.iter().all(|answer| matches!(answer.status, 200 | 401)));
        }
    }

    async fn signing_out_ends_the_session_of_either_token(app: App) {
        let tokens = log_in(&app, &app.acme.owner_email, PASSWORD).await.expect(200);
        with_token(&app, &tokens).send(with_token(&app, &tokens).request("POST", "/v1/auth/logout")).await.expect(204);
        assert_eq!(refresh(&app, &tokens).await.problem(401), "invalid_refresh_token");
        assert_eq!(with_token(&app, &tokens).get("/v1/whoami").await.problem(401), "session_ended");

        let tokens = log_in(&app, &app.acme.owner_email, PASSWORD).await.expect(200);
        let body = json!({ "refreshToken": tokens["refreshToken"] });
        app.anyone().post("/v1/auth/logout", body.clone()).await.expect(204);
        app.anyone().post("/v1/auth/logout", body).await.expect(204);
        assert_eq!(with_token(&app, &tokens).get("/v1/whoami").await.problem(401), "session_ended");
        assert_eq!(app.anyone().post("/v1/auth/logout", json!({})).await.problem(401), "no_session");
    }

    async fn a_person_of_two_tenants_switches_between_them_and_into_no_third(app: App) {
        let invited = json!({ "email": app.acme.owner_email, "role": "VIEWER" });
        app.rival.owner.post("/v1/memberships", invited).await.expect(201);
        let tokens = log_in(&app, &app.acme.owner_email, PASSWORD).await.expect(200);
        let go = |tokens: Value, tenant: String| {
            let app = &app;
            async move {
                let body = json!({ "refreshToken": tokens["refreshToken"], "tenantId": tenant });
                app.anyone().post("/v1/auth/refresh", body).await
            }
        };
        assert_eq!(go(tokens.clone(), app.rival.id.clone()).await.problem(403), "no_membership");
        let mine = app.acme.owner.get("/v1/me/memberships").await.expect(200);
        let place = mine["data"].as_array().unwrap().iter().find(|place| place["status"] == "INVITED").unwrap();
        let accept = format!("/v1/me/memberships/{}/accept", place["id"].as_str().unwrap());
        assert_eq!(app.admin.post(&accept, json!({})).await.problem(404), "not_found");
        app.acme.owner.post(&accept, json!({})).await.expect(200);
        let moved = go(tokens, app.rival.id.clone()).await.expect(200);
        assert_eq!(moved["tenantId"], app.rival.id.as_str());
        let who = with_token(&app, &moved).get("/v1/whoami").await.expect(200);
        assert_eq!((&who["tenant"]["id"], &who["role"]), (&json!(app.rival.id), &json!("VIEWER")));
    }

    async fn guesses_are_refused_before_they_are_many(app: App) {
        let mut refused = 0;
        for _ in 0..12 {
            refused += i32::from(log_in(&app, "guessed@example.com", "not the password").await.status == 429);
        }
        assert!(refused > 0);
        log_in(&app, &app.acme.owner_email, PASSWORD).await.expect(200);
    }
}

on_both! {
    manual;
    async fn brute_force_is_throttled_per_account_and_address_without_locking_the_owner_out(app: App) {
        let server = app.serve(|options| options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]);
        let anyone = app.anyone().at(&server);
        let from = async |address: String, password: &str| {
            let body = json!({ "email": app.acme.owner_email, "password": password });
            anyone.send(anyone.request("POST", "/v1/auth/login").header("x-forwarded-for", address).json(&body)).await
        };
        let home = || "192.0.2.1".to_owned();
        from(home(), PASSWORD).await.expect(200);
        // One address soon has no guess left, and many together neither.
        let (mut looked_at, mut refused) = (0, 0);
        for stranger in 0..12 {
            for _ in 0..11 {
                let answer = from(format!("198.51.100.{stranger}"), "not the password").await;
                let count = if answer.status == 429 { &mut refused } else { &mut looked_at };
                *count += 1;
                if answer.status == 429 {
                    assert!(answer.headers.contains_key("retry-after"));
                    assert_eq!(answer.problem(429), "sign_in_attempts");
                    break;
                }
            }
        }
        assert!(looked_at == 60 && refused == 12, "{looked_at} guesses were looked at, {refused} addresses refused");
        assert_eq!(from("198.51.100.77".to_owned(), PASSWORD).await.problem(429), "sign_in_attempts");
        from(home(), PASSWORD).await.expect(200);
    }
}

on_both! {
    manual;
    async fn refresh_tokens_null_empty_array_and_expired(app: App) {
        let good = log_in(&app, &app.acme.owner_email, PASSWORD).await.expect(200);
        let token = good["refreshToken"].as_str().unwrap();
        for bad in [json!(null), json!([]), json!([token]), json!({}), json!(1), json!(true)] {
            let refused = app.anyone().post("/v1/auth/refresh", json!({ "refreshToken": bad })).await;
            assert_eq!(refused.body["errors"][0]["pointer"], "/refreshToken", "{bad}");
            refused.expect(422);
        }
        app.anyone().post("/v1/auth/refresh", json!({})).await.expect(422);
        let made_up = format!("{}x", &token[..token.len() - 1]);
        for bad in ["", " ", "mc_rt_", "x", &made_up, &token.to_uppercase(), &"x".repeat(10_000)] {
            let refused = app.anyone().post("/v1/auth/refresh", json!({ "refreshToken": bad })).await;
            assert_eq!(refused.problem(401), "invalid_refresh_token", "{bad}");
        }
        // Thirty days from signing in, however often it is refreshed.
        app.core.clock.advance(Duration::from_secs(30 * 24 * 3600 - 1));
        let last = refresh(&app, &good).await.expect(200);
        app.core.clock.advance(Duration::from_secs(2));
        assert_eq!(refresh(&app, &last).await.problem(401), "invalid_refresh_token");
        assert!(matches!(with_token(&app, &last).get("/v1/whoami").await.problem(401).as_str(), "session_ended" | "token_expired"));
    }
}

/// A password for the owner of acme, from this address.
async fn from(anyone: &Client, email: &str, address: &str, password: &str) -> crate::support::Answer {
    let body = json!({ "email": email, "password": password });
    let request = anyone.request("POST", "/v1/auth/login").header("x-forwarded-for", address);
    anyone.send(request.json(&body)).await
}

/// Guesses from ever more addresses, until the account's own bucket is empty.
async fn exhausted(anyone: &Client, email: &str) {
    for stranger in 0..50 {
        for _ in 0..9 {
            let answer = from(anyone, email, &format!("198.51.100.{stranger}"), "not the password").await;
            if answer.status == 429 {
                return;
            }
        }
    }
    panic!("the account can be guessed at for ever");
}

/// A process that has just started remembers nobody, but the sessions do.
async fn an_owner_at_home_gets_in_after_a_restart(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home {
        folder: folder.path().to_owned(),
        database: database::fresh(backend, folder.path()).await,
        private_hosts: String::new(),
        lease_seconds: 30,
        concurrency: 1,
    };
    let proxies = [("MC_TRUSTED_PROXIES", "127.0.0.0/8")];
    let mut process = home.start_with(0, &proxies).await;
    let acme = first_tenant(&process.url).await;
    let email = acme.owner_email.clone();
    for at in ["192.0.2.1", "2001:db8:1:2::77"] {
        from(&Client::new(&process.url), &email, at, PASSWORD).await.expect(200);
    }
    process.kill();
    let process = home.start_with(0, &proxies).await;
    let anyone = Client::new(&process.url);
    exhausted(&anyone, &email).await;
    let stranger = from(&anyone, &email, "203.0.113.9", PASSWORD).await;
    assert_eq!(stranger.problem(429), "sign_in_attempts");
    // The same household has another address of its network today.
    for at in ["192.0.2.1", "2001:db8:1:2::99"] {
        from(&anyone, &email, at, PASSWORD).await.expect(200);
    }
    for at in ["192.0.2.2", "2001:db8:1:3::77"] {
        assert_eq!(from(&anyone, &email, at, PASSWORD).await.problem(429), "sign_in_attempts");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_at_home_gets_in_after_a_restart_sqlite() {
    an_owner_at_home_gets_in_after_a_restart(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_at_home_gets_in_after_a_restart_postgres() {
    an_owner_at_home_gets_in_after_a_restart(Backend::Postgres).await;
}
