//! Signing in with an account elsewhere, as a front-end does it.

use serde_json::{Value, json};

use super::oidc_server::{OidcServer, REDIRECT};
use super::{Answer, App, Client, PASSWORD};

/// Begins a sign-in; the answer of the provider for a person with these claims.
pub async fn visit(app: &App, server: &OidcServer, claims: Value) -> Value {
    let body = json!({ "redirectUri": REDIRECT });
    let begun = app.anyone().post("/v1/auth/oidc/example/start", body).await.expect(200);
    let answer = server.visit(begun["authorizationUrl"].as_str().unwrap(), claims);
    assert_eq!(answer["state"], begun["state"]);
    answer
}

pub async fn callback(app: &App, answer: Value) -> Answer {
    app.anyone().post("/v1/auth/oidc/example/callback", answer).await
}

pub async fn sign_in(app: &App, server: &OidcServer, claims: Value) -> Answer {
    callback(app, visit(app, server, claims).await).await
}

/// The claims of a person whose address the provider has verified.
pub fn proved(subject: &str, email: &str) -> Value {
    json!({ "sub": subject, "email": email, "email_verified": true, "name": "Somebody" })
}

/// Begins a link; the answer of the provider.
pub async fn visit_to_link(person: &Client, server: &OidcServer, claims: Value) -> Value {
    let body = json!({ "redirectUri": REDIRECT, "password": PASSWORD });
    let begun = person.post("/v1/me/accounts/example/start", body).await.expect(200);
    server.visit(begun["authorizationUrl"].as_str().unwrap(), claims)
}

pub async fn link(person: &Client, server: &OidcServer, claims: Value) -> Answer {
    let answer = visit_to_link(person, server, claims).await;
    person.post("/v1/me/accounts/example/callback", answer).await
}
