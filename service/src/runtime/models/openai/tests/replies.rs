//! Answers as OpenAI sends them, split at every byte.

use serde_json::json;

use super::{decode, decode_chunks, events, names_and_arguments};
use crate::runtime::models::{ModelErrorKind, StopReason, Usage};

const TEXT: &str = include_str!("recorded_text.sse");
const TOOLS: &str = include_str!("recorded_tools.sse");

#[test]
fn text_with_usage() {
    let reply = decode(TEXT).unwrap();
    assert_eq!(reply.content.as_deref(), Some("Grüße, 🦀!"));
    assert_eq!(reply.model, "gpt-4o-mini-2024-07-18");
    assert_eq!(reply.request_id.as_deref(), Some("chatcmpl-1"));
    assert_eq!(reply.stop_reason, StopReason::EndTurn);
    let usage = Usage { input: 1_006, cache_read: 1_024, output: 10, reasoning: 64, ..Usage::default() };
    assert_eq!(reply.usage, usage);
}

#[test]
fn two_tool_calls_side_by_side() {
    let reply = decode(TOOLS).unwrap();
    let expected = [("weather", r#"{"city":"Oslo"}"#), ("now", "{}")];
    assert_eq!(names_and_arguments(&reply), expected);
    assert_eq!(reply.tool_calls[0].id, "call_a");
    assert_eq!((reply.content, reply.stop_reason), (None, StopReason::ToolCalls));
}

#[test]
fn every_split_gives_the_same_reply() {
    for recorded in [TEXT, TOOLS] {
        for recorded in [recorded.to_owned(), recorded.replace('\n', "\r\n"), recorded.replace('\n', "\r")] {
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
    let whole = decode(TEXT).unwrap();
    for at in 0..TEXT.len() {
        match decode_chunks(&[&TEXT.as_bytes()[..at]]) {
            Ok(reply) => {
                assert_eq!((reply.content, reply.stop_reason), (whole.content.clone(), whole.stop_reason))
            }
            Err(error) => assert_eq!(error.kind, ModelErrorKind::Network, "cut at {at}"),
        }
    }
}

#[test]
fn stop_reasons() {
    for (reason, expected) in [
        ("stop", StopReason::EndTurn),
        ("length", StopReason::MaxTokens),
        ("content_filter", StopReason::ContentFilter),
        ("weird", StopReason::Other),
    ] {
        let body = events(&[json!({"choices": [{"delta": {"content": "x"}, "finish_reason": reason}]})]);
        assert_eq!(decode(&body).unwrap().stop_reason, expected, "{reason}");
    }
}

#[test]
fn a_refusal_is_text_and_a_content_filter() {
    let body = events(&[
        json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": null, "refusal": "I "}}]}),
        json!({"choices": [{"index": 0, "delta": {"refusal": "can't."}, "finish_reason": "stop"}]}),
    ]);
    let reply = decode(&body).unwrap();
    assert_eq!(reply.content.as_deref(), Some("I can't."));
    assert_eq!(reply.stop_reason, StopReason::ContentFilter);
}

#[test]
fn answers_are_bounded() {
    let long = "x".repeat(3 << 20);
    let chunk = json!({"choices": [{"delta": {"content": long}}]});
    let error = decode(&events(&[chunk.clone(), chunk.clone(), chunk])).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Protocol);
    let calls: Vec<_> = (0..200).map(|index| json!({"index": index, "function": {"name": "f"}})).collect();
    let error = decode(&events(&[json!({"choices": [{"delta": {"tool_calls": calls}}]})])).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Protocol);
    let error = decode(&format!("data: {}", "x".repeat(5 << 20))).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Protocol);
}
