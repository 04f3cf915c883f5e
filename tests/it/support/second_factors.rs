//! An authenticator, as an app on a phone is one.

use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};
use service::auth::totp;

use super::{Answer, App, Client, PASSWORD};

pub struct Authenticator {
    secret: Vec<u8>,
    pub recovery_codes: Vec<String>,
}

impl Authenticator {
    /// Scans a new secret, and enables it for the person.
    pub async fn enable(app: &App, person: &Client) -> Self {
        let begun = person.post("/v1/me/second-factor", json!({ "password": PASSWORD })).await.expect(200);
        let mut authenticator = Self::scan(&begun);
        let code = authenticator.code(app, 0);
        let enabled = person.post("/v1/me/second-factor/confirm", json!({ "code": code })).await.expect(200);
        authenticator.recovery_codes = codes(&enabled);
        authenticator
    }

    pub fn scan(begun: &Value) -> Self {
        let secret = BASE32_NOPAD.decode(begun["secret"].as_str().unwrap().as_bytes()).unwrap();
        Self { secret, recovery_codes: Vec::new() }
    }

    /// The code shown so many steps from now.
    pub fn code(&self, app: &App, away: i64) -> String {
        totp::code(&self.secret, totp::step(app.core.clock.now()) + away).unwrap()
    }

    /// A code that is none of those of now.
    pub fn wrong(&self, app: &App) -> String {
        let right = [-1, 0, 1].map(|away| self.code(app, away));
        (0..).map(|n| format!("{n:06}")).find(|code| !right.contains(code)).unwrap()
    }
}

/// The recovery codes of an answer.
pub fn codes(answer: &Value) -> Vec<String> {
    let codes = answer["recoveryCodes"].as_array().unwrap();
    codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect()
}

/// The challenge that signing in with the password leads to.
pub async fn challenge(app: &App, email: &str) -> String {
    let login = json!({ "email": email, "password": PASSWORD });
    let asked = app.anyone().post("/v1/auth/login", login).await.expect(202);
    asked["challenge"].as_str().unwrap().to_owned()
}

pub async fn complete(app: &App, challenge: &str, code: &str) -> Answer {
    let body = json!({ "challenge": challenge, "code": code });
    app.anyone().post("/v1/auth/second-factor", body).await
}
