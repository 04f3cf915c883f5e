//! Workers that are sent their runs.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use service::core::{Core, World};
use service::tasks::workers::round;
use tokio::io::AsyncReadExt as _;

use super::{create, key, kinds, run_of};
use crate::support::receiver::{Delivery, Receiver};
use crate::support::workers::{Lease, Worker};
use crate::support::{App, Backend, Client, eventually, people};

/// A worker that is sent its runs, and the secret that was shown.
async fn pushed(client: &Client, name: &str, url: &str, slots: u32) -> (Worker, Value) {
    let body = json!({ "name": name, "capabilities": [format!("function:{name}")], "slots": slots,
        "delivery": { "url": url } });
    let made = client.post("/v1/workers", body).await.expect(201);
    let id = made["id"].as_str().unwrap().to_owned();
    (Worker { client: client.clone(), path: format!("/v1/workers/{id}"), id }, made)
}

/// The signature as a receiver computes it.
fn signature(secret: &str, delivery: &Delivery) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let (id, at) = (&delivery.headers["webhook-id"], &delivery.headers["webhook-timestamp"]);
    let signed = [id.as_bytes(), b".", at.as_bytes(), b".", &delivery.body].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed);
    format!("v1,{}", STANDARD.encode(tag))
}

on_both! {
    async fn a_run_is_sent_signed_and_ends_by_the_same_calls(app: App) {
        let (client, receiver) = (key(&app).await, Receiver::start());
        let definition = app.acme.remote("p", json!({}), json!({})).await;
        let (worker, made) = pushed(&client, "p", &receiver.url, 1).await;
        let secret = made["deliverySecret"].as_str().unwrap();
        assert_eq!(made["delivery"], json!({ "url": receiver.url, "failures": 0, "retryAt": null, "lastError": null }));
        let run = create(&client, &definition, json!({ "a": 1 })).await;
        let first = receiver.until(1).await[0].clone();
        assert_eq!(first.headers["webhook-signature"], signature(secret, &first));
        assert_eq!(first.headers["mc-worker-id"], worker.id);
        let at: i64 = first.headers["webhook-timestamp"].parse().unwrap();
        assert!((app.core.clock.now().timestamp() - at).abs() < 300, "{at}");
        let item = first.item();
        assert_eq!((&item["run"]["id"], &item["attempt"]), (&json!(run), &json!(1)));
        assert_eq!(item["tool"]["arguments"], json!({ "a": 1 }));
        // It has one slot.
        let second = create(&client, &definition, json!({ "a": 2 })).await;
        let lease = Lease::of(&item);
        assert_eq!(worker.beat(&[&lease]).await["leases"][0]["state"], "OK");
        round(&app.core).await.unwrap();
        assert_eq!(receiver.got().len(), 1);
        assert_eq!(worker.complete(&lease, json!("done")).await["status"], "COMPLETED");
        let got = receiver.until(2).await;
        assert_eq!(got[1].item()["run"]["id"], json!(second));
        assert_ne!(got[0].headers["webhook-id"], got[1].headers["webhook-id"]);
        assert_eq!(worker.complete(&Lease::of(&got[1].item()), json!(2)).await["status"], "COMPLETED");
        assert_eq!(worker.status().await, "ONLINE");

        // The secret is shown once, and goes with the name until another one is wanted.
        let view = client.get(&worker.path).await.expect(200);
        assert!(!view.to_string().contains("whsec_") && view.get("deliverySecret").is_none(), "{view}");
        let (_, again) = pushed(&client, "p", &receiver.url, 1).await;
        assert!(again.get("deliverySecret").is_none(), "{again}");
        let body = json!({ "name": "p", "capabilities": ["function:p"], "delivery": { "url": receiver.url, "newSecret": true } });
        let renewed = client.post("/v1/workers", body).await.expect(201);
        create(&client, &definition, json!({})).await;
        let third = receiver.until(3).await[2].clone();
        assert_eq!(third.headers["webhook-signature"], signature(renewed["deliverySecret"].as_str().unwrap(), &third));
        assert_ne!(renewed["deliverySecret"], made["deliverySecret"]);
        worker.complete(&Lease::of(&third.item()), json!(3)).await;
        // Without a delivery it asks.
        let asks = client.post("/v1/workers", json!({ "name": "p", "capabilities": ["function:p"] })).await.expect(201);
        assert_eq!((&asks["delivery"], &asks["status"]), (&Value::Null, &json!("OFFLINE")));
        create(&client, &definition, json!({})).await;
        round(&app.core).await.unwrap();
        assert_eq!(receiver.got().len(), 3);
        assert_eq!(worker.claim(1).await.len(), 1);
    }

    async fn drained_and_paused_workers_are_sent_nothing(app: App) {
        let (client, receiver) = (key(&app).await, Receiver::start());
        let definition = app.acme.remote("d", json!({}), json!({})).await;
        let (worker, _) = pushed(&client, "d", &receiver.url, 4).await;
        for (stop, status, start) in [("pause", "PAUSED", "resume"), ("drain", "DRAINING", "undrain")] {
            let before = receiver.got().len();
            client.post(&format!("{}/{stop}", worker.path), json!({})).await.expect(200);
            assert_eq!(worker.status().await, status);
            let run = create(&client, &definition, json!({})).await;
            round(&app.core).await.unwrap();
            assert_eq!((receiver.got().len(), run_of(&client, &run).await["reason"].clone()), (before, json!("NO_WORKER")));
            client.post(&format!("{}/{start}", worker.path), Value::Null).await.expect(200);
            let got = receiver.until(before + 1).await;
            assert_eq!(got[before].item()["run"]["id"], json!(run));
        }
    }

    async fn a_url_is_public_and_https_or_named_by_the_operator(app: App) {
        for url in ["nothing", "ftp://example.com/", "http://example.com/runs", "https://10.0.0.1/", "https://169.254.169.254/",
            "https://localhost/", "https://[::1]/", "https://user:secret@example.com/", "https://example.com:22/"] {
            let body = json!({ "name": "w", "capabilities": ["function:a"], "delivery": { "url": url } });
            let refused = app.acme.owner.post("/v1/workers", body).await;
            assert_eq!((refused.status, &refused.body["errors"][0]["pointer"]), (422, &json!("/delivery/url")), "{url}: {}", refused.text);
        }
        let body = json!({ "name": "w", "capabilities": ["function:a"], "delivery": { "url": "https://example.com/runs" } });
        app.acme.owner.post("/v1/workers", body).await.expect(201);
    }

    async fn it_is_sent_what_its_registrant_sees_and_may(app: App) {
        let (owner, receiver) = (&app.acme.owner, Receiver::start());
        let manager = people::member(&app, owner, "m@acme.example.com", "MANAGER").await;
        let space = owner.post("/v1/workspaces", json!({ "name": "Strict", "isolation": "STRICT" })).await.expect(201);
        let open = app.acme.remote("s", json!({}), json!({})).await;
        let tool = json!({ "name": "hidden", "description": "A worker's.", "type": "FUNCTION", "config": { "function": "s" },
            "sideEffect": "SAFE", "workspaceId": space["id"] });
        let tool = owner.post("/v1/tools", tool).await.expect(201);
        let hidden = app.acme.definition("hidden", json!({ "toolId": tool["id"], "workspaceId": space["id"] })).await;
        let hidden = create(owner, &hidden, json!({})).await;
        let (worker, _) = pushed(&manager, "s", &receiver.url, 4).await;
        let seen = create(owner, &open, json!({})).await;
        assert_eq!(receiver.until(1).await[0].item()["run"]["id"], json!(seen));
        round(&app.core).await.unwrap();
        assert_eq!((receiver.got().len(), run_of(owner, &hidden).await["status"].clone()), (1, json!("PENDING")));

        let members = owner.get("/v1/memberships").await.expect(200);
        let place = members["data"].as_array().unwrap().iter().find(|place| place["email"] == "m@acme.example.com").unwrap().clone();
        owner.patch(&format!("/v1/memberships/{}", place["id"].as_str().unwrap()), json!({ "role": "VIEWER" })).await.expect(200);
        let late = create(owner, &open, json!({})).await;
        eventually("it is paused", async || owner.get(&worker.path).await.expect(200)["status"] == "PAUSED").await;
        let view = owner.get(&worker.path).await.expect(200);
        assert!(view["pausedReason"].as_str().unwrap().contains("registered"), "{view}");
        assert_eq!((receiver.got().len(), run_of(owner, &late).await["status"].clone()), (1, json!("PENDING")));
    }
}

on_both! {
    leasing;

    async fn what_is_not_taken_is_given_back_until_the_worker_is_paused(app: App) {
        let (client, receiver) = (key(&app).await, Receiver::start());
        let definition = app.acme.remote("r", json!({}), json!({})).await;
        receiver.answer(500);
        let (worker, _) = pushed(&client, "r", &receiver.url, 4).await;
        let run = create(&client, &definition, json!({})).await;
        let view = async || client.get(&worker.path).await.expect(200);
        for failures in 1..=8_i64 {
            eventually("it is counted", async || view().await["delivery"]["failures"] == failures).await;
            eventually("the run is given back", async || run_of(&client, &run).await["status"] == "PENDING").await;
            assert_eq!(receiver.got().len(), usize::try_from(failures).unwrap(), "it waits until the time is over");
            let now = view().await;
            assert_eq!(now["delivery"]["lastError"], "It answered HTTP 500.");
            if failures < 8 {
                assert_eq!(now["status"], "OFFLINE");
                round(&app.core).await.unwrap();
                assert_eq!(receiver.got().len(), usize::try_from(failures).unwrap());
                app.core.clock.advance(Duration::from_secs(if failures < 8 { 1 << failures } else { 300 }));
            }
        }
        eventually("it is paused", async || view().await["status"] == "PAUSED").await;
        let reason = view().await["pausedReason"].as_str().unwrap().to_owned();
        assert!(reason.contains("8 deliveries") && reason.contains("HTTP 500"), "{reason}");
        let given_back = run_of(&client, &run).await;
        assert_eq!((&given_back["attempt"], &given_back["reason"]), (&json!(0), &json!("NO_WORKER")), "no attempt is consumed");
        assert_eq!(kinds(&client, &run).await.iter().filter(|kind| *kind == "run.released").count(), 8);
        let log = app.acme.owner.get("/v1/audit-logs?action=pause_worker").await.expect(200);
        assert_eq!(log["data"].as_array().unwrap().len(), 1, "{log}");

        receiver.answer(204);
        client.post(&format!("{}/resume", worker.path), Value::Null).await.expect(200);
        let got = receiver.until(9).await;
        let lease = Lease::of(&got[8].item());
        assert_eq!(lease.attempt, 1);
        assert_eq!(worker.complete(&lease, json!(1)).await["status"], "COMPLETED");
        eventually("it is well", async || view().await["status"] == "ONLINE").await;
        // What was given back is over for who was sent it before.
        let stale = Lease::of(&got[0].item());
        assert_eq!(worker.call(&stale, "fail", json!({ "error": { "type": "t", "message": "m" } })).await.problem(409), "lease_lost");
    }

    async fn a_once_call_that_may_have_been_made_waits_for_a_person(app: App) {
        let client = key(&app).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/runs", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // It reads, and breaks off.
                let _ = stream.read(&mut [0; 65_536]).await;
            }
        });
        let once = app.acme.remote("o", json!({ "sideEffect": "ONCE" }), json!({})).await;
        let (worker, _) = pushed(&client, "o", &url, 4).await;
        let run = create(&client, &once, json!({})).await;
        let failures = async || client.get(&worker.path).await.expect(200)["delivery"]["failures"].clone();
        eventually("it is counted", async || failures().await == 1).await;
        assert_eq!(run_of(&client, &run).await["status"], "RUNNING");
        app.core.clock.advance(Duration::from_secs(61));
        eventually("a person is asked", async || run_of(&client, &run).await["reason"] == "NEEDS_REVIEW").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_send_each_run_once() {
    const RUNS: usize = 24;
    let app = App::start_idle(Backend::Postgres).await;
    let (client, receiver) = (key(&app).await, Receiver::start());
    let definition = app.acme.remote("n", json!({}), json!({})).await;
    let (_, _) = pushed(&client, "n", &receiver.url, 100).await;
    for n in 0..RUNS {
        create(&client, &definition, json!({ "n": n })).await;
    }
    let mut nodes = vec![app.core.clone()];
    for _ in 0..2 {
        nodes.push(Core::open(app.core.config.clone(), World::real()).await.unwrap());
    }
    while receiver.got().len() < RUNS {
        let rounds = nodes.iter().cloned().map(|node| tokio::spawn(async move { round(&node).await }));
        for done in rounds.collect::<Vec<_>>() {
            done.await.unwrap().unwrap();
        }
    }
    for node in &nodes {
        round(node).await.unwrap();
    }
    let sent: Vec<_> = receiver.got().iter().map(|got| got.item()["run"]["id"].to_string()).collect();
    assert_eq!((sent.len(), sent.iter().collect::<BTreeSet<_>>().len()), (RUNS, RUNS));
}
