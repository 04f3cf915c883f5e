//! Errors: what each refusal means, how long to wait, and what is not said.

use std::time::Duration;

use chrono::{DateTime, TimeZone as _, Utc};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{decode, events};
use crate::runtime::models::ModelErrorKind::{
    ContentFiltered, ContextOverflow, InvalidRequest, Overloaded, Protocol, QuotaExceeded, RateLimited,
    Timeout, Unauthorized,
};
use crate::runtime::models::{ModelError, ModelErrorKind, refusals};

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap()
}

fn refusal(status: u16, body: &Value) -> ModelError {
    refusals::of_status(status, &[], body.to_string().as_bytes(), now())
}

#[test]
fn statuses_and_codes() {
    let error = |code: &str, message: &str| json!({"error": {"code": code, "message": message}});
    // Anthropic's shape.
    let said =
        |class: &str, message: &str| json!({"type": "error", "error": {"type": class, "message": message}});
    for (status, body, kind) in [
        (400, error("", "bad"), InvalidRequest),
        (400, error("context_length_exceeded", ""), ContextOverflow),
        (
            400,
            json!({"object": "error", "message": "This model's maximum context length is 4096 tokens"}),
            ContextOverflow,
        ),
        (400, json!({"error": {"code": 400, "type": "exceed_context_size_error"}}), ContextOverflow),
        (400, error("content_filter", ""), ContentFiltered),
        (401, error("invalid_api_key", ""), Unauthorized),
        (402, json!(null), QuotaExceeded),
        (403, json!("nope"), Unauthorized),
        (404, error("model_not_found", "no such model"), InvalidRequest),
        (408, json!(null), Timeout),
        (413, json!(null), ContextOverflow),
        (422, json!({"detail": "bad"}), InvalidRequest),
        (429, error("rate_limit_exceeded", ""), RateLimited),
        (429, error("insufficient_quota", ""), QuotaExceeded),
        (429, json!({"error": {"type": "insufficient_quota", "code": null}}), QuotaExceeded),
        (500, json!(null), Overloaded),
        (503, json!([{"error": {"code": 503}}]), Overloaded),
        (529, json!(null), Overloaded),
        (302, json!(null), Protocol),
        (400, said("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"), ContextOverflow),
        (400, said("invalid_request_error", "Your credit balance is too low to use it."), QuotaExceeded),
        (400, said("invalid_request_error", "max_tokens: too large"), InvalidRequest),
        (402, said("billing_error", ""), QuotaExceeded),
        (403, said("permission_error", ""), Unauthorized),
        (413, said("request_too_large", ""), ContextOverflow),
        (429, said("rate_limit_error", ""), RateLimited),
        (529, said("overloaded_error", ""), Overloaded),
    ] {
        assert_eq!(refusal(status, &body).kind, kind, "{status} {body}");
    }
    assert!(!refusal(429, &error("insufficient_quota", "")).is_retryable());
    assert!(refusal(404, &error("", "")).message.starts_with("Model not found"));
}

#[test]
fn retry_after_in_every_form_and_bounded() {
    let wait = |headers: &[(&str, &str)]| {
        let headers: Vec<_> = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        refusals::of_status(429, &headers, b"", now()).retry_after
    };
    let seconds = |n| Some(Duration::from_secs(n));
    assert_eq!(wait(&[]), None);
    assert_eq!(wait(&[("Retry-After", "7")]), seconds(7));
    assert_eq!(wait(&[("retry-after", "1.5")]), Some(Duration::from_millis(1500)));
    assert_eq!(wait(&[("retry-after", "9"), ("retry-after-ms", "20")]), Some(Duration::from_millis(20)));
    assert_eq!(wait(&[("retry-after", "Fri, 02 Jan 2026 03:05:05 GMT")]), seconds(60));
    assert_eq!(wait(&[("retry-after", "Fri, 02 Jan 2026 03:00:00 GMT")]), None);
    for absurd in ["99999999999", "1e300", "Fri, 02 Jan 2099 03:00:00 GMT"] {
        let wait = wait(&[("retry-after", absurd)]);
        assert!(wait.is_none_or(|wait| wait == Duration::from_secs(600)), "{absurd}: {wait:?}");
    }
    for nonsense in ["-1", "NaN", "soon", ""] {
        assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
    }
}

#[test]
fn the_text_is_capped_and_clean_and_without_the_credential() {
    let key = SecretString::from("sk-canary-123456");
    let text = format!("{}sk-canary-123456\n\u{1b}[31m{}", "a".repeat(400), "b".repeat(5_000));
    for error in [
        refusal(400, &json!({"error": {"message": text}})),
        refusal(403, &json!({"error": text})),
        refusals::of_payload(&json!({"error": {"message": text}})).unwrap(),
    ] {
        let error = refusals::sanitize(error, Some(&key));
        assert_eq!(error.message.chars().count(), 500);
        assert!(!error.message.contains("canary") && !error.message.contains(['\n', '\u{1b}']));
    }
    let quoted = refusal(401, &json!({"error": {"message": "Incorrect API key: sk-c****3456"}}));
    assert!(!quoted.message.contains("3456"), "{quoted}");
}

#[test]
fn an_error_in_the_middle_of_the_stream() {
    let start = json!({"choices": [{"delta": {"content": "The"}}]});
    let broken =
        |error: Value| -> ModelErrorKind { decode(&events(&[start.clone(), error])).unwrap_err().kind };
    assert_eq!(broken(json!({"error": {"message": "boom", "type": "server_error"}})), Overloaded);
    assert_eq!(broken(json!({"error": {"message": "slow down", "code": 429}})), RateLimited);
    assert_eq!(broken(json!({"error": "gone"})), Overloaded);
    assert_eq!(broken(json!({"object": "error", "message": "bad", "code": 400})), InvalidRequest);
    let named = format!("{}event: error\ndata: out of memory\n\n", events(std::slice::from_ref(&start)));
    assert_eq!(decode(&named).unwrap_err().kind, Overloaded);
}

#[test]
fn an_error_as_the_whole_answer() {
    assert_eq!(
        decode(r#"{"error": {"code": "context_length_exceeded"}}"#).unwrap_err().kind,
        ContextOverflow
    );
}
