//! How far back one may go on, and how many may follow.

use std::time::Duration;

use serde_json::{Value, json};

use super::id;
use crate::support::event_stream::EventStream;
use crate::support::eventually;

on_both! {
    manual;
    async fn who_was_away_for_too_long_is_told(app: App) {
        let key = app.acme.key(&app, &["*"]).await;
        let agent = app.acme.agent("echo", json!({})).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "x" })).await;
        let newest = async || key.get("/v1/stream").await.expect(200);
        let is_there = |page: &Value| page["data"].as_array().unwrap().last().is_some_and(|event| event["type"] == "run.completed");
        eventually("all of it is there", async || is_there(&newest().await)).await;
        let page = newest().await;
        let place = page["next"].as_str().unwrap();
        let first = page["data"][0].clone();
        assert_eq!(first["runId"], run["id"]);

        app.core.clock.advance(Duration::from_secs(59 * 60));
        let made = key.post("/v1/task-runs", json!({ "agentId": agent, "input": "y" })).await.expect(201);
        let behind = async || key.get(&format!("/v1/stream?after={place}")).await.expect(200);
        eventually("it is behind the place", async || behind().await["data"][0]["runId"] == made["id"]).await;
        assert_eq!(behind().await["gap"], Value::Null);

        app.core.clock.advance(Duration::from_secs(2 * 60));
        let gone = behind().await;
        assert_eq!((&gone["gap"]["reason"], &gone["gap"]["lookBackSeconds"]), (&json!("TOO_OLD"), &json!(3600)));
        let mut stream = EventStream::open(&key, "/v1/stream", Some(place)).await;
        let told = stream.next().await.unwrap();
        assert_eq!((told.event.as_str(), &told.data), ("stream.gap", &gone["gap"]));
        // From there it goes on.
        let next = key.post("/v1/task-runs", json!({ "agentId": agent, "input": "z" })).await.expect(201);
        let came = stream.until(|sent| sent.event == "run.completed").await;
        assert!(came.iter().all(|sent| sent.data["runId"] == next["id"]), "{came:?}");

        let now = app.core.clock.now().timestamp_millis();
        let elsewhere = key.get(&format!("/v1/stream?after={}-0-{now}", i64::MAX)).await.expect(200);
        assert_eq!(elsewhere["gap"]["reason"], "UNKNOWN");
    }
}

on_both! {
    idle;
    async fn followers_are_bounded(app: App) {
        let url = app.serve(|options| options.streams.of_caller = 1);
        let owner = app.acme.owner.at(&url);
        let first = EventStream::open(&owner, "/v1/stream", None).await;
        let request = owner.request("GET", "/v1/stream").header("accept", "text/event-stream");
        assert_eq!(owner.send(request).await.problem(429), "too_many_streams");
        drop(first);
        let opens = async || {
            let request = owner.request("GET", "/v1/stream").header("accept", "text/event-stream");
            request.send().await.unwrap().status() == 200
        };
        eventually("the place is free again", opens).await;
    }

    async fn a_stream_ends_with_its_credential(app: App) {
        let key = app.acme.key(&app, &["task-runs:read"]).await;
        let mut stream = EventStream::open(&key, "/v1/stream", None).await;
        assert!(stream.next().await.unwrap().event.is_empty());
        let keys = app.acme.owner.get("/v1/api-keys").await.expect(200);
        app.acme.owner.delete(&format!("/v1/api-keys/{}", id(&keys["data"][0]))).await.expect(204);
        let end = stream.rest().await;
        assert_eq!((end.len(), end[0].event.as_str(), &end[0].data["code"]), (1, "error", &json!("invalid_api_key")));
    }
}
