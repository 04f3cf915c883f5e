use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::runtime::models::ToolSpec;

fn request(model: &str, input: Value) -> ModelRequest {
    ModelRequest {
        model: model.to_owned(),
        messages: vec![
            Message::System { content: "Be brief.".to_owned() },
            Message::User { content: "What is the weather in Oslo?".to_owned() },
        ],
        tools: Vec::new(),
        temperature: None,
        max_tokens: 1_000,
        output_schema: None,
        turn: 0,
        input,
        attempt: 0,
        idempotency_key: "run:0".to_owned(),
        timeout: Duration::from_secs(60),
    }
}

fn tool(name: &str, parameters: Value) -> ToolSpec {
    ToolSpec { name: name.to_owned(), description: String::new(), parameters, safe: true }
}

async fn complete(request: &ModelRequest) -> (Result<ModelReply, ModelError>, Vec<String>) {
    let heard = Mutex::new(Vec::new());
    let reply = Mock.complete(request, &|text: &str| heard.lock().unwrap().push(text.to_owned())).await;
    (reply, heard.into_inner().unwrap())
}

#[tokio::test]
async fn echo_streams_the_last_user_message_and_counts_tokens() {
    let request = request("mock/echo", Value::Null);
    let (reply, deltas) = complete(&request).await;
    let reply = reply.unwrap();
    assert_eq!(reply.content.as_deref(), Some("What is the weather in Oslo?"));
    assert_eq!(deltas.concat(), "What is the weather in Oslo?");
    assert!(deltas.len() > 1);
    assert_eq!(reply.usage, Usage { input: 18, output: 7, ..Usage::default() });
    assert_eq!(reply.stop_reason, StopReason::EndTurn);
    assert_eq!(complete(&request).await.0.unwrap(), reply);
}

#[tokio::test]
async fn echo_obeys_max_tokens() {
    let mut request = request("mock/echo", Value::Null);
    request.max_tokens = 1;
    let reply = complete(&request).await.0.unwrap();
    assert_eq!(reply.content.as_deref(), Some("What"));
    assert_eq!((reply.stop_reason, reply.usage.output), (StopReason::MaxTokens, 1));
}

#[tokio::test]
async fn an_output_schema_gets_json() {
    let mut request = request("mock/echo", Value::Null);
    request.output_schema =
        Some(json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}));
    assert_eq!(complete(&request).await.0.unwrap().content.as_deref(), Some(r#"{"n":1}"#));
    request.messages.push(Message::User { content: r#"{"n": "verbatim"}"#.to_owned() });
    assert_eq!(complete(&request).await.0.unwrap().content.as_deref(), Some(r#"{"n": "verbatim"}"#));
}

#[tokio::test]
async fn tools_are_called_in_order_and_summarised() {
    let city = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let mut request = request("mock/tools", json!({"city": "Oslo"}));
    request.tools = vec![tool("weather", city), tool("now", json!({"type": "object"}))];
    for (turn, expected) in [("weather", r#"{"city":"Oslo"}"#), ("now", "{}")].into_iter().enumerate() {
        request.turn = u32::try_from(turn).unwrap();
        let reply = complete(&request).await.0.unwrap();
        let [call] = reply.tool_calls.as_slice() else { panic!("one call a turn") };
        assert_eq!((call.name.as_str(), call.arguments.as_str()), expected);
        assert_eq!(call.id, format!("call_{turn}_0"));
        assert_eq!(reply.stop_reason, StopReason::ToolCalls);
        request.messages.push(Message::Tool {
            call_id: call.id.clone(),
            name: call.name.clone(),
            content: format!("result {turn}"),
        });
        request.messages.push(Message::Assistant { content: None, tool_calls: reply.tool_calls });
    }
    request.turn = 2;
    let reply = complete(&request).await.0.unwrap();
    assert_eq!(reply.content.as_deref(), Some("I called 2 tools:\n- weather: result 0\n- now: result 1"));
    assert_eq!(reply.stop_reason, StopReason::EndTurn);
}

#[tokio::test]
async fn a_script_is_played_turn_by_turn() {
    let mut request = request(
        "mock/script",
        json!({"script": [
            {"toolCalls": [{"name": "a", "arguments": {"x": 1}}, {"name": "b", "arguments": "{broken"}]},
            {"deltas": ["one ", "two"], "usage": {"input": 5, "cacheRead": 4, "output": 3, "reasoning": 2}, "delayMs": 1},
            {"text": "late", "error": {"kind": "RATE_LIMITED", "retryAfterMs": 1500, "times": 1}},
            {"delayMs": 2},
            {"txt": "typo"},
        ]}),
    );
    let reply = complete(&request).await.0.unwrap();
    let arguments: Vec<&str> = reply.tool_calls.iter().map(|call| call.arguments.as_str()).collect();
    assert_eq!(arguments, [r#"{"x":1}"#, "{broken"]);

    request.turn = 1;
    let (reply, deltas) = complete(&request).await;
    let reply = reply.unwrap();
    assert_eq!((reply.content.as_deref(), deltas.len()), (Some("one two"), 2));
    assert_eq!(reply.usage.total(), 14);

    request.turn = 2;
    let error = complete(&request).await.0.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::RateLimited);
    assert_eq!(error.retry_after, Some(Duration::from_millis(1500)));
    request.attempt = 1;
    assert_eq!(complete(&request).await.0.unwrap().content.as_deref(), Some("late"));

    request.turn = 3;
    request.timeout = Duration::from_millis(1);
    assert_eq!(complete(&request).await.0.unwrap_err().kind, ModelErrorKind::Timeout);
    request.turn = 4;
    let error = complete(&request).await.0.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::InvalidRequest);
    assert!(error.message.starts_with("input.script/4: unknown field `txt`"), "{error}");
    request.turn = 5;
    assert_eq!(complete(&request).await.0.unwrap().content.as_deref(), Some("(end of script)"));
}

#[tokio::test]
async fn flaky_fails_as_often_as_told() {
    let mut request = request("mock/flaky", json!({"flaky": {"failures": 2, "kind": "UNAUTHORIZED"}}));
    for attempt in 0..2 {
        request.attempt = attempt;
        let error = complete(&request).await.0.unwrap_err();
        assert_eq!((error.kind, error.is_retryable()), (ModelErrorKind::Unauthorized, false));
    }
    request.attempt = 2;
    assert!(complete(&request).await.0.is_ok());
    request.input = Value::Null;
    request.attempt = 0;
    assert_eq!(complete(&request).await.0.unwrap_err().kind, ModelErrorKind::Overloaded);
}

#[tokio::test]
async fn an_unknown_mock_model_is_refused() {
    let error = complete(&request("mock/gpt", Value::Null)).await.0.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::InvalidRequest);
    assert!(error.message.contains("mock/echo"));
}
