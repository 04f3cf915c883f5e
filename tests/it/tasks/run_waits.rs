//! Waits as a caller sees them: questions to people, events and times that runs wait for without a slot.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::model_server::{ModelServer, Reply, frames};
use crate::support::{App, Client, eventually};

/// The path of a run of the built-in that waits now.
async fn waiting(app: &App, function: &str, input: Value) -> String {
    let name = format!("tool_{}", app.core.ids.next().simple());
    let tool = app.acme.builtin(&name, function).await;
    let definition = app.acme.definition(&name, json!({ "toolId": tool })).await;
    let path = app.acme.create(json!({ "definitionId": definition, "input": input })).await;
    until(&app.acme.owner, &path, "WAITING").await;
    path
}

async fn until(owner: &Client, path: &str, status: &str) -> Value {
    let reached = async || {
        let run = owner.get(path).await.expect(200);
        let ended = ["COMPLETED", "FAILED", "CANCELLED"].iter().any(|end| run["status"] == *end);
        assert!(!ended || run["status"] == status, "{run}");
        run["status"] == status
    };
    eventually(status, reached).await;
    owner.get(path).await.expect(200)
}

async fn ended(owner: &Client, path: &str) -> Value {
    let is_over = async || {
        let status = owner.get(path).await.expect(200)["status"].clone();
        ["COMPLETED", "FAILED", "CANCELLED"].iter().any(|end| status == *end)
    };
    eventually("it ends", is_over).await;
    owner.get(path).await.expect(200)
}

fn question() -> Value {
    json!({ "question": "Ship it?", "schema": { "type": "object", "required": ["ship"],
        "properties": { "ship": { "type": "boolean" } } } })
}

on_both! {
    async fn a_run_asks_a_person_and_goes_on_with_the_first_answer(app: App) {
        let owner = &app.acme.owner;
        let path = waiting(&app, "builtin/ask_user", question()).await;
        let run = owner.get(&path).await.expect(200);
        assert_eq!(run["reason"], "USER_INPUT");
        let open = &run["waitingFor"][0];
        assert_eq!((&open["kind"], &open["request"]["question"]), (&json!("USER_INPUT"), &json!("Ship it?")));
        let listed = owner.get("/v1/task-runs?status=WAITING").await.expect(200);
        assert_eq!(listed["data"][0]["waitingFor"], run["waitingFor"]);
        let inbox = owner.get("/v1/run-waits?status=OPEN&kind=USER_INPUT").await.expect(200);
        assert_eq!(inbox["data"][0]["id"], open["id"]);
        assert_eq!(app.rival.owner.get("/v1/run-waits").await.expect(200)["data"], json!([]));

        let input = format!("{path}/input");
        let yes = json!({ "answer": { "ship": true } });
        assert_eq!(app.rival.owner.post(&input, yes.clone()).await.problem(404), "not_found");
        let wrong = owner.post(&input, json!({ "answer": { "ship": "yes" } })).await.expect(422);
        assert_eq!(wrong["errors"][0]["pointer"], "/answer/ship");
        let other = json!({ "answer": { "ship": true }, "waitId": app.core.ids.next() });
        assert_eq!(owner.post(&input, other).await.expect(422)["errors"][0]["pointer"], "/waitId");
        let long = json!({ "answer": { "ship": true, "why": "x".repeat(65 << 10) } });
        assert_eq!(owner.post(&input, long).await.expect(422)["errors"][0]["pointer"], "/answer");

        let answered = owner.post_once(&input, "k", yes.clone()).await.expect(200);
        assert_eq!((&answered["status"], &answered["answer"]), (&json!("SATISFIED"), &json!({ "answer": { "ship": true } })));
        assert_eq!(owner.post_once(&input, "k", yes.clone()).await.expect(200), answered);
        assert_eq!(owner.post(&input, yes).await.problem(409), "already_answered");
        let run = until(owner, &path, "COMPLETED").await;
        assert_eq!((&run["output"], &run["waitingFor"]), (&json!({ "answer": { "ship": true } }), &json!([])));
        let steps = owner.get(&format!("{path}/steps")).await.expect(200);
        assert_eq!((steps["data"].as_array().unwrap().len(), &steps["data"][0]["kind"]), (1, &json!("WAIT")));
        let events = owner.get(&format!("{path}/events?types=wait.registered,run.waiting,run.resumed")).await.expect(200);
        let kinds: Vec<_> = events["data"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
        assert_eq!(kinds, ["wait.registered", "run.waiting", "run.resumed"]);
    }

    async fn an_agent_asks_two_things_at_once_and_reads_both_answers(app: App) {
        let owner = &app.acme.owner;
        let server = ModelServer::start(|conversation| {
            let calls = [
                ("call_1", "ask", json!({ "question": "Where?" })),
                ("call_2", "charge", json!({ "case": "a" })),
                ("call_3", "ask", json!({ "question": "When?" })),
            ];
            Reply::Frames(if conversation.turn == 0 { frames("", &calls) } else { frames("done", &[]) })
        });
        let agent = app.acme.model_agent("asker", &server, json!({})).await;
        let ask = app.acme.builtin("ask", "builtin/ask_user").await;
        let charge = app.acme.effect("charge", &server, "ONCE").await;
        app.acme.bind(&agent, &ask, json!({})).await;
        app.acme.bind(&agent, &charge, json!({})).await;
        let path = app.acme.create(json!({ "agentId": agent, "input": "go" })).await;
        let run = until(owner, &path, "WAITING").await;
        assert_eq!(run["waitingFor"].as_array().unwrap().len(), 2, "{run}");
        let input = format!("{path}/input");
        let unclear = owner.post(&input, json!({ "answer": "here" })).await.expect(422);
        assert_eq!(unclear["errors"][0]["pointer"], "/waitId");
        for (open, answer) in run["waitingFor"].as_array().unwrap().iter().zip(["here", "now"]) {
            owner.post(&input, json!({ "answer": answer, "waitId": open["id"] })).await.expect(200);
        }
        until(owner, &path, "COMPLETED").await;
        assert_eq!((server.faults(), server.effects().len()), (Vec::<String>::new(), 1));
        let asked = server.asked();
        let told: Vec<_> = [2, 3, 4].map(|index| asked[1].messages[index]["content"].as_str().unwrap().to_owned()).into();
        assert!(told[0].contains("here") && told[2].contains("now"), "{told:?}");
        let steps = owner.get(&format!("{path}/steps")).await.expect(200);
        assert_eq!(steps["data"].as_array().unwrap().len(), 5, "two turns and three calls: {steps}");
    }

    async fn one_of_many_answers_at_once_counts(app: App) {
        let owner = &app.acme.owner;
        let path = waiting(&app, "builtin/ask_user", json!({ "question": "Which?" })).await;
        let input = format!("{path}/input");
        let answers = (0..12).map(|number| owner.post(&input, json!({ "answer": number })));
        let answers = futures_util::future::join_all(answers).await;
        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.status == 200 || answer.body["code"] == "already_answered"));
        assert_eq!(until(owner, &path, "COMPLETED").await["output"], won[0].body["answer"]);
    }

    async fn an_answer_against_a_cancel_leaves_one_of_the_two(app: App) {
        let owner = &app.acme.owner;
        for _ in 0..6 {
            let path = waiting(&app, "builtin/ask_user", json!({ "question": "Which?" })).await;
            let (input, stop) = (format!("{path}/input"), format!("{path}/cancel"));
            let (answer, cancel) =
                tokio::join!(owner.post(&input, json!({ "answer": 1 })), owner.post(&stop, json!({})));
            let run = ended(owner, &path).await;
            let cancelled = matches!(cancel.status, 200 | 202);
            assert!(cancelled || cancel.problem(409) == "invalid_transition");
            match answer.status {
                200 => assert!(run["status"] == "COMPLETED" || cancelled, "{run}"),
                _ => assert_eq!((answer.problem(409).as_str(), &run["status"]), ("already_answered", &json!("CANCELLED"))),
            }
            let open = owner.get("/v1/run-waits?status=OPEN").await.expect(200);
            assert_eq!(open["data"], json!([]), "nothing is open of a run that has ended");
        }
    }

    async fn a_cancelled_run_asks_again_when_it_is_retried(app: App) {
        let owner = &app.acme.owner;
        let path = waiting(&app, "builtin/ask_user", json!({ "question": "Again?" })).await;
        owner.post(&format!("{path}/cancel"), json!({})).await.expect(200);
        let late = owner.post(&format!("{path}/input"), json!({ "answer": 1 })).await;
        assert_eq!(late.problem(409), "already_answered");
        owner.post(&format!("{path}/retry"), json!({})).await.expect(200);
        until(owner, &path, "WAITING").await;
        owner.post(&format!("{path}/input"), json!({ "answer": 2 })).await.expect(200);
        assert_eq!(until(owner, &path, "COMPLETED").await["output"], json!({ "answer": 2 }));
        let idle = app.acme.run(json!({ "agentId": app.acme.agent("echo", json!({})).await, "input": "x" })).await;
        let idle = format!("/v1/task-runs/{}/input", idle["id"].as_str().unwrap());
        assert_eq!(owner.post(&idle, json!({ "answer": 1 })).await.problem(409), "not_waiting");
    }

    async fn what_cannot_be_waited_for_is_a_failed_call(app: App) {
        let tool = app.acme.builtin("until", "builtin/sleep_until").await;
        let until = app.acme.definition("until", json!({ "toolId": tool })).await;
        let far = json!({ "until": "2099-01-01T00:00:00Z" });
        let run = app.acme.run(json!({ "definitionId": until, "input": far })).await;
        assert_eq!((&run["status"], &run["error"]["code"]), (&json!("FAILED"), &json!("invalid_arguments")), "{run}");
        let past = json!({ "until": "2001-01-01T00:00:00Z" });
        let run = app.acme.run(json!({ "definitionId": until, "input": past })).await;
        assert_eq!(run["status"], "COMPLETED", "what is over is not waited for: {run}");
        let tool = app.acme.builtin("ask", "builtin/ask_user").await;
        let ask = app.acme.definition("ask", json!({ "toolId": tool })).await;
        let input = json!({ "question": "?", "schema": { "type": "nonsense" } });
        let run = app.acme.run(json!({ "definitionId": ask, "input": input })).await;
        assert_eq!((&run["status"], &run["error"]["code"]), (&json!("FAILED"), &json!("invalid_arguments")), "{run}");
    }

    async fn a_front_end_answers_with_a_token_of_the_run(app: App) {
        let path = waiting(&app, "builtin/ask_user", json!({ "question": "Who?" })).await;
        let run = path.rsplit('/').next().unwrap();
        let reader = json!({ "runId": run, "scopes": ["task-runs:read"] });
        let reader = app.acme.owner.post("/v1/tokens", reader).await.expect(200);
        let reader = app.anyone().with_token(reader["token"].as_str().unwrap());
        assert_eq!(reader.get(&path).await.expect(200)["waitingFor"].as_array().unwrap().len(), 1);
        assert_eq!(reader.post(&format!("{path}/input"), json!({ "answer": 1 })).await.problem(403), "permission_missing");
        let body = json!({ "runId": run, "scopes": ["task-runs:read", "task-runs:answer"] });
        let token = app.acme.owner.post("/v1/tokens", body).await.expect(200);
        let token = app.anyone().with_token(token["token"].as_str().unwrap());
        let other = waiting(&app, "builtin/ask_user", json!({ "question": "Who?" })).await;
        assert_eq!(token.post(&format!("{other}/input"), json!({ "answer": 1 })).await.problem(404), "not_found");
        token.post(&format!("{path}/input"), json!({ "answer": "me" })).await.expect(200);
        until(&app.acme.owner, &path, "COMPLETED").await;
    }
}

on_both! {
    manual;
    async fn a_timer_rests_without_a_slot_until_its_time(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let path = waiting(&app, "builtin/wait", json!({ "seconds": 3600 })).await;
        let run = owner.get(&path).await.expect(200);
        assert_eq!((&run["reason"], &run["waitingFor"][0]["kind"]), (&json!("TIMER"), &json!("TIMER")));
        assert_eq!(app.core.engine.executing(), 0, "a run that waits holds no slot");
        let other = app.acme.agent("echo", json!({})).await;
        app.core.clock.advance(Duration::from_millis(3_599_999));
        let other = owner.post("/v1/task-runs?wait=30", json!({ "agentId": other, "input": "x" })).await.expect(201);
        assert_eq!(other["status"], "COMPLETED");
        assert_eq!(owner.get(&path).await.expect(200)["status"], "WAITING");
        app.core.clock.advance(Duration::from_millis(1));
        let run = until(&owner, &path, "COMPLETED").await;
        assert_eq!((&run["waitingMs"], &run["attempt"]), (&json!(3_600_000), &json!(2)), "{run}");
        assert!(run["output"]["until"].is_string(), "{run}");
    }

    async fn what_nobody_answers_expires_as_it_says(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let ask = |on_expire: &str| json!({ "question": "?", "expiresInSeconds": 60, "onExpire": on_expire });
        let goes_on = waiting(&app, "builtin/ask_user", ask("CONTINUE")).await;
        let fails = waiting(&app, "builtin/ask_user", ask("FAIL")).await;
        let event = json!({ "key": "order-1", "expiresInSeconds": 60 });
        let event = waiting(&app, "builtin/wait_for_event", event).await;
        app.core.clock.advance(Duration::from_secs(60));
        let late = owner.post(&format!("{fails}/input"), json!({ "answer": 1 })).await;
        assert_eq!(late.problem(409), "already_answered");
        for (path, reason) in [(&goes_on, "NON_RETRYABLE"), (&fails, "TIMED_OUT"), (&event, "NON_RETRYABLE")] {
            let run = until(&owner, path, "FAILED").await;
            assert_eq!((&run["reason"], &run["error"]["code"]), (&json!(reason), &json!("wait_expired")), "{run}");
        }
        owner.post(&format!("{fails}/retry"), json!({})).await.expect(200);
        until(&owner, &fails, "WAITING").await;
        owner.post(&format!("{fails}/input"), json!({ "answer": "late" })).await.expect(200);
        assert_eq!(until(&owner, &fails, "COMPLETED").await["output"], json!({ "answer": "late" }));
    }

    async fn an_answer_against_the_expiry_is_counted_or_refused(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let ask = json!({ "question": "?", "expiresInSeconds": 60 });
        for _ in 0..6 {
            let path = waiting(&app, "builtin/ask_user", ask.clone()).await;
            app.core.clock.advance(Duration::from_millis(59_999));
            let input = format!("{path}/input");
            let late = async { app.core.clock.advance(Duration::from_millis(1)) };
            let (answer, ()) = tokio::join!(owner.post(&input, json!({ "answer": 1 })), late);
            let run = ended(&owner, &path).await;
            match answer.status {
                200 => assert_eq!(run["output"], json!({ "answer": 1 }), "{run}"),
                _ => assert_eq!((answer.problem(409).as_str(), &run["error"]["code"]), ("already_answered", &json!("wait_expired"))),
            }
        }
    }
}
