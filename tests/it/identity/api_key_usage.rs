//! `/v1/api-keys/{id}/usage`: requests are counted aside and written together.

use std::time::Duration;

use chrono::DateTime;
use serde_json::json;
use service::auth::key_usage;
use service::clock::Clock;
use service::core::World;
use service::ids::Ids;

use crate::support::{App, Backend, people};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A server that writes nothing by itself, and whose clock the test moves.
async fn still(backend: Backend) -> App {
    let clock = Clock::manual(DateTime::from_timestamp(1_900_000_000, 0).unwrap());
    let world = World { ids: Ids::random(clock.clone()), clock };
    App::start_with(backend, world, |config| config.engine.concurrency = 0).await
}

async fn usage_is_counted_by_day_and_outcome(backend: Backend) {
    let app = still(backend).await;
    let made = app
        .acme
        .owner
        .post("/v1/api-keys", json!({ "name": "k", "scopes": ["agents:read"] }))
        .await
        .expect(201);
    let key = app.anyone().with_key(made["key"].as_str().unwrap());
    let path = format!("/v1/api-keys/{}/usage", made["id"].as_str().unwrap());
    assert_eq!(app.acme.owner.get(&path).await.expect(200), json!({ "data": [], "total": 0 }));
    for _ in 0..2 {
        key.get("/v1/agents").await.expect(200);
    }
    key.get("/v1/tools").await.expect(403);
    let first = json!({ "day": "2030-03-17", "succeeded": 2, "refused": 1, "failed": 0, "total": 3 });
    let seen = app.acme.owner.get(&path).await.expect(200);
    assert_eq!(seen, json!({ "data": [first], "total": 3 }), "before it is written");
    key_usage::flush(&app.core).await.unwrap();
    assert_eq!(app.acme.owner.get(&path).await.expect(200), seen, "and after");
    key.get("/v1/agents").await.expect(200);
    key_usage::flush(&app.core).await.unwrap();
    assert_eq!(app.acme.owner.get(&path).await.expect(200)["data"][0]["succeeded"], 3, "it is added up");

    app.core.clock.advance(DAY);
    let owner = people::sign_in(&app, &app.acme.owner_email).await;
    key.get("/v1/agents").await.expect(200);
    let both = owner.get(&path).await.expect(200);
    assert_eq!(both["data"].as_array().unwrap().len(), 2);
    assert_eq!((&both["data"][0]["day"], &both["total"]), (&json!("2030-03-18"), &json!(5)));
    assert_eq!(owner.get(&format!("{path}?days=1")).await.expect(200)["total"], 1);
    for days in ["0", "91", "-1", "x"] {
        owner.get(&format!("{path}?days={days}")).await.expect(422);
    }
    assert_eq!(app.rival.owner.get(&path).await.problem(401), "token_expired");
    let rival = people::sign_in(&app, &app.rival.owner_email).await;
    assert_eq!(rival.get(&path).await.problem(404), "not_found");

    app.core.clock.advance(DAY * 90);
    key_usage::flush(&app.core).await.unwrap();
    key_usage::forget(&app.core, app.acme.id.parse().unwrap()).await.unwrap();
    let owner = people::sign_in(&app, &app.acme.owner_email).await;
    assert_eq!(owner.get(&format!("{path}?days=90")).await.expect(200)["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_counted_by_day_and_outcome_on_sqlite() {
    usage_is_counted_by_day_and_outcome(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_counted_by_day_and_outcome_on_postgres() {
    usage_is_counted_by_day_and_outcome(Backend::Postgres).await;
}
