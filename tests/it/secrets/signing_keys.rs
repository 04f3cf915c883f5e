//! The keys of access tokens change: by age and by command, with overlap, on every node without a restart.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};
use service::auth::signing::Signing;
use service::clock::Clock;
use service::core::World;
use service::ids::Ids;

use crate::support::{App, Backend, PASSWORD, eventually};

const MINUTE: Duration = Duration::from_secs(60);

async fn token(app: &App) -> String {
    let body = json!({ "email": app.acme.owner_email, "password": PASSWORD });
    let answer = app.anyone().post("/v1/auth/login", body).await.expect(200);
    answer["accessToken"].as_str().unwrap().to_owned()
}

fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

async fn published(app: &App) -> Vec<String> {
    let set = app.anyone().get("/.well-known/jwks.json").await.expect(200);
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn may(app: &App, token: &str) -> u16 {
    app.anyone().with_token(token).get("/v1/whoami").await.status
}

async fn keys_change_by_age(backend: Backend) {
    let clock = Clock::manual(DateTime::from_timestamp(1_900_000_000, 0).unwrap());
    let world = World { ids: Ids::random(clock.clone()), clock: clock.clone() };
    let app = App::start_with(backend, world, |config| {
        config.engine.lease = Duration::from_secs(1 << 30);
        config.signing_key_age = TimeDelta::days(1);
    })
    .await;
    let first = kid(&token(&app).await);
    assert_eq!(published(&app).await, std::slice::from_ref(&first));
    let owner = app.anyone().with_token(&token(&app).await);
    let checkpoint = owner.get("/v1/audit-logs/checkpoint").await.expect(200);

    clock.advance(24 * 60 * MINUTE);
    eventually("the next key is published", async || published(&app).await.len() == 2).await;
    let second = published(&app).await.into_iter().find(|kid| *kid != first).unwrap();
    assert_eq!(kid(&token(&app).await), first, "it does not sign before everybody knows it");

    clock.advance(9 * MINUTE + Duration::from_secs(59));
    let last = token(&app).await;
    assert_eq!(kid(&last), first);
    clock.advance(Duration::from_secs(1));
    let new = token(&app).await;
    assert_eq!(kid(&new), second);
    assert_eq!((may(&app, &last).await, may(&app, &new).await), (200, 200));

    // The last token of the old key has ended: nobody needs it any more, but for what it signed for ever.
    clock.advance(12 * MINUTE);
    eventually("the old key is gone", async || published(&app).await == std::slice::from_ref(&second)).await;
    let sealed = "SELECT length(sealed) AS sealed FROM signing_key WHERE retired_at IS NOT NULL";
    let rows = app.core.db.system(service::db::Reason::Operations).query(sealed, vec![]).await.unwrap();
    let lengths: Vec<i32> = rows.iter().map(|row| row.try_get("", "sealed").unwrap()).collect();
    assert_eq!(lengths, [0], "its private half is forgotten");
    let owner = app.anyone().with_token(&token(&app).await);
    let checkpoint = checkpoint["checkpoint"].as_str().unwrap();
    let verified = owner.get(&format!("/v1/audit-logs/verify?checkpoint={checkpoint}")).await.expect(200);
    assert_eq!((&verified["intact"], &verified["checkpoint"]), (&json!(true), &json!("CONTAINED")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_by_age_on_sqlite() {
    keys_change_by_age(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_by_age_on_postgres() {
    keys_change_by_age(Backend::Postgres).await;
}

on_both! {
    async fn a_key_that_somebody_else_may_have_is_given_up_at_once(app: App) {
        let old = token(&app).await;
        assert_eq!(may(&app, &old).await, 200);
        let core = &app.core;
        let signing = Signing { db: &core.db, keys: &core.keys, clock: &core.clock, ids: &core.ids };
        let made = signing.rotate(true).await.unwrap();
        eventually("the server has noticed", async || published(&app).await == std::slice::from_ref(&made.kid)).await;
        assert_eq!(may(&app, &old).await, 401);
        let new = token(&app).await;
        assert_eq!((kid(&new), may(&app, &new).await), (made.kid, 200));
    }

    async fn rotations_without_end_are_refused(app: App) {
        let core = &app.core;
        let signing = Signing { db: &core.db, keys: &core.keys, clock: &core.clock, ids: &core.ids };
        let mut refused = 0;
        for _ in 0..20 {
            refused += u32::from(signing.rotate(false).await.is_err());
        }
        assert_eq!(refused, 6, "16 keys at most, one of them is there from the start");
        eventually("all are published", async || published(&app).await.len() == 15).await;
        assert_eq!(may(&app, &token(&app).await).await, 200);
    }
}
