//! Proof: what goes over the wire to a model is OpenAI's protocol, and what compatible servers send
//! instead is read.

use serde_json::{Value, json};

use crate::support::App;
use crate::support::model_server::{ANSWER, ModelServer, PROMPT, Raw, Reply, chunk, frames};

/// Turns whose bytes are split at every place: each in pieces of another size.
const SPLITS: usize = 20;
const TEXT: &str = "Grüße, 🦀!";

/// Arguments that are awkward to split.
fn awkward(turn: usize) -> Value {
    json!({ "n": turn, "text": format!("\"{TEXT}\" \\ \n\u{7f}{}", "x".repeat(turn)) })
}

/// One call, whose arguments come a character at a time.
fn slowly(turn: usize) -> Vec<String> {
    let open =
        json!({"index": 0, "id": format!("call_{turn}"), "type": "function", "function": {"name": "ec"}});
    let mut frames = vec![
        chunk(json!({ "content": TEXT }), Value::Null),
        chunk(json!({ "tool_calls": [open] }), Value::Null),
        chunk(
            json!({ "tool_calls": [{"index": 0, "function": {"name": "ho", "arguments": ""}}] }),
            Value::Null,
        ),
    ];
    for character in awkward(turn).to_string().chars() {
        let piece = json!({"index": 0, "function": {"arguments": character.to_string()}});
        frames.push(chunk(json!({ "tool_calls": [piece] }), Value::Null));
    }
    frames.push(chunk(json!({}), json!("tool_calls")));
    let usage =
        json!({"prompt_tokens": PROMPT, "completion_tokens": ANSWER, "total_tokens": PROMPT + ANSWER});
    frames.push(json!({ "choices": [], "usage": usage }).to_string());
    frames.push("[DONE]".to_owned());
    frames
}

/// Bytes as a server sends them, what it calls the tool with, and the tokens that it reports.
struct Deviation {
    name: &'static str,
    bytes: String,
    calls: Vec<Value>,
    tokens: Option<(i64, i64)>,
}

fn events(chunks: &[Value]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect()
}

fn delta(delta: Value) -> Value {
    json!({ "choices": [{ "delta": delta }] })
}

fn usage() -> Value {
    json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 })
}

fn deviations() -> Vec<Deviation> {
    let text = |name, chunks: &[Value], tokens| Deviation {
        name,
        bytes: events(chunks) + "data: [DONE]\n\n",
        calls: Vec::new(),
        tokens,
    };
    let calls = |name, parts: &[Value], calls: Vec<Value>| {
        let mut chunks: Vec<Value> = parts.iter().map(|part| delta(json!({ "tool_calls": part }))).collect();
        chunks.push(json!({ "choices": [{ "delta": {}, "finish_reason": "tool_calls" }] }));
        Deviation { name, bytes: events(&chunks) + "data: [DONE]\n\n", calls, tokens: None }
    };
    let done = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    let (one, two) = (json!({ "n": 1 }), json!({ "n": 2 }));
    let (said, rest) = (delta(json!({ "content": "Gr" })), delta(json!({ "content": "üße, 🦀!" })));
    let whole = |message: Value| json!({ "object": "chat.completion", "choices": [{ "message": message }], "usage": usage() });
    vec![
        text(
            "choices null, empty or missing",
            &[json!({ "choices": null }), json!({ "choices": [] }), json!({}), said.clone(), rest.clone(), done.clone(),
                json!({ "choices": null, "usage": usage() })],
            Some((7, 3)),
        ),
        text("no usage", &[said.clone(), rest.clone(), done.clone()], None),
        text(
            "reasoning beside the answer",
            &[delta(json!({ "reasoning_content": "Hm." })), delta(json!({ "content": null, "reasoning": "So." })),
                said.clone(), rest.clone(), done.clone()],
            None,
        ),
        text(
            "nulls where nothing is",
            &[delta(Value::Null), delta(json!({ "role": "assistant", "content": null, "tool_calls": null, "refusal": null })),
                said.clone(), rest.clone(), json!({ "choices": [{ "delta": null, "finish_reason": "stop" }], "usage": null })],
            None,
        ),
        text(
            "usage in every chunk",
            &[json!({ "choices": [{ "delta": { "content": TEXT } }], "usage": { "prompt_tokens": 7, "completion_tokens": 1 } }),
                json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }], "usage": usage() })],
            Some((7, 3)),
        ),
        text("content in parts", &[delta(json!({ "content": [{ "type": "text", "text": TEXT }] })), done.clone()], None),
        Deviation {
            name: "no end but a finish reason",
            bytes: events(&[said.clone(), rest.clone(), done.clone()]),
            calls: Vec::new(),
            tokens: None,
        },
        Deviation {
            name: "no finish reason but an end",
            bytes: events(&[said.clone(), rest.clone()]) + "data: [DONE]",
            calls: Vec::new(),
            tokens: None,
        },
        Deviation {
            name: "comments, names, CRLF and no space",
            bytes: format!("\u{feff}: hello\r\n\r\nevent: message\r\nid: 1\r\ndata:{said}\r\n\r\n: wait\r\n\r\ndata:{rest}\r\n\r\ndata:{done}\r\n\r\ndata:[DONE]\r\n\r\n"),
            calls: Vec::new(),
            tokens: None,
        },
        Deviation {
            name: "an answer in one piece",
            bytes: whole(json!({ "role": "assistant", "content": TEXT })).to_string(),
            calls: Vec::new(),
            tokens: Some((7, 3)),
        },
        Deviation {
            name: "calls in one piece",
            bytes: whole(json!({ "content": null, "tool_calls": [{ "id": "a", "function": { "name": "echo", "arguments": "{\"n\":1}" } }] }))
                .to_string(),
            calls: vec![one.clone()],
            tokens: None,
        },
        calls(
            "calls without an index",
            &[json!([{ "id": "a", "function": { "name": "echo", "arguments": "{\"n\"" } }]),
                json!([{ "function": { "arguments": ":1}" } }]),
                json!([{ "id": "b", "function": { "name": "echo", "arguments": "{\"n\":2}" } }])],
            vec![one.clone(), two.clone()],
        ),
        calls(
            "every call numbered zero",
            &[json!([{ "index": 0, "id": "a", "function": { "name": "echo", "arguments": "{\"n\":1}" } }]),
                json!([{ "index": 0, "id": "b", "function": { "name": "echo", "arguments": "{\"n\":2}" } }])],
            vec![one.clone(), two.clone()],
        ),
        calls(
            "interleaved calls",
            &[json!([{ "index": 0, "id": "a", "function": { "name": "echo", "arguments": "" } }, { "index": 1, "id": "b", "function": { "name": "echo" } }]),
                json!([{ "index": 1, "function": { "arguments": "{\"n\"" } }, { "index": 0, "function": { "arguments": "{\"n\":" } }]),
                json!([{ "index": 0, "function": { "arguments": "1}" } }, { "index": 1, "function": { "arguments": ":2}" } }])],
            vec![one.clone(), two],
        ),
        calls("calls without an id", &[json!([{ "index": 0, "function": { "name": "echo", "arguments": "{\"n\":1}" } }])], vec![one.clone()]),
        calls("arguments as an object", &[json!([{ "index": 0, "id": "a", "function": { "name": "echo", "arguments": { "n": 1 } } }])], vec![one.clone()]),
        calls("no arguments", &[json!([{ "index": 0, "id": "a", "function": { "name": "echo", "arguments": null } }])], vec![json!({})]),
        Deviation {
            name: "the old form, and a stop in spite of a call",
            bytes: events(&[delta(json!({ "function_call": { "name": "echo", "arguments": "{\"n\":1}" } })), done]) + "data: [DONE]\n\n",
            calls: vec![one],
            tokens: None,
        },
    ]
}

async fn tool_steps(app: &App, run: &Value) -> Vec<Value> {
    let path = format!("/v1/task-runs/{}/steps?limit=100", run["id"].as_str().unwrap());
    let steps = app.acme.owner.get(&path).await.expect(200)["data"].as_array().unwrap().clone();
    steps.into_iter().filter(|step| step["kind"] == "TOOL").collect()
}

on_both! {
    async fn a_conversation_with_tools_is_the_protocol(app: App) {
        let server = ModelServer::start(|conversation| Reply::Frames(match conversation.turn {
            0 => frames("Let me look.", &[("call_a", "first", json!({ "q": TEXT })), ("call_b", "second", json!({}))]),
            1 => frames("", &[("call_c", "no such/tool", json!({ "x": 1 }))]),
            _ => frames("Done.", &[]),
        }));
        let more = json!({ "systemPrompt": "Be brief.", "temperature": 0.5, "maxTokens": 321 });
        let agent = app.acme.model_agent("wire", &server, more).await;
        for name in ["first", "second"] {
            let tool = app.acme.builtin(name, "builtin/echo").await;
            app.acme.bind(&agent, &tool, json!({})).await;
        }
        let run = app.acme.run(json!({ "agentId": agent, "input": "hello" })).await;
        assert_eq!((&run["status"], &run["output"]), (&json!("COMPLETED"), &json!("Done.")), "{run}");
        assert_eq!(server.faults(), Vec::<String>::new());
        let asked = server.asked();
        assert_eq!(asked.len(), 3);
        let body = &asked[2].body;
        assert_eq!((&body["model"], &body["max_tokens"], &body["temperature"]), (&json!("gpt-4o-mini"), &json!(321), &json!(0.5)));
        let names: Vec<_> = body["tools"].as_array().unwrap().iter().map(|tool| tool["function"]["name"].clone()).collect();
        assert_eq!(names, ["first", "second"]);
        let call = |id, name, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
        let messages = &asked[2].messages;
        assert_eq!(messages[..6], [
            json!({ "role": "system", "content": "Be brief." }),
            json!({ "role": "user", "content": "hello" }),
            json!({ "role": "assistant", "content": "Let me look.", "tool_calls": [
                call("call_a", "first", &json!({ "q": TEXT }).to_string()), call("call_b", "second", "{}")] }),
            json!({ "role": "tool", "tool_call_id": "call_a", "content": json!({ "q": TEXT }).to_string() }),
            json!({ "role": "tool", "tool_call_id": "call_b", "content": "{}" }),
            json!({ "role": "assistant", "content": null, "tool_calls": [call("call_c", "no_such_tool", "{\"x\":1}")] }),
        ]);
        assert!(messages[6]["content"].as_str().unwrap().contains("unknown_tool"), "{}", messages[6]);
        assert_eq!(asked[1].messages, messages[..5], "a conversation only grows");
        assert_eq!((&run["tokensUsed"]["input"], &run["tokensUsed"]["output"]), (&json!(3 * PROMPT), &json!(3 * ANSWER)));
    }

    async fn a_schema_of_the_output_is_asked_for_and_repaired_once(app: App) {
        let server = ModelServer::start(|conversation| {
            Reply::Frames(frames(if conversation.turn == 0 { "{\"n\":\"one\"}" } else { "{\"n\":1}" }, &[]))
        });
        let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
        let agent = app.acme.model_agent("wire", &server, json!({ "outputSchema": schema })).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": { "count": ["to", 1] } })).await;
        assert_eq!((&run["status"], &run["output"]), (&json!("COMPLETED"), &json!({ "n": 1 })), "{run}");
        assert_eq!(server.faults(), Vec::<String>::new());
        let asked = server.asked();
        assert_eq!(asked[0].said, "{\"count\":[\"to\",1]}");
        assert_eq!(asked[0].body["response_format"]["json_schema"]["schema"], schema);
        assert!(asked[1].messages[2]["content"].as_str().unwrap().contains("/n"), "{:?}", asked[1].messages);
    }

    async fn an_answer_may_be_split_anywhere(app: App) {
        let server = ModelServer::start(|conversation| match conversation.turn {
            SPLITS => Reply::Raw(Raw::frames(&frames(TEXT, &[])).split(1)),
            turn => Reply::Raw(Raw::frames(&slowly(turn)).split(turn + 1)),
        });
        let agent = app.acme.model_agent("split", &server, json!({})).await;
        let echo = app.acme.builtin("echo", "builtin/echo").await;
        app.acme.bind(&agent, &echo, json!({})).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "hello" })).await;
        assert_eq!((&run["status"], &run["output"]), (&json!("COMPLETED"), &json!(TEXT)), "{run}");
        assert_eq!(server.faults(), Vec::<String>::new());
        let made = tool_steps(&app, &run).await;
        assert_eq!(made.len(), SPLITS);
        for (turn, step) in made.iter().enumerate() {
            assert_eq!(step["response"]["output"], awkward(turn), "in pieces of {} bytes", turn + 1);
        }
    }

    async fn deviations_are_read(app: App) {
        let server = ModelServer::start(|conversation| {
            let case = deviations().into_iter().find(|case| case.name == conversation.said).unwrap();
            match conversation.turn {
                0 => Reply::Raw(Raw::stream(&case.bytes)),
                _ => Reply::Frames(frames(TEXT, &[])),
            }
        });
        let agent = app.acme.model_agent("odd", &server, json!({})).await;
        let echo = app.acme.builtin("echo", "builtin/echo").await;
        app.acme.bind(&agent, &echo, json!({})).await;
        for case in deviations() {
            let run = app.acme.run(json!({ "agentId": agent, "input": case.name })).await;
            assert_eq!((&run["status"], &run["output"]), (&json!("COMPLETED"), &json!(TEXT)), "{}: {run}", case.name);
            let made: Vec<_> = tool_steps(&app, &run).await.iter().map(|step| step["response"]["output"].clone()).collect();
            assert_eq!(made, case.calls, "{}", case.name);
            let tokens = |kind: &str| run["tokensUsed"][kind].as_i64().unwrap();
            match case.tokens {
                Some(reported) => assert_eq!((tokens("input"), tokens("output")), reported, "{}", case.name),
                None => assert!(tokens("input") > 0 && tokens("output") > 0, "{}: {run}", case.name),
            }
            assert_eq!(tokens("reasoning") > 0, case.name.starts_with("reasoning"), "{}", case.name);
        }
        assert_eq!(server.faults(), Vec::<String>::new());
    }
}
