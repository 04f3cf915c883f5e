//! Request bodies against the strict validator.

use serde_json::{Value, json};

use super::super::request::{Dialect, body};
use super::request;
use super::validator::validate;
use crate::runtime::models::{Message, ModelRequest, ToolCall, ToolSpec};

fn valid(request: &ModelRequest) -> Value {
    let bodies = [Dialect::OpenAi, Dialect::Compatible].map(|dialect| body(request, dialect));
    for body in &bodies {
        validate(body).unwrap_or_else(|problem| panic!("{problem}: {body}"));
    }
    let [first, _] = bodies;
    first
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

fn result(call_id: &str) -> Message {
    Message::Tool { call_id: call_id.to_owned(), name: "f".to_owned(), content: String::new() }
}

fn tool(parameters: Value) -> ToolSpec {
    ToolSpec { name: "f".to_owned(), description: "Does f.".to_owned(), parameters, safe: true }
}

#[test]
fn a_plain_turn() {
    let expected = json!({
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "Hi there, how are you?"}],
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_completion_tokens": 100,
        "temperature": 0.7,
    });
    assert_eq!(valid(&request()), expected);
}

#[test]
fn each_dialect_has_its_own_token_limit() {
    let compatible = body(&request(), Dialect::Compatible);
    assert_eq!((&compatible["max_tokens"], compatible.get("max_completion_tokens")), (&json!(100), None));
}

#[test]
fn reasoning_models_get_no_temperature_from_their_owner() {
    let mut request = request();
    for model in ["o3", "o4-mini", "gpt-5", "gpt-5-mini-2025-08-07"] {
        request.model = model.to_owned();
        assert_eq!(body(&request, Dialect::OpenAi).get("temperature"), None, "{model}");
        assert_eq!(body(&request, Dialect::Compatible)["temperature"], 0.7, "{model}");
    }
    request.temperature = Some(f64::NAN);
    assert_eq!(body(&request, Dialect::Compatible).get("temperature"), None);
}

#[test]
fn a_conversation_with_tools() {
    let mut request = request();
    request.messages.insert(0, Message::System { content: "Be brief.".to_owned() });
    request.messages.extend([
        Message::Assistant {
            content: None,
            tool_calls: vec![
                call("a", "f", r#"{"x":1}"#),
                call("b", "f", "{broken"),
                call("c", "ma de/up", "[]"),
            ],
        },
        result("a"),
        result("b"),
        result("c"),
        Message::Assistant { content: None, tool_calls: Vec::new() },
        Message::User { content: "Go on.".to_owned() },
        Message::Assistant { content: Some("One more.".to_owned()), tool_calls: vec![call("d", "f", "")] },
        result("d"),
    ]);
    request.tools = vec![tool(json!({"type": "object", "properties": {"x": {"type": "integer"}}}))];
    let body = valid(&request);
    let sent: Vec<&str> = body["messages"][2]["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["function"]["arguments"].as_str().unwrap())
        .collect();
    assert_eq!(sent, [r#"{"x":1}"#, "{}", "{}"]);
}

#[test]
fn dangling_calls_are_what_the_validator_catches() {
    let mut request = request();
    request.messages.push(Message::Assistant { content: None, tool_calls: vec![call("a", "f", "{}")] });
    assert!(validate(&body(&request, Dialect::OpenAi)).is_err());
    request.messages.extend([result("a"), result("a")]);
    assert!(validate(&body(&request, Dialect::OpenAi)).is_err());
}

#[test]
fn tool_schemas_become_object_schemas() {
    let mut request = request();
    request.tools =
        [json!({}), json!(true), json!({"type": "object"}), json!({"properties": {}})].map(tool).to_vec();
    valid(&request);
}

#[test]
fn an_output_schema_is_sent_when_there_are_no_tools() {
    let mut request = request();
    request.output_schema = Some(json!({"type": "object"}));
    let body = valid(&request);
    assert_eq!(body["response_format"]["json_schema"]["schema"], json!({"type": "object"}));
    request.tools = vec![tool(json!({}))];
    assert_eq!(valid(&request).get("response_format"), None);
}

#[test]
fn the_run_input_stays_here() {
    let mut request = request();
    request.input = json!({"canary": "secret"});
    assert!(!valid(&request).to_string().contains("canary"));
}
