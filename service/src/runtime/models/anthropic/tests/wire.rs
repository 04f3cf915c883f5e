//! Over a real connection, through the egress door.

use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::super::Anthropic;
use super::{request, validator};
use crate::clock::Clock;
use crate::egress::{Egress, Policy};
use crate::runtime::models::{ModelErrorKind, ModelProvider as _};

const KEY: &str = "sk-ant-canary-123456";

/// A server that takes one request, gives it back, and sends `answer`.
async fn serve(answer: String) -> (Anthropic, JoinHandle<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        let received = loop {
            assert!(socket.read_buf(&mut bytes).await.unwrap() > 0, "the client went away");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse().unwrap() {
                break (head, body.to_owned());
            }
        };
        socket.write_all(answer.as_bytes()).await.unwrap();
        received
    });
    let policy = Policy { allow_private_hosts: vec![address.to_string()], ..Policy::default() };
    let egress = Egress::new(policy, Clock::system()).unwrap();
    let base = format!("http://{address}/v1/").parse().unwrap();
    (Anthropic::new(egress, Clock::system(), base, Some(SecretString::from(KEY))), server)
}

fn silent(_: &str) {}

#[tokio::test]
async fn a_turn() {
    let stream = include_str!("recorded_text.sse");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_1\r\nconnection: close\r\n\r\n";
    let (provider, server) = serve(format!("{head}{stream}")).await;
    let reply = provider.complete(&request(), &silent).await.unwrap();
    assert_eq!(reply.content.as_deref(), Some("Grüße, 🦀!"));
    assert_eq!(reply.request_id.as_deref(), Some("req_1"));
    let (head, body) = server.await.unwrap();
    assert!(head.starts_with("post /v1/messages http/1.1"), "{head}");
    assert!(head.contains(&format!("x-api-key: {KEY}")) && !head.contains("authorization"), "{head}");
    assert!(head.contains("anthropic-version: 2023-06-01"), "{head}");
    validator::validate(&serde_json::from_str::<Value>(&body).unwrap()).unwrap();
}

#[tokio::test]
async fn a_refusal_quotes_no_key() {
    let body = format!(
        r#"{{"type":"error","error":{{"type":"rate_limit_error","message":"slow down, {KEY}"}},"request_id":"r"}}"#
    );
    let answer = format!("HTTP/1.1 429 No\r\nretry-after: 3\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (provider, _server) = serve(answer).await;
    let error = provider.complete(&request(), &silent).await.unwrap_err();
    assert_eq!((error.kind, error.retry_after.unwrap().as_secs()), (ModelErrorKind::RateLimited, 3));
    assert_eq!(error.message, "The provider limits the rate (429): slow down, [credential]");
}

#[tokio::test]
async fn the_list_of_models() {
    let body =
        r#"{"data":[{"type":"model","id":"claude-b"},{"type":"model","id":"claude-a"}],"has_more":false}"#;
    let (provider, server) =
        serve(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    assert_eq!(provider.list_models().await.unwrap(), ["claude-a", "claude-b"]);
    let (head, _) = server.await.unwrap();
    assert!(head.starts_with("get /v1/models?limit=1000 http/1.1"), "{head}");
    assert!(head.contains("anthropic-version: 2023-06-01"), "{head}");
}
