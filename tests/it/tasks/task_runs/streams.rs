//! The stream of a run that is live: what was, then what comes, until the run has ended.

use serde_json::{Value, json};

use crate::support::Client;
use crate::support::model_server::{ModelServer, Reply, frames};

/// An open stream, and what has come of it.
struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(caller: &Client, path: &str, last: Option<i64>) -> Self {
        let mut request = caller.request("GET", path).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// Reads on until this has come.
    async fn until(&mut self, what: &str) {
        while !self.text.contains(what) {
            let chunk = self.response.chunk().await.unwrap().expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Everything up to the end: sequence number, type and data.
    async fn rest(mut self) -> Vec<(i64, String, Value)> {
        while let Some(chunk) = self.response.chunk().await.unwrap() {
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        let events = self.text.split("\n\n").filter(|event| event.contains("data: "));
        events
            .map(|event| {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                (
                    field("id: ").parse().unwrap(),
                    field("event: ").to_owned(),
                    serde_json::from_str(field("data: ")).unwrap(),
                )
            })
            .collect()
    }
}

on_both! {
    async fn a_live_run_is_followed_to_its_end(app: App) {
        let server = ModelServer::start(|_| Reply::Held(frames("word", &[])[1..].to_vec()));
        let agent = app.acme.model_agent("held", &server, json!({})).await;
        let path = app.acme.create(json!({ "agentId": agent, "input": "x" })).await;
        let events = format!("{path}/events");
        let owner = &app.acme.owner;
        let mut all = Stream::open(owner, &events, None).await;
        all.until("event: model.delta\n").await;
        let behind = Stream::open(owner, &events, Some(2)).await;
        let mut far_behind = Stream::open(owner, &format!("{events}?after=0"), Some(1)).await;
        far_behind.until("event: model.delta\n").await;
        let only = Stream::open(owner, &format!("{events}?types=run.created,run.completed"), None).await;
        let foreign = app.rival.owner.request("GET", &events).header("accept", "text/event-stream");
        assert_eq!(app.rival.owner.send(foreign).await.problem(404), "not_found");
        assert_eq!(owner.get(&path).await.expect(200)["status"], "RUNNING");

        server.release();
        let all = all.rest().await;
        let stored = owner.get(&events).await.expect(200)["data"].as_array().unwrap().clone();
        let seqs: Vec<i64> = all.iter().map(|event| event.0).collect();
        assert_eq!(seqs, (1..=i64::try_from(stored.len()).unwrap()).collect::<Vec<_>>());
        assert!(all.iter().zip(&stored).all(|((_, kind, data), stored)| *kind == stored["type"] && data == stored));
        assert_eq!(all.last().unwrap().1, "run.completed");
        assert_eq!(behind.rest().await, all[2..]);
        assert_eq!(far_behind.rest().await, all[1..], "the header outranks the query");
        let kinds: Vec<_> = only.rest().await.into_iter().map(|event| event.1).collect();
        assert_eq!(kinds, ["run.created", "run.completed"]);
    }

    async fn a_stream_ends_however_the_run_does(app: App) {
        let server = ModelServer::start(|_| Reply::Held(frames("word", &[])[1..].to_vec()));
        let agent = app.acme.model_agent("held", &server, json!({})).await;
        let path = app.acme.create(json!({ "agentId": agent, "input": "x" })).await;
        let mut stream = Stream::open(&app.acme.owner, &format!("{path}/events"), None).await;
        stream.until("event: model.delta\n").await;
        app.acme.owner.post(&format!("{path}/cancel"), json!({})).await.expect(202);
        let kinds: Vec<_> = stream.rest().await.into_iter().map(|event| event.1).collect();
        assert_eq!(kinds[kinds.len() - 3..], ["run.cancel_requested", "step.completed", "run.cancelled"]);
    }

    async fn a_place_that_is_none_is_refused(app: App) {
        let agent = app.acme.agent("echo", json!({})).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "x" })).await;
        let path = format!("/v1/task-runs/{}/events", run["id"].as_str().unwrap());
        for last in ["x", "-1", "1.5"] {
            let request = app.acme.owner.request("GET", &path).header("accept", "text/event-stream");
            let refused = app.acme.owner.send(request.header("last-event-id", last)).await;
            assert_eq!(refused.problem(422), "invalid", "{last}");
        }
    }
}
