//! People who prove their address as anybody would: by what stands in a mail.

use serde_json::{Value, json};

use super::{App, Client, PASSWORD, mails};

/// A new member of the owner's tenant who has signed in; nobody has proved their address.
pub async fn member(app: &App, owner: &Client, email: &str, role: &str) -> Client {
    let body = json!({ "email": email, "role": role, "password": PASSWORD });
    owner.post("/v1/memberships", body).await.expect(201);
    sign_in(app, email).await
}

/// The same, with a proved address.
pub async fn verified(app: &App, owner: &Client, email: &str, role: &str) -> Client {
    member(app, owner, email, role).await.post("/v1/me/verify-email", Value::Null).await.expect(202);
    let token = mails::token(app, email, "VERIFY_EMAIL").await;
    let body = json!({ "token": token, "password": PASSWORD });
    app.anyone().post("/v1/auth/verify-email", body).await.expect(204);
    sign_in(app, email).await
}

pub async fn sign_in(app: &App, email: &str) -> Client {
    let login = json!({ "email": email, "password": PASSWORD });
    let tokens = app.anyone().post("/v1/auth/login", login).await.expect(200);
    app.anyone().with_token(tokens["accessToken"].as_str().unwrap())
}

/// A token, by the name of its kind, for a new member with this address.
pub async fn token(app: &App, owner: &Client, email: &str, kind: &str) -> String {
    let anyone = app.anyone();
    match kind {
        "reset-token" | "magic-token" => {
            member(app, owner, email, "VIEWER").await;
            let (path, kind) = match kind {
                "reset-token" => ("/v1/auth/forgot-password", "RESET_PASSWORD"),
                _ => ("/v1/auth/magic-link", "MAGIC_LINK"),
            };
            anyone.post(path, json!({ "email": email })).await.expect(202);
            mails::token(app, email, kind).await
        }
        "verify-token" => {
            let member = member(app, owner, email, "VIEWER").await;
            member.post("/v1/me/verify-email", Value::Null).await.expect(202);
            mails::token(app, email, "VERIFY_EMAIL").await
        }
        "change-token" => {
            let new = format!("new-{email}");
            let body = json!({ "email": new, "password": PASSWORD });
            let person = verified(app, owner, email, "VIEWER").await;
            person.post("/v1/me/change-email", body).await.expect(202);
            mails::token(app, &new, "CHANGE_EMAIL").await
        }
        other => panic!("nobody can send a {other}"),
    }
}
