//! Answers as Anthropic sends them, split at every byte, and what gateways make of them.

use serde_json::{Value, json};

use super::{decode, decode_chunks, events};
use crate::runtime::models::{ModelErrorKind, ModelReply, StopReason, Usage};

const TEXT: &str = include_str!("recorded_text.sse");
const TOOLS: &str = include_str!("recorded_tools.sse");

fn calls(reply: &ModelReply) -> Vec<(&str, &str, &str)> {
    reply
        .tool_calls
        .iter()
        .map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.as_str()))
        .collect()
}

fn start(usage: &Value) -> Value {
    json!({"type": "message_start", "message": {"id": "m", "model": "x", "usage": usage}})
}

fn say(text: &str) -> Value {
    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
}

fn stop(reason: &str) -> Value {
    json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 3}})
}

#[test]
fn text_with_usage_in_disjoint_kinds() {
    let reply = decode(TEXT).unwrap();
    assert_eq!(reply.content.as_deref(), Some("Grüße, 🦀!"));
    assert_eq!(reply.model, "claude-sonnet-4-5-20250929");
    assert_eq!(reply.request_id.as_deref(), Some("msg_1"));
    assert_eq!(reply.stop_reason, StopReason::EndTurn);
    let usage = Usage { input: 6, cache_read: 1_024, cache_write: 1_000, output: 74, ..Usage::default() };
    assert_eq!(reply.usage, usage);
}

#[test]
fn two_tool_calls_behind_a_word() {
    let reply = decode(TOOLS).unwrap();
    assert_eq!(calls(&reply), [("toolu_a", "weather", r#"{"city":"Oslo"}"#), ("toolu_b", "now", "{}")]);
    assert_eq!((reply.content.as_deref(), reply.stop_reason), (Some("Let me look."), StopReason::ToolCalls));
    assert_eq!((reply.usage.input, reply.usage.output), (472, 89));
}

#[test]
fn every_split_gives_the_same_reply() {
    for recorded in [TEXT, TOOLS] {
        for recorded in [recorded.to_owned(), recorded.replace('\n', "\r\n")] {
            let whole = decode(&recorded).unwrap();
            let bytes = recorded.as_bytes();
            for at in 0..=bytes.len() {
                assert_eq!(decode_chunks(&[&bytes[..at], &bytes[at..]]).unwrap(), whole, "split at {at}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(decode_chunks(&single).unwrap(), whole);
        }
    }
}

#[test]
fn a_stream_cut_off_anywhere_is_an_error_or_the_whole_answer() {
    for recorded in [TEXT, TOOLS] {
        let whole = decode(recorded).unwrap();
        for at in 0..recorded.len() {
            match decode_chunks(&[&recorded.as_bytes()[..at]]) {
                Ok(reply) => assert_eq!(reply, whole, "cut at {at}"),
                Err(error) => assert_eq!(error.kind, ModelErrorKind::Network, "cut at {at}"),
            }
        }
    }
}

#[test]
fn stop_reasons() {
    for (reason, expected) in [
        ("end_turn", StopReason::EndTurn),
        ("stop_sequence", StopReason::EndTurn),
        ("max_tokens", StopReason::MaxTokens),
        ("model_context_window_exceeded", StopReason::MaxTokens),
        ("refusal", StopReason::ContentFilter),
        ("pause_turn", StopReason::Other),
    ] {
        let body = events(&[start(&json!({"input_tokens": 5})), say("x"), stop(reason)]);
        assert_eq!(decode(&body).unwrap().stop_reason, expected, "{reason}");
    }
}

#[test]
fn what_is_not_known_is_passed_over() {
    let body = events(&[
        start(&json!({"input_tokens": 5, "output_tokens": 1, "something": {}})),
        json!({"type": "news"}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "redacted_thinking", "data": "x"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {}}}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "server_tool_use", "id": "s", "name": "search"}}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": "a"}}),
        say("b"),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": null}),
        json!({"type": "message_stop"}),
    ]);
    let reply = decode(&body).unwrap();
    assert_eq!((reply.content.as_deref(), reply.tool_calls.len()), (Some("ab"), 0));
    assert_eq!((reply.usage.input, reply.usage.output, reply.usage.estimated), (5, 1, false));
}

#[test]
fn missing_usage_is_estimated() {
    let reply = decode(&events(&[say("four char"), json!({"type": "message_stop"})])).unwrap();
    assert!(reply.usage.estimated && reply.usage.input > 0 && reply.usage.output > 0);
}

#[test]
fn a_whole_message_in_one_piece() {
    let body = json!({"type": "message", "id": "m", "model": "x", "stop_reason": "tool_use", "content": [
        {"type": "text", "text": "So."}, {"type": "tool_use", "id": "a", "name": "f", "input": {"n": 1}}],
        "usage": {"input_tokens": 4, "output_tokens": 2}});
    let reply = decode(&body.to_string()).unwrap();
    assert_eq!(calls(&reply), [("a", "f", r#"{"n":1}"#)]);
    assert_eq!((reply.content.as_deref(), reply.usage.total()), (Some("So."), 6));
    assert_eq!(decode(r#"{"hello": 1}"#).unwrap_err().kind, ModelErrorKind::Protocol);
}

#[test]
fn an_error_within_the_stream() {
    let broken = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let error = decode(&events(&[start(&json!({})), say("ha"), broken])).unwrap_err();
    assert_eq!((error.kind, error.is_retryable()), (ModelErrorKind::Overloaded, true));
}

#[test]
fn answers_are_bounded() {
    let long = say(&"x".repeat(3 << 20));
    let error = decode(&events(&[long.clone(), long.clone(), long])).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Protocol);
    let call = json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "", "name": "f"}});
    assert_eq!(decode(&events(&vec![call; 200])).unwrap_err().kind, ModelErrorKind::Protocol);
    let lost = json!({"type": "content_block_delta", "index": 7, "delta": {"type": "input_json_delta", "partial_json": "{"}});
    assert_eq!(decode(&events(&[lost])).unwrap_err().kind, ModelErrorKind::Protocol);
}
