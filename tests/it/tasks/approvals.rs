//! `/v1/approvals` as a caller sees it, and what a decision makes of the run.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::model_server::{ModelServer, Reply, frames};
use crate::support::{App, Client, eventually};

/// Two calls in the first turn, of which each has to be asked about.
fn server() -> ModelServer {
    ModelServer::start(|conversation| {
        let calls =
            [("call_1", "charge", json!({ "case": "a" })), ("call_2", "charge", json!({ "case": "b" }))];
        Reply::Frames(if conversation.turn == 0 { frames("", &calls) } else { frames("done", &[]) })
    })
}

/// The path of a run that asks, and its questions in the order of the calls.
async fn asking(app: &App, server: &ModelServer) -> (String, Vec<Value>) {
    let agent = app.acme.model_agent("careful", server, json!({})).await;
    let tool = app.acme.effect("charge", server, "KEYED").await;
    app.acme.bind(&agent, &tool, json!({ "policy": "ASK" })).await;
    let path = app.acme.create(json!({ "agentId": agent, "input": "go" })).await;
    eventually("it asks", async || app.acme.owner.get(&path).await.expect(200)["status"] == "WAITING").await;
    let run = app.acme.owner.get(&path).await.expect(200);
    assert_eq!(run["reason"], "APPROVAL");
    let asked = app.acme.owner.get("/v1/approvals?status=PENDING&sort=createdAt").await.expect(200);
    let mut asked = asked["data"].as_array().unwrap().clone();
    asked.sort_by_key(|question| question["stepNumber"].as_i64());
    assert_eq!(asked.len(), 2, "the questions of a turn are asked together");
    assert!(asked.iter().all(|question| question["runId"] == run["id"] && question["kind"] == "TOOL"));
    assert_eq!(server.effects().len(), 0, "nothing is called before it is asked about");
    (path, asked)
}

fn decide(question: &Value) -> String {
    format!("/v1/approvals/{}/decide", question["id"].as_str().unwrap())
}

async fn completed(owner: &Client, path: &str) -> Value {
    eventually("it ends", async || owner.get(path).await.expect(200)["status"] == "COMPLETED").await;
    owner.get(path).await.expect(200)
}

/// What the model read as the outcomes of its two calls.
fn results(server: &ModelServer) -> [String; 2] {
    assert_eq!(server.faults(), Vec::<String>::new());
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    [2, 3].map(|index| asked[1].messages[index]["content"].as_str().unwrap().to_owned())
}

on_both! {
    async fn a_tool_is_called_once_a_person_approved_it(app: App) {
        let owner = &app.acme.owner;
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let asked = async |path: &str| {
            eventually("it asks", async || owner.get(path).await.expect(200)["status"] == "WAITING").await;
            let run = path.rsplit('/').next().unwrap();
            let open = owner.get(&format!("/v1/approvals?status=PENDING&runId={run}")).await.expect(200);
            assert_eq!(open["data"].as_array().unwrap().len(), 1, "{open}");
            open["data"][0].clone()
        };
        let config = json!({ "approval": { "expiresInSeconds": 600 } });
        let definition = app.acme.definition("asked", json!({ "toolId": tool, "config": config })).await;
        let create = async || app.acme.create(json!({ "definitionId": definition, "input": { "n": 1 } })).await;

        let path = create().await;
        let question = asked(&path).await;
        assert_eq!((&question["kind"], &question["proposal"]["arguments"]), (&json!("TOOL"), &json!({ "n": 1 })));
        assert_eq!(app.rival.owner.post(&decide(&question), json!({ "decision": "APPROVE" })).await.status, 404);
        let edited = json!({ "decision": "APPROVE", "arguments": { "n": 2 } });
        owner.post(&decide(&question), edited).await.expect(200);
        assert_eq!(completed(owner, &path).await["output"], json!({ "n": 2 }));

        let path = create().await;
        let no = json!({ "decision": "REJECT", "comment": "too much" });
        owner.post(&decide(&asked(&path).await), no).await.expect(200);
        eventually("it fails", async || owner.get(&path).await.expect(200)["status"] == "FAILED").await;
        let run = owner.get(&path).await.expect(200);
        assert_eq!((&run["reason"], &run["error"]["code"]), (&json!("APPROVAL_REJECTED"), &json!("approval_rejected")));
        assert!(run["error"]["message"].as_str().unwrap().contains("too much"), "{run}");
        owner.post(&format!("{path}/retry"), json!({})).await.expect(200);
        owner.post(&decide(&asked(&path).await), json!({ "decision": "APPROVE" })).await.expect(200);
        assert_eq!(completed(owner, &path).await["output"], json!({ "n": 1 }), "a retry asks again");

        let at_once = json!({ "approval": { "expiresInSeconds": 1, "onExpire": "APPROVE" } });
        let lax = app.acme.definition("lax", json!({ "toolId": tool, "config": at_once })).await;
        let path = app.acme.create(json!({ "definitionId": lax, "input": { "n": 3 } })).await;
        assert_eq!(completed(owner, &path).await["output"], json!({ "n": 3 }), "nobody decided");

        let steps = json!([
            { "id": "first", "tool": "echo", "input": { "text": "a" } },
            { "id": "second", "tool": "echo", "needs": ["first"], "input": { "text": "{{ steps.first.output.text }}b" }, "approval": {} },
        ]);
        let graph = app.acme.definition("graph", json!({ "config": { "steps": steps } })).await;
        let path = app.acme.create(json!({ "definitionId": graph, "input": null })).await;
        eventually("a step asks", async || {
            owner.get("/v1/approvals?status=PENDING").await.expect(200)["data"].as_array().unwrap().len() == 1
        })
        .await;
        let open = owner.get("/v1/approvals?status=PENDING").await.expect(200)["data"][0].clone();
        assert_eq!(open["proposal"]["arguments"], json!({ "text": "ab" }));
        assert_eq!(owner.get(&path).await.expect(200)["reason"], "CHILDREN");
        owner.post(&decide(&open), json!({ "decision": "APPROVE" })).await.expect(200);
        assert_eq!(completed(owner, &path).await["output"], json!({ "second": { "text": "ab" } }));

        let agent = app.acme.agent("agent", json!({})).await;
        for (pointer, body) in [
            ("/config/approval", json!({ "name": "x", "type": "AUTOMATION", "agentId": agent, "config": config })),
            ("/config/steps/0/approval", json!({ "name": "x", "type": "AUTOMATION",
                "config": { "steps": [{ "id": "a", "agent": agent, "approval": {} }] } })),
            ("/config/approval/expiresInSeconds", json!({ "name": "x", "type": "AUTOMATION", "toolId": tool,
                "config": { "approval": { "expiresInSeconds": 0 } } })),
        ] {
            let refused = owner.post("/v1/task-definitions", body).await;
            assert_eq!((refused.status, &refused.body["errors"][0]["pointer"]), (422, &json!(pointer)), "{}", refused.text);
        }
    }

    async fn an_approved_call_is_made_with_the_arguments_that_were_approved(app: App) {
        let server = server();
        let (path, asked) = asking(&app, &server).await;
        let owner = &app.acme.owner;
        assert_eq!(asked[0]["proposal"]["arguments"], json!({ "case": "a" }));
        for answer in [
            app.rival.owner.get(&format!("/v1/approvals/{}", asked[0]["id"].as_str().unwrap())).await,
            app.rival.owner.post(&decide(&asked[0]), json!({ "decision": "APPROVE" })).await,
        ] {
            assert_eq!(answer.problem(404), "not_found");
        }
        assert_eq!(app.rival.owner.get("/v1/approvals").await.expect(200)["data"], json!([]));
        let wrong = json!({ "decision": "APPROVE", "arguments": { "case": 1 } });
        assert_eq!(owner.post(&decide(&asked[0]), wrong).await.expect(422)["errors"][0]["pointer"], "/arguments/case");
        let wrong = json!({ "decision": "REJECT", "arguments": { "case": "c" } });
        assert_eq!(owner.post(&decide(&asked[0]), wrong).await.expect(422)["errors"][0]["pointer"], "/arguments");

        let edited = json!({ "decision": "APPROVE", "arguments": { "case": "edited" }, "comment": "Better so." });
        let decided = owner.post_once(&decide(&asked[0]), "k", edited.clone()).await.expect(200);
        assert_eq!((&decided["status"], &decided["decision"]["arguments"]), (&json!("APPROVED"), &json!({ "case": "edited" })));
        assert_eq!(owner.post_once(&decide(&asked[0]), "k", edited).await.expect(200), decided);
        let second = owner.post(&decide(&asked[0]), json!({ "decision": "REJECT" })).await;
        assert_eq!(second.problem(409), "already_decided");
        let waiting = owner.get(&path).await.expect(200);
        assert_eq!((&waiting["status"], server.effects().len()), (&json!("WAITING"), 0), "the other question is open");

        owner.post(&decide(&asked[1]), json!({ "decision": "APPROVE" })).await.expect(200);
        let run = completed(owner, &path).await;
        assert_eq!(run["output"], "done");
        let made: Vec<_> = server.effects().iter().map(|effect| effect.body["case"].clone()).collect();
        assert_eq!(made, ["edited", "b"]);
        let [edited, plain] = results(&server);
        assert!(edited.contains("\"case\":\"edited\"") && !plain.contains("changed"), "{edited} {plain}");
        let events = owner.get(&format!("{path}/events?types=approval.requested,run.resumed")).await.expect(200);
        assert_eq!(events["data"].as_array().unwrap().len(), 3, "{events}");
    }

    async fn a_rejected_call_is_not_made_and_the_model_is_told_why(app: App) {
        let server = server();
        let (path, asked) = asking(&app, &server).await;
        let rejected = json!({ "decision": "REJECT", "comment": "Too expensive." });
        let decided = app.acme.owner.post(&decide(&asked[0]), rejected).await.expect(200);
        assert_eq!((&decided["status"], decided["decidedBy"].as_str().unwrap().starts_with("user:")), (&json!("REJECTED"), true));
        app.acme.owner.post(&decide(&asked[1]), json!({ "decision": "APPROVE" })).await.expect(200);
        completed(&app.acme.owner, &path).await;
        let made: Vec<_> = server.effects().iter().map(|effect| effect.body["case"].clone()).collect();
        assert_eq!(made, ["b"]);
        let [told, _] = results(&server);
        assert!(told.contains("Too expensive."), "{told}");
    }

    async fn one_of_many_decisions_at_once_counts(app: App) {
        let server = server();
        let (path, asked) = asking(&app, &server).await;
        let mut won = 0;
        for question in &asked {
            let path = decide(question);
            let verdicts = (0..6).map(|index| {
                let decision = if index % 2 == 0 { "APPROVE" } else { "REJECT" };
                app.acme.owner.post(&path, json!({ "decision": decision }))
            });
            let answers = futures_util::future::join_all(verdicts).await;
            won += answers.iter().filter(|answer| answer.status == 200).count();
            assert!(answers.iter().all(|answer| answer.status == 200 || answer.body["code"] == "already_decided"), "{answers:?}");
        }
        assert_eq!(won, 2);
        completed(&app.acme.owner, &path).await;
        let approved = app.acme.owner.get("/v1/approvals?status=APPROVED").await.expect(200);
        assert_eq!(server.effects().len(), approved["data"].as_array().unwrap().len());
    }
}

on_both! {
    manual;
    async fn a_question_that_nobody_answers_counts_as_rejected(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let server = server();
        let (path, asked) = asking(&app, &server).await;
        assert_eq!(asked[0]["onExpire"], "REJECT");
        let expires: chrono::DateTime<chrono::Utc> = serde_json::from_value(asked[0]["expiresAt"].clone()).unwrap();
        let left = (expires - app.core.clock.now()).to_std().unwrap();
        app.core.clock.advance(left - Duration::from_millis(1));
        owner.post(&decide(&asked[1]), json!({ "decision": "APPROVE" })).await.expect(200);
        app.core.clock.advance(Duration::from_millis(1));
        let late = owner.post(&decide(&asked[0]), json!({ "decision": "APPROVE" })).await;
        assert_eq!(late.problem(409), "already_decided");
        let run = completed(&owner, &path).await;
        assert_eq!(run["waitingMs"].as_u64().map(Duration::from_millis), Some(left), "{run}");
        let expired = owner.get(&format!("/v1/approvals/{}", asked[0]["id"].as_str().unwrap())).await.expect(200);
        assert_eq!((&expired["status"], &expired["decidedBy"]), (&json!("EXPIRED"), &json!("system")));
        let made: Vec<_> = server.effects().iter().map(|effect| effect.body["case"].clone()).collect();
        assert_eq!(made, ["b"]);
        let [told, _] = results(&server);
        assert!(told.contains("in time"), "{told}");
    }
}
