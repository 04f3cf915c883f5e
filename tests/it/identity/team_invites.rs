//! Invitations: made, sent, answered. Each attack is a test.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::people::{member, sign_in, verified};
use crate::support::{Answer, App, Client, PASSWORD, mails};

const OTHER: &str = "another password of one's own";

async fn invite(by: &Client, email: &str, role: &str) -> Answer {
    by.post("/v1/team-invites", json!({ "email": email, "role": role })).await
}

/// A new invitation's path and token.
async fn invited(app: &App, email: &str, role: &str) -> (String, String) {
    let made = invite(&app.acme.owner, email, role).await.expect(201);
    let token = mails::token(app, email, "TEAM_INVITE").await;
    (format!("/v1/team-invites/{}", made["id"].as_str().unwrap()), token)
}

async fn answer(app: &App, what: &str, body: Value) -> Answer {
    app.anyone().post(&format!("/v1/auth/invites/{what}"), body).await
}

fn new_account(token: &str) -> Value {
    json!({ "token": token, "name": "Grace", "password": PASSWORD })
}

on_both! {
    idle;
    async fn a_new_person_joins_with_the_role_that_was_offered(app: App) {
        let (path, token) = invited(&app, "Grace@Example.com", "MANAGER").await;
        let offer = answer(&app, "preview", json!({ "token": token })).await.expect(200);
        assert_eq!((&offer["tenantId"], &offer["needsPassword"]), (&json!(app.acme.id), &json!(true)));
        let refused = answer(&app, "accept", json!({ "token": token })).await;
        assert_eq!(refused.body["errors"][0]["pointer"], "/password");
        assert_eq!(answer(&app, "accept", new_account(&token)).await.expect(200)["status"], "ACCEPTED");
        let person = sign_in(&app, "grace@example.com").await;
        let me = person.get("/v1/whoami").await.expect(200);
        assert_eq!((&me["role"], &me["user"]["name"]), (&json!("MANAGER"), &json!("Grace")));
        assert_ne!(person.get("/v1/me").await.expect(200)["emailVerifiedAt"], Value::Null);
        assert_eq!(answer(&app, "accept", new_account(&token)).await.problem(401), "invalid_invite");
        assert_eq!(app.acme.owner.get(&path).await.expect(200)["status"], "ACCEPTED");
        assert_eq!(app.acme.owner.delete(&path).await.problem(409), "invalid_transition");
    }

    async fn a_person_with_an_account_joins_with_it(app: App) {
        let email = app.rival.owner_email.clone();
        let (_, token) = invited(&app, &email, "VIEWER").await;
        let offer = answer(&app, "preview", json!({ "token": token })).await.expect(200);
        assert_eq!(offer["needsPassword"], false);
        let refused = answer(&app, "accept", json!({ "token": token, "password": OTHER })).await;
        assert_eq!(refused.body["errors"][0]["code"], "not_needed");
        answer(&app, "accept", json!({ "token": token })).await.expect(200);
        let login = json!({ "email": email, "password": PASSWORD, "tenantId": app.acme.id });
        app.anyone().post("/v1/auth/login", login).await.expect(200);
    }

    async fn accepting_takes_an_unproved_account_from_who_chose_its_password(app: App) {
        let planted = member(&app, &app.rival.owner, "victim@example.com", "VIEWER").await;
        let (_, token) = invited(&app, "victim@example.com", "ADMIN").await;
        answer(&app, "accept", json!({ "token": token, "password": OTHER })).await.expect(200);
        assert_eq!(planted.get("/v1/whoami").await.problem(401), "session_ended");
        let planted = json!({ "email": "victim@example.com", "password": PASSWORD });
        assert_eq!(app.anyone().post("/v1/auth/login", planted).await.problem(401), "wrong_credentials");
    }

    async fn enumeration_by_invite(app: App) {
        let mut answers = Vec::new();
        for email in ["nobody@example.com", app.rival.owner_email.as_str()] {
            let mut made = invite(&app.acme.owner, email, "VIEWER").await.expect(201);
            for field in ["id", "email", "createdAt", "updatedAt", "expiresAt"] {
                made[field] = Value::Null;
            }
            answers.push((made, mails::to(&app, email).await[0]["subject"].clone()));
        }
        assert_eq!(answers[0], answers[1]);
    }

    async fn inviting_again_replaces_and_resending_renews(app: App) {
        let (first, old) = invited(&app, "g@example.com", "VIEWER").await;
        let (second, replaced) = invited(&app, "g@example.com", "MANAGER").await;
        assert_eq!(app.acme.owner.get(&first).await.expect(200)["status"], "REVOKED");
        app.acme.owner.post(&format!("{second}/resend"), json!({})).await.expect(200);
        let token = mails::token(&app, "g@example.com", "TEAM_INVITE").await;
        for ended in [old, replaced] {
            assert_eq!(answer(&app, "accept", new_account(&ended)).await.problem(401), "invalid_invite");
        }
        assert_eq!(answer(&app, "preview", json!({ "token": token })).await.expect(200)["role"], "MANAGER");
        app.acme.owner.delete(&second).await.expect(204);
        assert_eq!(answer(&app, "accept", new_account(&token)).await.problem(401), "invalid_invite");
    }

    async fn a_declined_invitation_ends(app: App) {
        let (path, token) = invited(&app, "no@example.com", "VIEWER").await;
        answer(&app, "decline", json!({ "token": token })).await.expect(204);
        assert_eq!(app.acme.owner.get(&path).await.expect(200)["status"], "DECLINED");
        assert_eq!(answer(&app, "accept", new_account(&token)).await.problem(401), "invalid_invite");
    }

    async fn role_raised_by_an_invitation(app: App) {
        let admin = verified(&app, &app.acme.owner, "a@example.com", "ADMIN").await;
        assert_eq!(invite(&admin, "x@example.com", "OWNER").await.problem(403), "role_above_own");
        let (owners, _) = invited(&app, "o@example.com", "OWNER").await;
        assert_eq!(admin.delete(&owners).await.problem(403), "role_above_own");
        assert_eq!(admin.post(&format!("{owners}/resend"), json!({})).await.problem(403), "role_above_own");
        for field in ["tenantId", "status", "token", "expiresAt"] {
            let body = json!({ "email": "x@example.com", field: "x" });
            app.acme.owner.post("/v1/team-invites", body).await.expect(422);
        }
    }

    async fn an_offer_ends_with_the_right_of_who_made_it(app: App) {
        let admin = verified(&app, &app.acme.owner, "a@example.com", "ADMIN").await;
        invite(&admin, "friend@example.com", "ADMIN").await.expect(201);
        let token = mails::token(&app, "friend@example.com", "TEAM_INVITE").await;
        let admins = app.acme.owner.get("/v1/memberships?role=ADMIN").await.expect(200);
        let path = format!("/v1/memberships/{}", admins["data"][0]["id"].as_str().unwrap());
        app.acme.owner.patch(&path, json!({ "role": "VIEWER" })).await.expect(200);
        assert_eq!(answer(&app, "accept", new_account(&token)).await.problem(401), "invalid_invite");
        app.acme.owner.patch(&path, json!({ "role": "ADMIN" })).await.expect(200);
        answer(&app, "accept", new_account(&token)).await.expect(200);
    }

    async fn tokens_null_empty_array_and_of_another_kind(app: App) {
        let (_, token) = invited(&app, "g@example.com", "VIEWER").await;
        for what in ["preview", "accept", "decline"] {
            for bad in [json!(null), json!([token]), json!({}), json!(7)] {
                let refused = answer(&app, what, json!({ "token": bad })).await;
                assert_eq!(refused.body["errors"][0]["pointer"], "/token");
                refused.expect(422);
            }
            for bad in ["", "mc_in_", "mc_vt_", &token[1..], &token.to_uppercase()] {
                assert_eq!(answer(&app, what, json!({ "token": bad })).await.problem(401), "invalid_invite");
            }
        }
        let elsewhere = app.anyone().post("/v1/auth/magic-link/sign-in", json!({ "token": token })).await;
        assert_eq!(elsewhere.problem(401), "invalid_verification_token");
    }

    async fn a_hundred_acceptances_at_once_one_wins(app: App) {
        let (_, token) = invited(&app, &app.rival.owner_email, "VIEWER").await;
        let anyone = app.anyone();
        let accept = || anyone.post("/v1/auth/invites/accept", json!({ "token": token }));
        let statuses: Vec<_> = join_all((0..100).map(|_| accept())).await.iter().map(|one| one.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 200 | 401)), "{statuses:?}");

        let (_, token) = invited(&app, "new@example.com", "VIEWER").await;
        let accept = || anyone.post("/v1/auth/invites/accept", new_account(&token));
        let statuses: Vec<_> = join_all((0..10).map(|_| accept())).await.iter().map(|one| one.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        let members = app.acme.owner.get("/v1/memberships").await.expect(200);
        let same = members["data"].as_array().unwrap().iter().filter(|row| row["email"] == "new@example.com");
        assert_eq!(same.count(), 1);
    }

    async fn members_are_not_invited_and_another_tenants_invitation_is_not_there(app: App) {
        assert_eq!(invite(&app.acme.owner, &app.acme.owner_email, "VIEWER").await.problem(409), "already_member");
        let (path, _) = invited(&app, "g@example.com", "VIEWER").await;
        assert_eq!(app.rival.owner.get(&path).await.problem(404), "not_found");
        assert_eq!(app.rival.owner.delete(&path).await.problem(404), "not_found");
        assert_eq!(app.rival.owner.post(&format!("{path}/resend"), json!({})).await.problem(404), "not_found");
    }
}

on_both! {
    manual;
    async fn an_expired_invitation_is_refused_until_it_is_sent_again(app: App) {
        let (path, token) = invited(&app, "late@example.com", "VIEWER").await;
        app.core.clock.advance(Duration::from_secs(7 * 24 * 3600 - 1));
        answer(&app, "preview", json!({ "token": token })).await.expect(200);
        app.core.clock.advance(Duration::from_secs(2));
        assert_eq!(answer(&app, "preview", json!({ "token": token })).await.problem(401), "invalid_invite");
        assert_eq!(answer(&app, "accept", new_account(&token)).await.problem(401), "invalid_invite");
        assert_eq!(answer(&app, "decline", json!({ "token": token })).await.problem(401), "invalid_invite");
        let login = json!({ "email": "late@example.com", "password": PASSWORD });
        assert_eq!(app.anyone().post("/v1/auth/login", login).await.problem(401), "wrong_credentials");
        let owner = sign_in(&app, &app.acme.owner_email).await;
        assert_eq!(owner.get(&path).await.expect(200)["status"], "PENDING");
        let rival = sign_in(&app, &app.rival.owner_email).await;
        assert_eq!(rival.post(&format!("{path}/resend"), json!({})).await.problem(404), "not_found");
        owner.post(&format!("{path}/resend"), json!({})).await.expect(200);
        let mut app = app;
        app.admin = sign_in(&app, "admin@example.com").await;
        let again = mails::token(&app, "late@example.com", "TEAM_INVITE").await;
        assert_eq!(answer(&app, "accept", new_account(&token)).await.problem(401), "invalid_invite");
        answer(&app, "accept", new_account(&again)).await.expect(200);
    }
}
