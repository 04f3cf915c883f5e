//! Who follows sees the runs that they see anywhere else.

use serde_json::{Value, json};

use super::{ends, id, run};
use crate::support::event_stream::EventStream;
use crate::support::people;

on_both! {
    async fn a_follower_is_given_what_they_see_and_ask_for(app: App) {
        let owner = &app.acme.owner;
        let colleague = people::member(&app, owner, "second@acme.example.com", "ADMIN").await;
        let space = owner.post("/v1/workspaces", json!({ "name": "Strict", "isolation": "STRICT" })).await.expect(201);
        let hidden = app.acme.agent("hidden", json!({ "workspaceId": space["id"] })).await;
        let open = app.acme.agent("open", json!({})).await;
        let other = app.acme.agent("other", json!({})).await;
        let definition = app.acme.definition("of-open", json!({ "agentId": open })).await;
        let key = json!({ "name": "limited", "scopes": ["*"], "agentIds": [open] });
        let key = owner.post("/v1/api-keys", key).await.expect(201);
        let key = app.anyone().with_key(key["key"].as_str().unwrap());

        let by_agent = format!("/v1/stream?agentId={other}");
        let by_definition = format!("/v1/stream?definitionId={definition}");
        let mut streams = Vec::new();
        for (caller, path) in [
            (owner, "/v1/stream"),
            (&colleague, "/v1/stream"),
            (&key, "/v1/stream"),
            (owner, &by_agent),
            (owner, &by_definition),
        ] {
            let mut stream = EventStream::open(caller, path, None).await;
            stream.next().await.unwrap();
            streams.push((caller, path, stream));
        }
        let mut theirs = EventStream::open(&app.rival.owner, "/v1/stream", None).await;
        theirs.next().await.unwrap();
        let rivals = app.rival.agent("rivals", json!({})).await;

        let of_hidden = app.acme.run(json!({ "agentId": hidden, "input": "x" })).await;
        let of_other = app.acme.run(json!({ "agentId": other, "input": "x" })).await;
        let of_definition = app.acme.run(json!({ "definitionId": definition, "input": "x" })).await;
        let of_open = app.acme.run(json!({ "agentId": open, "input": "x" })).await;
        let expected: [&[&Value]; 5] = [
            &[&of_hidden, &of_other, &of_definition, &of_open],
            &[&of_other, &of_definition, &of_open],
            &[&of_definition, &of_open],
            &[&of_other],
            &[&of_definition],
        ];
        for ((caller, path, mut stream), runs) in streams.into_iter().zip(expected) {
            let seen = stream.until(|sent| ends(sent, runs.last().unwrap())).await;
            let mut seen: Vec<_> = seen.iter().map(|sent| run(&sent.data).to_owned()).collect();
            seen.dedup();
            let expected: Vec<_> = runs.iter().map(|run| id(run)).collect();
            assert_eq!(seen, expected, "{path}");
            let page = caller.get(&format!("{path}{}limit=200", if path.contains('?') { '&' } else { '?' })).await.expect(200);
            let mut paged: Vec<_> = page["data"].as_array().unwrap().iter().map(run).collect();
            paged.dedup();
            assert_eq!(paged, expected, "{path}");
        }
        let of_rival = app.rival.run(json!({ "agentId": rivals, "input": "x" })).await;
        let seen = theirs.until(|sent| ends(sent, &of_rival)).await;
        assert!(seen.iter().all(|sent| sent.data["runId"] == of_rival["id"]), "{seen:?}");
    }
}
