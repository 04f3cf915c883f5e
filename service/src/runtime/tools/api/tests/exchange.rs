use serde_json::{Value, json};

use super::server::{OneAnswer, answer};
use super::{KEY, World};
use crate::runtime::tools::{ApiConfig, ToolConfig, ToolFailure, ToolOutcome, execute};

/// Calls a POST tool with all kinds of parts; gives the outcome and what was sent.
async fn call(reply: String, response: Value) -> (Result<Value, ToolFailure>, String) {
    let server = OneAnswer::start(reply).await;
    let config = json!({"method": "POST", "url": format!("{}/v1/{{{{ city }}}}", server.base), "body": {"n": "{{ n }}"},
        "secrets": [{"header": "authorization", "integrationId": KEY, "prefix": "Bearer "}, {"query": "k", "integrationId": KEY}],
        "response": response});
    let config = ToolConfig::Api(Box::new(ApiConfig::parse(&config).unwrap()));
    let arguments = json!({"city": "Neu-Ulm/Süd", "n": 3});
    let result = match execute(&config, &arguments, &World::bound_to(&server.base).cx()).await {
        ToolOutcome::Success { output } => Ok(output),
        ToolOutcome::Failure(failure) => Err(failure),
    };
    (result, server.request().await)
}

#[tokio::test]
async fn a_request_is_sent_and_its_json_comes_back() {
    let (result, sent) =
        call(answer("200 OK", "application/json; charset=utf-8", r#"{"ok":[1]}"#), json!({})).await;
    let headers = json!({"content-type": "application/json; charset=utf-8"});
    assert_eq!(result, Ok(json!({"status": 200, "headers": headers, "body": {"ok": [1]}})));
    let sent = sent.to_ascii_lowercase();
    assert!(sent.starts_with("post /v1/neu-ulm%2fs%c3%bcd?k=s3cr%26t%2fkey http/1.1\r\n"), "{sent}");
    for line in
        ["authorization: bearer s3cr&t/key", "idempotency-key: run:1:2", "content-type: application/json"]
    {
        assert!(sent.contains(&format!("\r\n{line}\r\n")), "{line} is not in {sent}");
    }
    assert!(sent.ends_with("\r\n\r\n{\"n\":3}"), "{sent}");
}

#[tokio::test]
async fn a_part_of_the_body_is_mapped() {
    let (result, _) =
        call(answer("200 OK", "application/json", r#"{"a":{"b":7}}"#), json!({"pointer": "/a/b"})).await;
    assert_eq!(result, Ok(json!(7)));
    let (result, _) = call(answer("200 OK", "application/json", "{}"), json!({"pointer": "/a/b"})).await;
    assert_eq!(result.unwrap_err().code, "response_pointer");
}

#[tokio::test]
async fn text_is_data_and_long_text_is_cut() {
    let (result, _) = call(answer("200 OK", "text/html", "{{ city }}<b>"), json!({})).await;
    assert_eq!(result.unwrap()["body"], json!("{{ city }}<b>"));
    let (result, _) = call(answer("200 OK", "text/plain", &"\"x\n".repeat(5000)), json!({})).await;
    let output = result.unwrap();
    assert!(output.to_string().len() <= 4096 && output["body"].as_str().unwrap().ends_with("[truncated]"));
    let long = json!({"a": "x".repeat(9000)}).to_string();
    let (result, _) = call(answer("200 OK", "application/json", &long), json!({})).await;
    assert_eq!(result.unwrap_err().code, "output_too_large");
}

#[tokio::test]
async fn an_answer_beyond_max_bytes_is_not_read() {
    let (result, _) =
        call(answer("200 OK", "text/plain", &"x".repeat(5000)), json!({"maxBytes": 4000})).await;
    let failure = result.unwrap_err();
    assert_eq!((failure.code, failure.outcome_unknown), ("too_large", true));
}

#[tokio::test]
async fn a_bad_status_says_what_is_known_of_the_effect() {
    for (status, retryable, outcome_unknown) in
        [("404 Not Found", false, false), ("429 Slow Down", true, false), ("503 Busy", true, true)]
    {
        let (result, _) = call(answer(status, "text/plain", &"why ".repeat(2000)), json!({})).await;
        let failure = result.unwrap_err();
        assert_eq!((failure.code, failure.retryable), ("http_status", retryable), "{status}");
        assert_eq!(failure.outcome_unknown, outcome_unknown, "{status}");
        assert!(failure.message.contains("why") && failure.message.len() < 1200, "{}", failure.message.len());
    }
}

#[tokio::test]
async fn a_broken_connection_leaves_the_effect_unknown() {
    let (result, _) = call(String::new(), json!({})).await;
    let failure = result.unwrap_err();
    assert!(failure.retryable && failure.outcome_unknown, "{failure:?}");
}

#[tokio::test]
async fn a_secret_that_is_echoed_is_hidden() {
    for status in ["200 OK", "400 Bad Request"] {
        let echo = r#"{"you sent":"Bearer s3cr&t/key","url":"/?k=s3cr%26t%2Fkey"}"#;
        let (result, _) = call(answer(status, "application/json", echo), json!({})).await;
        let text = match result {
            Ok(output) => output.to_string(),
            Err(failure) => failure.message,
        };
        assert!(text.contains("[secret]") && !text.contains("s3cr"), "{text}");
    }
}

#[tokio::test]
async fn a_private_host_that_nobody_opened_is_not_reached() {
    let world = World::new();
    for host in ["127.0.0.2", "169.254.169.254", "10.0.0.1", "[::1]"] {
        let config = json!({"method": "GET", "url": format!("http://{host}/")});
        let config = ToolConfig::Api(Box::new(ApiConfig::parse(&config).unwrap()));
        let ToolOutcome::Failure(failure) = execute(&config, &json!({}), &world.cx()).await else {
            panic!("{host} is reached");
        };
        assert_eq!((failure.code, failure.outcome_unknown), ("blocked", false), "{host}");
    }
}
