//! The second factor: enabling it, signing in with it, a tenant that requires it. Each attack is a test.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use service::db::Reason;

use crate::support::people::{member, sign_in, verified};
use crate::support::second_factors::{Authenticator, challenge, codes, complete};
use crate::support::{App, PASSWORD, mails};

const STEP: Duration = Duration::from_secs(30);

async fn enabled(app: &App, email: &str) -> (crate::support::Client, Authenticator) {
    let person = verified(app, &app.acme.owner, email, "OPERATOR").await;
    let authenticator = Authenticator::enable(app, &person).await;
    app.core.clock.advance(STEP);
    (person, authenticator)
}

on_both! {
    manual;
    async fn a_password_and_a_link_are_not_enough(app: App) {
        let (_, authenticator) = enabled(&app, "ada@example.com").await;
        let login = json!({ "email": "ada@example.com", "password": PASSWORD });
        let asked = app.anyone().post("/v1/auth/login", login).await.expect(202);
        assert!(asked.get("accessToken").is_none());
        assert_eq!((&asked["expiresIn"], &asked["methods"]), (&json!(300), &json!(["TOTP", "RECOVERY_CODE"])));
        let tokens = complete(&app, asked["challenge"].as_str().unwrap(), &authenticator.code(&app, 0)).await.expect(200);
        assert_eq!(tokens["tenantId"], app.acme.id.as_str());
        app.anyone().with_token(tokens["accessToken"].as_str().unwrap()).get("/v1/agents").await.expect(200);

        app.core.clock.advance(STEP);
        app.anyone().post("/v1/auth/magic-link", json!({ "email": "ada@example.com" })).await.expect(202);
        let link = json!({ "token": mails::token(&app, "ada@example.com", "MAGIC_LINK").await });
        let asked = app.anyone().post("/v1/auth/magic-link/sign-in", link.clone()).await.expect(202);
        assert_eq!(app.anyone().post("/v1/auth/magic-link/sign-in", link).await.problem(401), "invalid_verification_token");
        complete(&app, asked["challenge"].as_str().unwrap(), &authenticator.code(&app, 0)).await.expect(200);
    }

    async fn replay_of_a_code_within_its_step(app: App) {
        let person = verified(&app, &app.acme.owner, "ada@example.com", "VIEWER").await;
        let authenticator = Authenticator::enable(&app, &person).await;
        let first = challenge(&app, "ada@example.com").await;
        let used = authenticator.code(&app, 0);
        assert_eq!(complete(&app, &first, &used).await.problem(401), "wrong_code", "it enabled the factor");
        let next = authenticator.code(&app, 1);
        complete(&app, &first, &next).await.expect(200);
        let second = challenge(&app, "ada@example.com").await;
        for old in [authenticator.code(&app, -1), used, next] {
            assert_eq!(complete(&app, &second, &old).await.problem(401), "wrong_code");
        }
        app.core.clock.advance(STEP * 2);
        complete(&app, &second, &authenticator.code(&app, 0)).await.expect(200);
    }

    async fn codes_of_too_early_and_too_late(app: App) {
        let (_, authenticator) = enabled(&app, "ada@example.com").await;
        app.core.clock.advance(STEP * 4);
        let challenge = challenge(&app, "ada@example.com").await;
        for away in [-2, 2] {
            assert_eq!(complete(&app, &challenge, &authenticator.code(&app, away)).await.problem(401), "wrong_code");
        }
        complete(&app, &challenge, &authenticator.code(&app, -1)).await.expect(200);
    }

    async fn recovery_codes_work_once_and_new_ones_replace_them(app: App) {
        let (person, authenticator) = enabled(&app, "ada@example.com").await;
        let old = &authenticator.recovery_codes;
        assert_eq!(old.len(), 10);
        let copied = format!(" {} ", old[0].to_lowercase().replace('-', " "));
        complete(&app, &challenge(&app, "ada@example.com").await, &copied).await.expect(200);
        let next = challenge(&app, "ada@example.com").await;
        assert_eq!(complete(&app, &next, &old[0]).await.problem(401), "wrong_code");
        assert_eq!(person.get("/v1/me/second-factor").await.expect(200)["recoveryCodesLeft"], 9);

        let renewed = person.post("/v1/me/second-factor/recovery-codes", json!({ "code": old[1] })).await.expect(200);
        let new = codes(&renewed);
        assert!(new.len() == 10 && !new.contains(&old[2]));
        assert_eq!(complete(&app, &next, &old[2]).await.problem(401), "wrong_code");
        complete(&app, &next, &new[0]).await.expect(200);
        let used = person.post("/v1/me/second-factor/recovery-codes", json!({ "code": new[0] })).await;
        assert_eq!(used.body["errors"][0]["pointer"], "/code");
    }

    async fn a_challenge_used_expired_and_another_persons(app: App) {
        let (_, ada) = enabled(&app, "ada@example.com").await;
        let (_, eve) = enabled(&app, "eve@example.com").await;
        app.core.clock.advance(STEP);
        let of_ada = challenge(&app, "ada@example.com").await;
        assert_eq!(complete(&app, &of_ada, &eve.code(&app, 0)).await.problem(401), "wrong_code");
        assert_eq!(complete(&app, &of_ada, &eve.recovery_codes[0]).await.problem(401), "wrong_code");
        complete(&app, &of_ada, &ada.code(&app, 0)).await.expect(200);
        app.core.clock.advance(STEP);
        assert_eq!(complete(&app, &of_ada, &ada.code(&app, 0)).await.problem(401), "invalid_challenge");
        let late = challenge(&app, "ada@example.com").await;
        app.core.clock.advance(Duration::from_secs(301));
        assert_eq!(complete(&app, &late, &ada.code(&app, 0)).await.problem(401), "invalid_challenge");
    }

    async fn challenges_and_codes_null_empty_array_and_made_up(app: App) {
        let (_, authenticator) = enabled(&app, "ada@example.com").await;
        let good = challenge(&app, "ada@example.com").await;
        for bad in [Value::Null, json!([]), json!([good]), json!({}), json!(1), json!(true)] {
            let sent = json!({ "challenge": bad, "code": "123456" });
            assert_eq!(app.anyone().post("/v1/auth/second-factor", sent).await.body["errors"][0]["pointer"], "/challenge");
            let sent = json!({ "challenge": good, "code": bad });
            assert_eq!(app.anyone().post("/v1/auth/second-factor", sent).await.body["errors"][0]["pointer"], "/code");
        }
        let (start, last) = good.split_at(good.len() - 1);
        let another = if last == "x" { "y" } else { "x" };
        for bad in ["", "mc_ch_", &"x".repeat(10_000), &format!("{start}{another}")] {
            assert_eq!(complete(&app, bad, "123456").await.problem(401), "invalid_challenge");
        }
        for bad in ["", "12345", &"9".repeat(10_000)] {
            assert_eq!(complete(&app, &good, bad).await.problem(401), "wrong_code");
        }
        complete(&app, &good, &authenticator.code(&app, 0)).await.expect(200);
    }

    async fn a_hundred_answers_at_once_one_wins(app: App) {
        let (_, authenticator) = enabled(&app, "ada@example.com").await;
        for code in [authenticator.recovery_codes[0].clone(), authenticator.code(&app, 0)] {
            let challenge = challenge(&app, "ada@example.com").await;
            let answers = join_all((0..100).map(|_| complete(&app, &challenge, &code))).await;
            let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
            assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
            assert!(statuses.iter().all(|status| matches!(status, 200 | 401 | 429)), "{statuses:?}");
        }
    }

    async fn guesses_end_the_challenge_and_do_not_lock_the_owner_out(app: App) {
        let (_, authenticator) = enabled(&app, "ada@example.com").await;
        let first = challenge(&app, "ada@example.com").await;
        for _ in 0..5 {
            assert_eq!(complete(&app, &first, &authenticator.wrong(&app)).await.problem(401), "wrong_code");
        }
        assert_eq!(complete(&app, &first, &authenticator.code(&app, 0)).await.problem(401), "invalid_challenge");
        let second = challenge(&app, "ada@example.com").await;
        assert_eq!(complete(&app, &second, &authenticator.wrong(&app)).await.problem(401), "wrong_code");
        assert_eq!(complete(&app, &second, &authenticator.wrong(&app)).await.problem(429), "sign_in_attempts");
        let log = app.acme.owner.get("/v1/audit-logs?outcome=REFUSED").await.expect(200);
        assert!(log["data"].as_array().unwrap().iter().any(|row| row["code"] == "wrong_code"), "{log}");
        complete(&app, &second, &authenticator.recovery_codes[0]).await.expect(200);
        app.core.clock.advance(Duration::from_secs(300));
        let third = challenge(&app, "ada@example.com").await;
        complete(&app, &third, &authenticator.code(&app, 0)).await.expect(200);
    }

    async fn a_tenant_that_requires_it_is_closed_to_members_without(app: App) {
        let person = verified(&app, &app.acme.owner, "ada@example.com", "MANAGER").await;
        app.rival.owner.post("/v1/memberships", json!({ "email": "ada@example.com", "role": "VIEWER" })).await.expect(201);
        let key = app.acme.key(&app, &["agents:read"]).await;
        let policy = app.acme.owner.get("/v1/tenant/sign-in").await.expect(200);
        assert_eq!(policy, json!({ "requireSecondFactor": false, "revision": 0 }));
        assert_eq!(person.patch("/v1/tenant/sign-in", json!({ "requireSecondFactor": true })).await.problem(403), "permission_missing");
        let changed = app.acme.owner.patch("/v1/tenant/sign-in", json!({ "requireSecondFactor": true })).await.expect(200);
        assert_eq!(changed, json!({ "requireSecondFactor": true, "revision": 1 }));

        for (method, path) in [("GET", "/v1/agents"), ("GET", "/v1/tenant"), ("GET", "/v1/task-runs"), ("GET", "/v1/team-activity-logs"), ("POST", "/v1/api-keys")] {
            let refused = person.send(person.request(method, path).json(&json!({}))).await;
            assert_eq!(refused.problem(403), "second_factor_required", "{method} {path}");
        }
        assert_eq!(app.acme.owner.get("/v1/tenant/sign-in").await.problem(403), "second_factor_required");
        key.get("/v1/agents").await.expect(200);
        app.rival.owner.get("/v1/agents").await.expect(200);
        app.admin.get("/v1/tenants").await.expect(200);
        assert_eq!(person.get("/v1/me/second-factor").await.expect(200)["isRequired"], true);
        assert_eq!(person.get("/v1/whoami").await.expect(200)["permissions"], json!([]));

        let authenticator = Authenticator::enable(&app, &person).await;
        person.get("/v1/agents").await.expect(200);
        let body = json!({ "code": authenticator.recovery_codes[0], "password": PASSWORD });
        person.post("/v1/me/second-factor/disable", body).await.expect(204);
        assert_eq!(person.get("/v1/agents").await.problem(403), "second_factor_required");
        sign_in(&app, "ada@example.com").await.get("/v1/me").await.expect(200);
    }

    async fn only_who_proves_it_enables_and_disables(app: App) {
        let unproved = member(&app, &app.acme.owner, "new@example.com", "VIEWER").await;
        let password = json!({ "password": PASSWORD });
        assert_eq!(unproved.post("/v1/me/second-factor", password.clone()).await.problem(403), "email_unverified");
        let person = verified(&app, &app.acme.owner, "ada@example.com", "VIEWER").await;
        for bad in [json!({}), json!({ "password": "not the password" })] {
            assert_eq!(person.post("/v1/me/second-factor", bad).await.body["errors"][0]["pointer"], "/password");
        }
        assert_eq!(person.post("/v1/me/second-factor/confirm", json!({ "code": "123456" })).await.problem(404), "not_found");
        let replaced = Authenticator::scan(&person.post("/v1/me/second-factor", password.clone()).await.expect(200));
        let begun = person.post("/v1/me/second-factor", password.clone()).await.expect(200);
        let authenticator = Authenticator::scan(&begun);
        for bad in [replaced.code(&app, 0), authenticator.wrong(&app), "MFRG-GZDF-MZTW-Q2LK".to_owned()] {
            let refused = person.post("/v1/me/second-factor/confirm", json!({ "code": bad })).await;
            assert_eq!((refused.status, &refused.body["errors"][0]["code"]), (422, &json!("wrong_code")));
        }
        assert!(begun["otpauthUri"].as_str().unwrap().contains(begun["secret"].as_str().unwrap()));
        sign_in(&app, "ada@example.com").await.get("/v1/me").await.expect(200);

        let elsewhere = sign_in(&app, "ada@example.com").await;
        let code = json!({ "code": authenticator.code(&app, 0) });
        person.post("/v1/me/second-factor/confirm", code.clone()).await.expect(200);
        assert_eq!(elsewhere.get("/v1/me").await.problem(401), "session_ended", "it was opened without a code");
        let mails = mails::to(&app, "ada@example.com").await;
        assert!(mails.iter().any(|mail| mail["subject"] == "Your account has a second factor"), "{mails:?}");
        assert_eq!(person.post("/v1/me/second-factor/confirm", code).await.problem(409), "second_factor_enabled");
        assert_eq!(person.post("/v1/me/second-factor", password).await.problem(409), "second_factor_enabled");

        app.core.clock.advance(STEP);
        let right = authenticator.code(&app, 0);
        let disable = |code: &str, password: &str| json!({ "code": code, "password": password });
        let refused = person.post("/v1/me/second-factor/disable", disable(&right, "not the password")).await;
        assert_eq!(refused.body["errors"][0]["pointer"], "/password");
        let refused = person.post("/v1/me/second-factor/disable", disable(&authenticator.wrong(&app), PASSWORD)).await;
        assert_eq!(refused.body["errors"][0]["pointer"], "/code");
        person.post("/v1/me/second-factor/disable", disable(&right, PASSWORD)).await.expect(204);
        sign_in(&app, "ada@example.com").await.get("/v1/me").await.expect(200);
    }

    async fn a_new_password_does_not_replace_it_and_ends_what_waits_for_it(app: App) {
        let (_, authenticator) = enabled(&app, "ada@example.com").await;
        let waiting = challenge(&app, "ada@example.com").await;
        app.anyone().post("/v1/auth/forgot-password", json!({ "email": "ada@example.com" })).await.expect(202);
        let token = mails::token(&app, "ada@example.com", "RESET_PASSWORD").await;
        app.anyone().post("/v1/auth/reset-password", json!({ "token": token, "password": PASSWORD })).await.expect(204);
        let code = authenticator.code(&app, 0);
        assert_eq!(complete(&app, &waiting, &code).await.problem(401), "invalid_challenge");
        complete(&app, &challenge(&app, "ada@example.com").await, &code).await.expect(200);
    }

    async fn its_secret_is_sealed_and_goes_with_the_account(app: App) {
        let person = verified(&app, &app.acme.owner, "ada@example.com", "VIEWER").await;
        let begun = person.post("/v1/me/second-factor", json!({ "password": PASSWORD })).await.expect(200);
        let authenticator = Authenticator::enable(&app, &person).await;
        let system = app.core.db.system(Reason::Operations);
        let rows = system.query("SELECT sealed FROM second_factor", Vec::new()).await.unwrap();
        assert_eq!(rows.len(), 1);
        let sealed: Vec<u8> = rows[0].try_get("", "sealed").unwrap();
        assert_eq!(sealed.len(), 4 + 12 + 32 + 16 + 12 + 20 + 16);
        let log = app.acme.owner.get("/v1/audit-logs?limit=200").await.expect(200).to_string();
        assert!(log.contains("enrol_my_second_factor") && !log.contains(begun["secret"].as_str().unwrap()));
        assert!(!log.contains(&authenticator.recovery_codes[0]));
        assert_eq!(person.get("/v1/me/export").await.expect(200)["secondFactor"]["isEnabled"], true);
        person.post("/v1/me/delete", json!({ "password": PASSWORD })).await.expect(204);
        for table in ["second_factor", "recovery_code", "sign_in_challenge"] {
            let left = system.query(&format!("SELECT 1 AS one FROM {table}"), Vec::new()).await.unwrap();
            assert!(left.is_empty(), "{table}");
        }
    }
}
