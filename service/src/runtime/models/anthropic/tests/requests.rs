//! Request bodies against the strict validator.

use serde_json::{Value, json};

use super::super::request::body;
use super::request;
use super::validator::validate;
use crate::runtime::models::{Message, ModelRequest, ToolCall, ToolSpec};

fn valid(request: &ModelRequest) -> Value {
    let body = body(request);
    validate(&body).unwrap_or_else(|problem| panic!("{problem}: {body}"));
    body
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

fn user(content: &str) -> Message {
    Message::User { content: content.to_owned() }
}

fn said(content: &str, tool_calls: Vec<ToolCall>) -> Message {
    Message::Assistant { content: Some(content.to_owned()), tool_calls }
}

fn result(call_id: &str, content: &str) -> Message {
    Message::Tool { call_id: call_id.to_owned(), name: "f".to_owned(), content: content.to_owned() }
}

fn tool(parameters: Value) -> ToolSpec {
    ToolSpec { name: "f".to_owned(), description: "Does f.".to_owned(), parameters, safe: true }
}

#[test]
fn a_plain_turn() {
    let expected = json!({
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "stream": true,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi there, how are you?"}]}],
        "temperature": 0.7,
    });
    assert_eq!(valid(&request()), expected);
}

#[test]
fn a_temperature_is_sent_to_those_who_take_one() {
    let mut request = request();
    for (model, takes) in [
        ("claude-3-5-haiku-20241022", true),
        ("claude-sonnet-4-20250514", true),
        ("claude-opus-4-1", true),
        ("claude-haiku-4-5-20251001", true),
        ("claude-opus-4-6", true),
        ("claude-opus-4-7", false),
        ("claude-opus-5", false),
        ("claude-sonnet-5-5", false),
        ("someone-elses", false),
    ] {
        request.model = model.to_owned();
        assert_eq!(valid(&request).get("temperature").is_some(), takes, "{model}");
    }
    request.model = "claude-opus-4-6".to_owned();
    request.temperature = Some(2.0);
    assert_eq!(valid(&request)["temperature"], 1.0);
}

#[test]
fn a_conversation_with_tools() {
    let mut request = request();
    request.messages.insert(0, Message::System { content: "Be brief.".to_owned() });
    request.messages.extend([
        said(
            "",
            vec![call("a", "f", r#"{"x":1}"#), call("b", "f", "{broken"), call("c.d", "ma de/up", "[]")],
        ),
        result("a", "1"),
        result("b", ""),
        result("c.d", "no"),
        said(" ", Vec::new()),
        user("Go on."),
        said("One more.", vec![call("e", "f", "")]),
        result("e", "2"),
    ]);
    request.tools = vec![tool(json!({"type": "object", "properties": {"x": {"type": "integer"}}}))];
    let body = valid(&request);
    let inputs: Vec<&Value> =
        body["messages"][1]["content"].as_array().unwrap().iter().map(|b| &b["input"]).collect();
    assert_eq!(inputs, [&json!({"x": 1}), &json!({}), &json!({})]);
    let answers = body["messages"][2]["content"].as_array().unwrap();
    assert_eq!((answers.len(), &answers[3]["text"]), (4, &json!("Go on.")));
}

#[test]
fn a_run_with_tools_marks_what_comes_again() {
    let mut request = request();
    request.tools = vec![tool(json!({})), tool(json!({}))];
    let mark = json!({"type": "ephemeral"});
    let body = valid(&request);
    assert_eq!((body["tools"][0].get("cache_control"), &body["tools"][1]["cache_control"]), (None, &mark));
    assert_eq!(body["messages"][0]["content"][0]["cache_control"], mark);
    request.messages.insert(0, Message::System { content: "Be brief.".to_owned() });
    let body = valid(&request);
    assert_eq!((body["tools"][1].get("cache_control"), &body["system"][0]["cache_control"]), (None, &mark));
}

#[test]
fn a_chat_is_brought_into_turns() {
    let mut request = request();
    let chats: [&[Message]; 5] = [
        &[],
        &[said("I begin.", Vec::new())],
        &[user("a"), user("b"), said("c", Vec::new()), said("d", Vec::new())],
        &[user(""), Message::System { content: "Later.".to_owned() }, user(" \n")],
        &[said("", Vec::new())],
    ];
    for chat in chats {
        request.messages = chat.to_vec();
        valid(&request);
    }
}

#[test]
fn dangling_calls_are_what_the_validator_catches() {
    let mut request = request();
    request.messages.push(said("", vec![call("a", "f", "{}")]));
    assert!(validate(&body(&request)).is_err());
    request.messages.extend([result("a", "1"), result("a", "1")]);
    assert!(validate(&body(&request)).is_err());
}

#[test]
fn the_output_schema_is_said_in_the_system_prompt() {
    let mut request = request();
    request.output_schema = Some(json!({"type": "object", "title": "Verdict"}));
    let system = valid(&request)["system"][0]["text"].as_str().unwrap().to_owned();
    assert!(system.contains(r#""title":"Verdict""#), "{system}");
}

#[test]
fn the_run_input_stays_here() {
    let mut request = request();
    request.input = json!({"canary": "secret"});
    assert!(!valid(&request).to_string().contains("canary"));
}
