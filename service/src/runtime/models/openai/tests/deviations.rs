//! What compatible servers send instead, each as a test of its own.

use serde_json::{Value, json};

use super::{decode, events, names_and_arguments};
use crate::runtime::models::{ModelErrorKind, ModelReply, StopReason, Usage};

fn content(text: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {"content": text}}]})
}

fn stop(reason: Value) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn read(chunks: &[Value]) -> ModelReply {
    decode(&(events(chunks) + "data: [DONE]\n\n")).unwrap()
}

fn calls(deltas: &[Value]) -> ModelReply {
    let mut chunks: Vec<Value> =
        deltas.iter().map(|delta| json!({"choices": [{"delta": {"tool_calls": delta}}]})).collect();
    chunks.push(stop(json!("tool_calls")));
    read(&chunks)
}

#[test]
fn null_and_empty_and_missing_choices() {
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4});
    let reply = read(&[
        json!({"choices": []}),
        content("x"),
        json!({"prompt_filter_results": []}),
        stop(json!("stop")),
        json!({"choices": null, "usage": usage}),
    ]);
    assert_eq!(reply.content.as_deref(), Some("x"));
    assert_eq!(reply.usage, Usage { input: 3, output: 1, ..Usage::default() });
}

#[test]
fn missing_usage_is_estimated() {
    let reply = read(&[content("eight ch"), stop(json!("stop"))]);
    assert_eq!(reply.usage, Usage { input: 10, output: 2, estimated: true, ..Usage::default() });
}

#[test]
fn usage_of_zeros_is_no_usage() {
    let zeros = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
    let reply = read(&[content("eight ch"), json!({"choices": [], "usage": zeros})]);
    assert_eq!((reply.usage.output, reply.usage.estimated), (2, true));
}

#[test]
fn usage_kinds_stay_disjoint_and_never_negative() {
    for (usage, expected) in [
        (
            json!({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 9},
                "completion_tokens_details": {"reasoning_tokens": 7}}),
            Usage { cache_read: 5, reasoning: 2, ..Usage::default() },
        ),
        (
            json!({"prompt_tokens": 9, "completion_tokens": -2, "prompt_cache_hit_tokens": 4}),
            Usage { input: 5, cache_read: 4, ..Usage::default() },
        ),
        (
            json!({"prompt_tokens": 9, "total_tokens": 12, "prompt_tokens_details": null}),
            Usage { input: 9, output: 3, ..Usage::default() },
        ),
        (
            json!({"prompt_tokens": 9, "completion_tokens": 2, "cache_creation_input_tokens": 6}),
            Usage { input: 3, cache_write: 6, output: 2, ..Usage::default() },
        ),
        (
            json!({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 111,
                "completion_tokens_details": {"reasoning_tokens": 100}}),
            Usage { input: 9, output: 2, reasoning: 100, ..Usage::default() },
        ),
    ] {
        let reply = read(&[content("x"), json!({"choices": [], "usage": usage})]);
        assert_eq!(reply.usage, expected, "{usage}");
    }
}

#[test]
fn reasoning_text_is_counted_and_not_content() {
    for field in ["reasoning_content", "reasoning"] {
        let reply = read(&[json!({"choices": [{"delta": {field: "12345678"}}]}), content("done")]);
        assert_eq!(reply.content.as_deref(), Some("done"));
        assert_eq!((reply.usage.reasoning, reply.usage.output), (2, 1));
    }
}

#[test]
fn content_as_parts() {
    let parts = json!([{"type": "text", "text": "a"}, {"type": "thinking"}, {"type": "text", "text": "b"}]);
    let reply = read(&[json!({"choices": [{"delta": {"content": parts}}]})]);
    assert_eq!(reply.content.as_deref(), Some("ab"));
}

#[test]
fn tool_call_split_in_name_and_arguments() {
    let reply = calls(&[
        json!([{"index": 0, "id": "a", "function": {"name": "wea"}}]),
        json!([{"index": 0, "function": {"name": "ther", "arguments": "{\"a\""}}]),
        json!([{"index": 1, "id": "b", "function": {"name": "now", "arguments": "{"}}]),
        json!([{"index": 0, "function": {"arguments": ":1}"}}, {"index": 1, "function": {"arguments": "}"}}]),
    ]);
    assert_eq!(names_and_arguments(&reply), [("weather", "{\"a\":1}"), ("now", "{}")]);
}

#[test]
fn missing_index() {
    let reply = calls(&[
        json!([{"id": "a", "function": {"name": "f", "arguments": "{"}}]),
        json!([{"function": {"arguments": "}"}}]),
        json!([{"id": "b", "function": {"name": "f", "arguments": "[]"}}]),
        json!([{"id": "a", "function": {"arguments": " "}}]),
    ]);
    assert_eq!(names_and_arguments(&reply), [("f", "{} "), ("f", "[]")]);
}

#[test]
fn missing_index_and_id() {
    let reply = calls(&[
        json!([{"function": {"name": "f", "arguments": "{"}}, {"function": {"name": "g", "arguments": "{}"}}]),
        json!([{"function": {"name": "f", "arguments": "1"}}]),
    ]);
    assert_eq!(names_and_arguments(&reply), [("f", "{"), ("g", "{}"), ("f", "1")]);
    let ids: Vec<&str> = reply.tool_calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["call_2_0", "call_2_1", "call_2_2"]);
}

#[test]
fn every_call_numbered_zero() {
    let reply = calls(&[
        json!([{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]),
        json!([{"index": 0, "id": "b", "function": {"name": "g", "arguments": "{}"}}]),
    ]);
    assert_eq!(names_and_arguments(&reply), [("f", "{}"), ("g", "{}")]);
}

#[test]
fn id_and_name_repeated_in_every_fragment() {
    let reply = calls(&[
        json!([{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}]),
        json!([{"index": 0, "id": "a", "function": {"name": "f", "arguments": "}"}}]),
    ]);
    assert_eq!(names_and_arguments(&reply), [("f", "{}")]);
}

#[test]
fn two_calls_with_one_id_get_different_ids() {
    let reply = calls(&[
        json!([{"index": 0, "id": "a", "function": {"name": "f"}}]),
        json!([{"index": 1, "id": "a", "function": {"name": "f"}}]),
    ]);
    assert_eq!(reply.tool_calls[0].id, "a");
    assert_eq!(reply.tool_calls[1].id, "call_2_1");
}

#[test]
fn arguments_as_an_object_or_missing() {
    let reply = calls(&[json!([
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": [1]}}},
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": null}},
        {"index": 2, "id": "c", "function": {"name": "h"}},
    ])]);
    assert_eq!(names_and_arguments(&reply), [("f", r#"{"x":[1]}"#), ("g", "{}"), ("h", "{}")]);
}

#[test]
fn arguments_that_are_not_json_are_handed_on() {
    let reply = calls(&[json!([{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{oops"}}])]);
    assert_eq!(names_and_arguments(&reply), [("f", "{oops")]);
}

#[test]
fn a_call_without_a_name_is_an_error() {
    let chunk = json!({"choices": [{"delta": {"tool_calls": [{"id": "a"}]}, "finish_reason": "tool_calls"}]});
    assert_eq!(decode(&events(&[chunk])).unwrap_err().kind, ModelErrorKind::Protocol);
}

#[test]
fn tool_calls_that_end_with_stop() {
    let call = json!([{"index": 0, "id": "a", "function": {"name": "f"}}]);
    let reply = read(&[json!({"choices": [{"delta": {"tool_calls": call}}]}), stop(json!("stop"))]);
    assert_eq!(reply.stop_reason, StopReason::ToolCalls);
}

#[test]
fn the_older_function_call() {
    let reply = read(&[
        json!({"choices": [{"delta": {"function_call": {"name": "f", "arguments": "{\"a\""}}}]}),
        json!({"choices": [{"delta": {"function_call": {"arguments": ":1}"}}}]}),
        stop(json!("function_call")),
    ]);
    assert_eq!(names_and_arguments(&reply), [("f", "{\"a\":1}")]);
    assert_eq!(reply.stop_reason, StopReason::ToolCalls);
}

#[test]
fn done_missing() {
    let reply = decode(&events(&[content("x"), stop(json!("stop"))])).unwrap();
    assert_eq!(reply.content.as_deref(), Some("x"));
}

#[test]
fn finish_reason_null_at_the_end() {
    let reply = read(&[content("x"), stop(Value::Null)]);
    assert_eq!(reply.stop_reason, StopReason::EndTurn);
}

#[test]
fn final_usage_without_done_or_finish_reason() {
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 1});
    let reply = decode(&events(&[content("x"), json!({"choices": null, "usage": usage})])).unwrap();
    assert_eq!((reply.content.as_deref(), reply.stop_reason), (Some("x"), StopReason::EndTurn));
}

#[test]
fn neither_done_nor_finish_reason_is_a_broken_connection() {
    let error = decode(&events(&[content("x")])).unwrap_err();
    assert_eq!((error.kind, error.is_retryable()), (ModelErrorKind::Network, true));
}

#[test]
fn plain_json_to_a_streaming_request() {
    let completion = json!({"id": "c", "object": "chat.completion", "model": "m",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "Let me see.",
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}});
    let body = format!("\n {completion}\n");
    let reply = decode(&body).unwrap();
    assert_eq!(reply.content.as_deref(), Some("Let me see."));
    assert_eq!(names_and_arguments(&reply), [("f", "{}")]);
    assert_eq!(reply.usage, Usage { input: 9, output: 5, ..Usage::default() });
    assert_eq!(decode(&body[..40]).unwrap_err().kind, ModelErrorKind::Network);
    assert_eq!(decode("{\"status\": \"ok\"}").unwrap_err().kind, ModelErrorKind::Protocol);
}

#[test]
fn a_whole_message_as_the_only_event() {
    let chunk = json!({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]});
    assert_eq!(read(&[chunk]).content.as_deref(), Some("x"));
}

#[test]
fn a_web_page_instead_of_an_answer() {
    assert_eq!(decode("<!doctype html>").unwrap_err().kind, ModelErrorKind::Protocol);
}

#[test]
fn an_event_that_is_not_json() {
    assert_eq!(decode("data: hello\n\ndata: [DONE]\n\n").unwrap_err().kind, ModelErrorKind::Protocol);
}

#[test]
fn comments_and_named_events_around_the_data() {
    let body = format!(
        ": PROCESSING\n\nevent: ping\n\nretry: 3\n{}data: [DONE]\n\ngarbage",
        events(&[content("x")])
    );
    assert_eq!(decode(&body).unwrap().content.as_deref(), Some("x"));
}
