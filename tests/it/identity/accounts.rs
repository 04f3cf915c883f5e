//! Signing in with an account elsewhere: at a provider that others wrote, and at one that misbehaves. Each
//! attack is a test.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use service::clock::Clock;
use service::core::World;
use service::ids::Ids;

use crate::support::accounts::{callback, link, proved, sign_in, visit, visit_to_link};
use crate::support::oidc_provider::OidcProvider;
use crate::support::oidc_server::{OidcServer, REDIRECT, Signature};
use crate::support::people::{member, verified};
use crate::support::second_factors::{Authenticator, complete};
use crate::support::{Answer, App, Backend, Client, PASSWORD, mails};

async fn start(backend: Backend) -> (App, OidcServer) {
    let clock = Clock::manual("2026-11-25T12:00:00Z".parse().unwrap());
    let server = OidcServer::start(clock.clone());
    let world = World { ids: Ids::random(clock.clone()), clock };
    let settings = server.settings();
    let adjust = |config: &mut service::config::Config| {
        config.engine.concurrency = 0;
        config.oidc = settings;
    };
    (App::start_with(backend, world, adjust).await, server)
}

/// Declares a test with a provider of its own.
macro_rules! at_a_provider {
    ($(async fn $name:ident($app:ident: App, $server:ident: OidcServer) $body:block)+) => {
        $(
            async fn $name($app: App, $server: OidcServer) $body

            mod $name {
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn sqlite() {
                    let (app, server) = super::start(super::Backend::Sqlite).await;
                    super::$name(app, server).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn postgres() {
                    let (app, server) = super::start(super::Backend::Postgres).await;
                    super::$name(app, server).await;
                }
            }
        )+
    };
}

fn session(app: &App, answer: Answer) -> Client {
    app.anyone().with_token(answer.expect(200)["accessToken"].as_str().unwrap())
}

fn owner(app: &App) -> Value {
    proved("owner-1", &app.acme.owner_email)
}

/// Refuses an answer for this reason, and takes the next proper one.
async fn refuses(app: &App, server: &OidcServer, claims: Value, reason: &str) {
    server.misbehave(|faults| faults.claims = claims.clone());
    let refused = sign_in(app, server, owner(app)).await;
    let detail = refused.body["detail"].as_str().unwrap().to_owned();
    assert_eq!(refused.problem(401), "oidc_refused", "{claims}");
    assert!(detail.contains(reason), "{claims}: {detail}");
    server.misbehave(|faults| faults.claims = json!({}));
    sign_in(app, server, owner(app)).await.expect(200);
}

at_a_provider! {
    async fn a_person_signs_in_and_is_known_by_the_subject(app: App, server: OidcServer) {
        let listed = app.anyone().get("/v1/auth/oidc").await.expect(200);
        assert_eq!(listed["data"], json!([{ "id": "example", "name": "Example Ltd" }]));
        let person = session(&app, sign_in(&app, &server, owner(&app)).await);
        assert_eq!(person.get("/v1/whoami").await.expect(200)["tenant"]["id"], app.acme.id.as_str());
        let accounts = person.get("/v1/me/accounts").await.expect(200)["data"].clone();
        assert_eq!((&accounts[0]["provider"], &accounts[0]["providerAccountId"]), (&json!("example"), &json!("owner-1")));
        // Another address there, and nobody vouches for it: it is the same account.
        let moved = json!({ "sub": "owner-1", "email": "elsewhere@example.com", "email_verified": false });
        let person = session(&app, sign_in(&app, &server, moved).await);
        let me = person.get("/v1/me").await.expect(200);
        assert_eq!(me["email"], app.acme.owner_email.as_str());
        assert_eq!(person.get("/v1/me/accounts").await.expect(200)["data"].as_array().unwrap().len(), 1);
    }

    async fn a_stranger_is_not_let_in_and_an_invited_person_is(app: App, server: OidcServer) {
        let grace = proved("grace-1", "Grace@Example.com");
        assert_eq!(sign_in(&app, &server, grace.clone()).await.problem(403), "oidc_unknown_person");
        let invite = json!({ "email": "grace@example.com", "role": "MANAGER" });
        app.acme.owner.post("/v1/team-invites", invite).await.expect(201);
        let unproved = json!({ "sub": "eve-1", "email": "grace@example.com", "email_verified": false });
        assert_eq!(sign_in(&app, &server, unproved).await.problem(403), "oidc_email_unverified");
        let person = session(&app, sign_in(&app, &server, grace).await);
        let me = person.get("/v1/whoami").await.expect(200);
        assert_eq!((&me["role"], &me["tenant"]["id"]), (&json!("MANAGER"), &json!(app.acme.id)));
        assert_eq!(me["user"]["name"], "Somebody");
        let invites = app.acme.owner.get("/v1/team-invites").await.expect(200);
        assert_eq!(invites["data"][0]["status"], "ACCEPTED");
        let log = app.acme.owner.get("/v1/audit-logs?limit=200").await.expect(200).to_string();
        assert!(log.contains("grace-1") && !log.contains("mc_os_"));
        assert!(!app.rival.owner.get("/v1/audit-logs?limit=200").await.expect(200).to_string().contains("grace-1"));
    }

    async fn who_has_no_password_signs_in_again_where_others_give_theirs(app: App, server: OidcServer) {
        for email in ["grace@example.com", "leaver@example.com"] {
            app.acme.owner.post("/v1/team-invites", json!({ "email": email, "role": "MANAGER" })).await.expect(201);
        }
        let grace = proved("grace-1", "grace@example.com");
        let tokens = sign_in(&app, &server, grace.clone()).await.expect(200);
        app.core.clock.advance(Duration::from_secs(601));
        // The session goes on, but nobody knows who sits there now.
        let tokens = app.anyone().post("/v1/auth/refresh", json!({ "refreshToken": tokens["refreshToken"] })).await.expect(200);
        let stale = app.anyone().with_token(tokens["accessToken"].as_str().unwrap());
        for (path, body) in [
            ("/v1/me/change-email", json!({ "email": "new@example.com" })),
            ("/v1/me/change-email", json!({ "email": "new@example.com", "password": PASSWORD })),
            ("/v1/me/password", json!({ "newPassword": PASSWORD })),
            ("/v1/me/delete", json!({})),
        ] {
            assert_eq!(stale.post(path, body).await.problem(403), "fresh_sign_in_required", "{path}");
        }
        let fresh = session(&app, sign_in(&app, &server, grace.clone()).await);
        fresh.post("/v1/me/change-email", json!({ "email": "new@example.com" })).await.expect(202);
        let token = mails::token(&app, "new@example.com", "CHANGE_EMAIL").await;
        app.anyone().post("/v1/auth/change-email", json!({ "token": token })).await.expect(204);
        assert_eq!(fresh.get("/v1/me").await.expect(200)["email"], "new@example.com");
        fresh.post("/v1/me/password", json!({ "newPassword": PASSWORD })).await.expect(204);
        // From now on there is one, and it is asked for, however fresh the session is.
        let with_password = session(&app, sign_in(&app, &server, grace).await);
        for (path, body, pointer) in [
            ("/v1/me/password", json!({ "newPassword": PASSWORD }), "/currentPassword"),
            ("/v1/me/change-email", json!({ "email": "x@example.com" }), "/password"),
            ("/v1/me/delete", json!({}), "/password"),
        ] {
            let refused = with_password.post(path, body).await;
            assert_eq!((&refused.body["errors"][0]["pointer"], &refused.body["errors"][0]["code"]), (&json!(pointer), &json!("required")));
            refused.expect(422);
        }
        let login = json!({ "email": "new@example.com", "password": PASSWORD });
        app.anyone().post("/v1/auth/login", login).await.expect(200);
        let leaver = session(&app, sign_in(&app, &server, proved("leaver-1", "leaver@example.com")).await);
        leaver.post("/v1/me/delete", json!({})).await.expect(204);
        assert_eq!(leaver.get("/v1/whoami").await.problem(401), "session_ended");
    }

    async fn missing_state(app: App, server: OidcServer) {
        let good = visit(&app, &server, owner(&app)).await;
        let another = visit(&app, &server, owner(&app)).await;
        for bad in [Value::Null, json!([]), json!([good["state"]]), json!(1)] {
            let mut answer = good.clone();
            answer["state"] = bad;
            let refused = callback(&app, answer).await;
            assert_eq!(refused.body["errors"][0]["pointer"], "/state");
        }
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove("state");
        callback(&app, without).await.expect(422);
        for bad in ["", "mc_os_", "x", &"x".repeat(10_000)] {
            let mut answer = good.clone();
            answer["state"] = json!(bad);
            assert_eq!(callback(&app, answer).await.problem(401), "invalid_oidc_state");
        }
        // The code of one sign-in with the state of another: PKCE and nonce hold them together.
        let mut mixed = good.clone();
        mixed["state"] = another["state"].clone();
        assert_eq!(callback(&app, mixed).await.problem(401), "oidc_refused");
    }

    async fn a_state_used_expired_and_of_another_purpose(app: App, server: OidcServer) {
        let answer = visit(&app, &server, owner(&app)).await;
        callback(&app, answer.clone()).await.expect(200);
        assert_eq!(callback(&app, answer).await.problem(401), "invalid_oidc_state");
        let late = visit(&app, &server, owner(&app)).await;
        app.core.clock.advance(Duration::from_secs(601));
        assert_eq!(callback(&app, late).await.problem(401), "invalid_oidc_state");
        let of_a_link = visit_to_link(&app.rival.owner, &server, proved("rival-1", "rival@example.com")).await;
        assert_eq!(callback(&app, of_a_link).await.problem(401), "invalid_oidc_state");
    }

    async fn a_hundred_answers_at_once_one_wins(app: App, server: OidcServer) {
        let answer = visit(&app, &server, owner(&app)).await;
        let answers = join_all((0..100).map(|_| callback(&app, answer.clone()))).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    }

    async fn missing_and_wrong_nonce(app: App, server: OidcServer) {
        refuses(&app, &server, json!({ "nonce": null }), "nonce").await;
        refuses(&app, &server, json!({ "nonce": "another" }), "nonce").await;
        refuses(&app, &server, json!({ "nonce": ["another"] }), "claims").await;
    }

    async fn wrong_audience_and_party(app: App, server: OidcServer) {
        refuses(&app, &server, json!({ "aud": "another" }), "aud").await;
        refuses(&app, &server, json!({ "aud": [] }), "aud").await;
        refuses(&app, &server, json!({ "aud": null }), "claims").await;
        refuses(&app, &server, json!({ "aud": ["mission-control", "another"] }), "azp").await;
        refuses(&app, &server, json!({ "azp": "another" }), "azp").await;
    }

    async fn wrong_issuer(app: App, server: OidcServer) {
        refuses(&app, &server, json!({ "iss": "https://evil.example" }), "iss").await;
        refuses(&app, &server, json!({ "iss": null }), "claims").await;
        let mut answer = visit(&app, &server, owner(&app)).await;
        answer["iss"] = json!("https://evil.example");
        assert_eq!(callback(&app, answer).await.problem(401), "oidc_refused");
        // It says that it always sends `iss` (RFC 9207).
        let mut answer = visit(&app, &server, owner(&app)).await;
        answer.as_object_mut().unwrap().remove("iss");
        assert_eq!(callback(&app, answer).await.problem(401), "oidc_refused");
    }

    async fn times_of_wrong_type_and_out_of_bounds(app: App, server: OidcServer) {
        let now = app.core.clock.now().timestamp();
        for (claims, reason) in [
            (json!({ "exp": (now + 300).to_string() }), "claims"),
            (json!({ "exp": null }), "claims"),
            (json!({ "exp": true }), "claims"),
            (json!({ "exp": now - 61 }), "exp"),
            (json!({ "iat": null }), "claims"),
            (json!({ "iat": now + 120 }), "iat"),
            (json!({ "iat": now - 3600 }), "iat"),
            (json!({ "nbf": now + 120 }), "nbf"),
            (json!({ "sub": "" }), "sub"),
            (json!({ "sub": 7 }), "claims"),
            (json!({ "sub": "x".repeat(256) }), "sub"),
        ] {
            refuses(&app, &server, claims, reason).await;
        }
        server.misbehave(|faults| faults.claims = json!({ "exp": now - 30, "iat": now + 30, "nbf": now + 30 }));
        sign_in(&app, &server, owner(&app)).await.expect(200);
    }

    async fn alg_none_hs256_and_a_forged_signature(app: App, server: OidcServer) {
        for signature in [Signature::Absent, Signature::OfPublicKey, Signature::Forged] {
            server.misbehave(|faults| faults.signature = signature);
            assert_eq!(sign_in(&app, &server, owner(&app)).await.problem(401), "oidc_refused");
            server.misbehave(|faults| faults.signature = Signature::Proper);
            sign_in(&app, &server, owner(&app)).await.expect(200);
        }
    }

    async fn key_rotation(app: App, server: OidcServer) {
        sign_in(&app, &server, owner(&app)).await.expect(200);
        sign_in(&app, &server, owner(&app)).await.expect(200);
        assert_eq!(server.asked_for_keys(), 1);
        server.rotate();
        sign_in(&app, &server, owner(&app)).await.expect(200);
        assert_eq!(server.asked_for_keys(), 2, "an unknown key has them looked up again");
        server.rotate();
        for _ in 0..5 {
            assert_eq!(sign_in(&app, &server, owner(&app)).await.problem(401), "oidc_refused");
        }
        assert_eq!(server.asked_for_keys(), 2, "once a minute");
        app.core.clock.advance(Duration::from_secs(60));
        sign_in(&app, &server, owner(&app)).await.expect(200);
        assert_eq!(server.asked_for_keys(), 3);
    }

    async fn unverified_email_as_string(app: App, server: OidcServer) {
        for verified in [json!("true"), json!("false"), json!(false), json!(1), json!([true]), json!({}), Value::Null] {
            let claims = json!({ "sub": "eve-1", "email": app.acme.owner_email, "email_verified": verified });
            assert_eq!(sign_in(&app, &server, claims).await.problem(403), "oidc_email_unverified", "{verified}");
        }
        let without = json!({ "sub": "eve-1", "email_verified": true });
        assert_eq!(sign_in(&app, &server, without).await.problem(403), "oidc_email_unverified");
        let not_text = json!({ "sub": "eve-1", "email": [app.acme.owner_email], "email_verified": true });
        assert_eq!(sign_in(&app, &server, not_text).await.problem(401), "oidc_refused");
    }

    async fn reassigned_email(app: App, server: OidcServer) {
        sign_in(&app, &server, owner(&app)).await.expect(200);
        let heir = proved("somebody-else", &app.acme.owner_email);
        assert_eq!(sign_in(&app, &server, heir.clone()).await.problem(403), "oidc_other_account");
        let accounts = app.acme.owner.get("/v1/me/accounts").await.expect(200);
        assert_eq!(accounts["data"].as_array().unwrap().len(), 1);
        assert_eq!(link(&app.rival.owner, &server, owner(&app)).await.problem(409), "account_taken");
        sign_in(&app, &server, owner(&app)).await.expect(200);
    }

    async fn an_account_that_somebody_planted(app: App, server: OidcServer) {
        let planter = member(&app, &app.acme.owner, "victim@example.com", "VIEWER").await;
        let begin = json!({ "redirectUri": REDIRECT, "password": PASSWORD });
        assert_eq!(planter.post("/v1/me/accounts/example/start", begin).await.problem(403), "email_unverified");
        let victim = session(&app, sign_in(&app, &server, proved("victim-1", "victim@example.com")).await);
        assert_eq!(planter.get("/v1/whoami").await.problem(401), "session_ended");
        let login = json!({ "email": "victim@example.com", "password": PASSWORD });
        assert_eq!(app.anyone().post("/v1/auth/login", login).await.problem(401), "wrong_credentials");
        assert_ne!(victim.get("/v1/me").await.expect(200)["emailVerifiedAt"], Value::Null);
    }

    async fn huge_discovery(app: App, server: OidcServer) {
        server.misbehave(|faults| faults.padding = 300 << 10);
        let begin = json!({ "redirectUri": REDIRECT });
        let refused = app.anyone().post("/v1/auth/oidc/example/start", begin.clone()).await;
        assert_eq!(refused.problem(502), "upstream_failed");
        server.misbehave(|faults| faults.padding = 100 << 10);
        app.anyone().post("/v1/auth/oidc/example/start", begin).await.expect(200);
    }

    async fn a_description_of_another_issuer_or_without_tls(app: App, server: OidcServer) {
        let begin = json!({ "redirectUri": REDIRECT });
        for fault in [
            json!({ "issuer": "https://evil.example" }),
            json!({ "issuer": format!("{}/", server.issuer()) }),
            json!({ "token_endpoint": "http://evil.example/token" }),
            json!({ "authorization_endpoint": "http://evil.example/" }),
            json!({ "authorization_endpoint": "javascript:alert(1)" }),
            json!({ "jwks_uri": "http://127.0.0.1:1/jwks" }),
            json!({ "jwks_uri": null }),
            json!({ "token_endpoint": 7 }),
        ] {
            server.misbehave(|faults| faults.metadata = fault.clone());
            let refused = app.anyone().post("/v1/auth/oidc/example/start", begin.clone()).await;
            assert_eq!(refused.problem(502), "upstream_failed", "{fault}");
        }
        server.misbehave(|faults| faults.metadata = json!({}));
        app.anyone().post("/v1/auth/oidc/example/start", begin).await.expect(200);
    }

    async fn open_redirects(app: App, server: OidcServer) {
        for bad in [
            "https://evil.example/",
            "https://console.example.com/sign-in/callback/../evil",
            "https://console.example.com/sign-in/callback?next=https://evil.example",
            "https://console.example.com/sign-in/callback#x",
            "https://CONSOLE.example.com/sign-in/callback",
            "//evil.example",
            "",
        ] {
            let refused = app.anyone().post("/v1/auth/oidc/example/start", json!({ "redirectUri": bad })).await;
            assert_eq!(refused.body["errors"][0]["pointer"], "/redirectUri", "{bad}");
            refused.expect(422);
        }
        let refused = app.anyone().post("/v1/auth/oidc/other/start", json!({ "redirectUri": REDIRECT })).await;
        assert_eq!(refused.problem(404), "not_found");
        assert_eq!(server.asked_for_keys(), 0);
    }

    async fn the_second_factor_is_asked_for(app: App, server: OidcServer) {
        let person = verified(&app, &app.acme.owner, "ada@example.com", "VIEWER").await;
        let authenticator = Authenticator::enable(&app, &person).await;
        let asked = sign_in(&app, &server, proved("ada-1", "ada@example.com")).await.expect(202);
        assert!(asked.get("accessToken").is_none());
        complete(&app, asked["challenge"].as_str().unwrap(), &authenticator.code(&app, 1)).await.expect(200);
    }

    async fn linking_to_whom_began_it_only(app: App, server: OidcServer) {
        let start = "/v1/me/accounts/example/start";
        for bad in [json!({ "redirectUri": REDIRECT }), json!({ "redirectUri": REDIRECT, "password": "not the password" })] {
            assert_eq!(app.acme.owner.post(start, bad).await.body["errors"][0]["pointer"], "/password");
        }
        let elsewhere = proved("owner-private", "private@example.net");
        let answer = visit_to_link(&app.acme.owner, &server, elsewhere.clone()).await;
        let refused = app.rival.owner.post("/v1/me/accounts/example/callback", answer).await;
        assert_eq!(refused.body["errors"][0]["pointer"], "/state");
        let of_a_sign_in = visit(&app, &server, elsewhere.clone()).await;
        app.acme.owner.post("/v1/me/accounts/example/callback", of_a_sign_in).await.expect(422);
        let linked = link(&app.acme.owner, &server, elsewhere.clone()).await.expect(200);
        assert_eq!(link(&app.acme.owner, &server, elsewhere.clone()).await.expect(200)["id"], linked["id"]);
        assert_eq!(mails::to(&app, &app.acme.owner_email).await[0]["kind"], "SECURITY_NOTICE");
        let person = session(&app, sign_in(&app, &server, elsewhere).await);
        assert_eq!(person.get("/v1/me").await.expect(200)["email"], app.acme.owner_email.as_str());
        assert_eq!(person.get("/v1/me/export").await.expect(200)["accounts"][0]["email"], "private@example.net");
        let path = format!("/v1/me/accounts/{}", linked["id"].as_str().unwrap());
        assert_eq!(app.rival.owner.delete(&path).await.problem(404), "not_found");
        person.delete(&path).await.expect(204);
        assert_eq!(person.delete(&path).await.problem(404), "not_found");
    }

    async fn the_last_way_in_cannot_be_unlinked(app: App, server: OidcServer) {
        let invite = json!({ "email": "grace@example.com", "role": "VIEWER" });
        app.acme.owner.post("/v1/team-invites", invite).await.expect(201);
        let person = session(&app, sign_in(&app, &server, proved("grace-1", "grace@example.com")).await);
        let first = person.get("/v1/me/accounts").await.expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/me/accounts/{first}");
        assert_eq!(person.delete(&path).await.problem(409), "last_way_in");
        let other = link(&person, &server, proved("grace-2", "grace@example.net")).await.expect(200);
        let other = format!("/v1/me/accounts/{}", other["id"].as_str().unwrap());
        let statuses = join_all([person.delete(&path), person.delete(&other)]).await;
        let mut statuses: Vec<_> = statuses.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 409], "one of the two stays");
        app.anyone().post("/v1/auth/forgot-password", json!({ "email": "grace@example.com" })).await.expect(202);
        let token = mails::token(&app, "grace@example.com", "RESET_PASSWORD").await;
        app.anyone().post("/v1/auth/reset-password", json!({ "token": token, "password": PASSWORD })).await.expect(204);
        let person = crate::support::people::sign_in(&app, "grace@example.com").await;
        let last = person.get("/v1/me/accounts").await.expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
        person.delete(&format!("/v1/me/accounts/{last}")).await.expect(204);
    }

    async fn a_deactivated_person(app: App, server: OidcServer) {
        sign_in(&app, &server, owner(&app)).await.expect(200);
        let tx = app.core.db.system(service::db::Reason::People).begin().await.unwrap();
        let values = vec![false.into(), app.acme.owner_email.as_str().into()];
        tx.execute("UPDATE app_user SET is_active = $1 WHERE email = $2", values).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(sign_in(&app, &server, owner(&app)).await.problem(403), "oidc_unknown_person");
    }
}

async fn slow_discovery(backend: Backend) {
    let server = OidcServer::start(Clock::system());
    server.misbehave(|faults| faults.is_silent = true);
    let settings =
        service::identity::accounts::OidcSettings { timeout: Duration::from_millis(50), ..server.settings() };
    let app = App::start_with(backend, World::real(), |config| config.oidc = settings).await;
    let begin = json!({ "redirectUri": REDIRECT });
    let refused = app.anyone().post("/v1/auth/oidc/example/start", begin).await;
    assert_eq!(refused.problem(502), "upstream_failed");
    app.acme.owner.get("/v1/agents").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_discovery_sqlite() {
    slow_discovery(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_discovery_postgres() {
    slow_discovery(Backend::Postgres).await;
}

/// With the package oidc-provider: discovery, PKCE, RS256, `iss`, and the e-mail from its userinfo.
async fn a_provider_that_others_wrote(backend: Backend) {
    let provider = OidcProvider::start().await;
    let settings = provider.settings();
    let app = App::start_with(backend, World::real(), |config| config.oidc = settings).await;
    let begin = json!({ "redirectUri": REDIRECT });
    let sign_in = async |who: &str| {
        let begun = app.anyone().post("/v1/auth/oidc/example/start", begin.clone()).await.expect(200);
        let answer = provider.visit(begun["authorizationUrl"].as_str().unwrap(), who).await;
        assert_eq!(answer["state"], begun["state"]);
        callback(&app, answer).await
    };
    let person = session(&app, sign_in(&app.acme.owner_email).await);
    assert_eq!(person.get("/v1/whoami").await.expect(200)["tenant"]["id"], app.acme.id.as_str());
    let other = session(&app, sign_in(&app.rival.owner_email).await);
    assert_eq!(other.get("/v1/whoami").await.expect(200)["tenant"]["id"], app.rival.id.as_str());
    assert_eq!(sign_in("unproved@example.com").await.problem(403), "oidc_email_unverified");
    assert_eq!(sign_in("stranger@example.com").await.problem(403), "oidc_unknown_person");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_others_wrote_sqlite() {
    a_provider_that_others_wrote(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_others_wrote_postgres() {
    a_provider_that_others_wrote(Backend::Postgres).await;
}
