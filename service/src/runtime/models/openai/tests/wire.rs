//! Over a real connection, through the egress door.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::OpenAiCompatible;
use super::{request, validator};
use crate::clock::Clock;
use crate::egress::{Egress, Policy};
use crate::runtime::models::{DeltaSink, ModelErrorKind, ModelProvider as _};

const KEY: &str = "sk-canary-123456";

/// What the server got: the head in lower case, and the body.
struct Received {
    head: String,
    body: String,
}

/// A server that takes one request, sends `answer`, and then closes or (`hold`) says nothing more.
async fn serve(answer: String, hold: bool) -> (OpenAiCompatible, JoinHandle<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let received = receive(&mut socket).await;
        socket.write_all(answer.as_bytes()).await.unwrap();
        if hold {
            let _ = socket.read(&mut [0]).await;
        }
        received
    });
    let policy = Policy { allow_private_hosts: vec![address.to_string()], ..Policy::default() };
    let egress = Egress::new(policy, Clock::system()).unwrap();
    let base = format!("http://{address}/v1/").parse().unwrap();
    (OpenAiCompatible::new(egress, Clock::system(), base, Some(SecretString::from(KEY))), server)
}

async fn receive(socket: &mut TcpStream) -> Received {
    let mut bytes = Vec::new();
    loop {
        assert!(socket.read_buf(&mut bytes).await.unwrap() > 0, "the client went away");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        if body.len() >= length.parse().unwrap() {
            return Received { head, body: body.to_owned() };
        }
    }
}

fn stream(events: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_1\r\nconnection: close\r\n\r\n{events}"
    )
}

fn silent(_: &str) {}

#[tokio::test]
async fn a_turn() {
    let (provider, server) = serve(stream(include_str!("recorded_text.sse")), true).await;
    let reply = provider.complete(&request(), &silent).await.unwrap();
    assert_eq!(reply.content.as_deref(), Some("Grüße, 🦀!"));
    assert_eq!(reply.request_id.as_deref(), Some("req_1"));
    drop(provider);
    let received = server.await.unwrap();
    assert!(received.head.starts_with("post /v1/chat/completions http/1.1"));
    assert!(received.head.contains(&format!("authorization: bearer {KEY}")));
    assert!(received.head.contains("idempotency-key: run:2"));
    validator::validate(&serde_json::from_str::<Value>(&received.body).unwrap()).unwrap();
}

#[tokio::test]
async fn a_refusal() {
    let body = format!(r#"{{"error":{{"message":"slow down, {KEY}","code":"rate_limit_exceeded"}}}}"#);
    let answer = format!("HTTP/1.1 429 No\r\nretry-after: 3\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (provider, _server) = serve(answer, false).await;
    let error = provider.complete(&request(), &silent).await.unwrap_err();
    assert_eq!((error.kind, error.retry_after), (ModelErrorKind::RateLimited, Some(Duration::from_secs(3))));
    assert_eq!(error.message, "The provider limits the rate (429): slow down, [credential]");
}

#[tokio::test]
async fn a_connection_that_breaks() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n";
    let begun = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
    let (provider, _server) = serve(format!("{head}{begun}"), false).await;
    let error = provider.complete(&request(), &silent).await.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Network);

    let ended = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let (provider, _server) = serve(format!("{head}{begun}{ended}"), false).await;
    let reply = provider.complete(&request(), &silent).await.unwrap();
    assert_eq!((reply.content.as_deref(), reply.usage.estimated), (Some("x"), true));
}

#[tokio::test]
async fn a_server_that_falls_silent() {
    let (provider, _server) = serve(stream(": wait\n\n"), true).await;
    let mut request = request();
    request.timeout = Duration::from_millis(50);
    let error = provider.complete(&request, &silent).await.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Timeout);
}

#[tokio::test]
async fn the_list_of_models() {
    let body = r#"{"object":"list","data":[{"id":"b"},{"id":"a"},{"object":"model"}]}"#;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (provider, server) = serve(answer, false).await;
    assert_eq!(provider.list_models().await.unwrap(), ["a", "b"]);
    assert!(server.await.unwrap().head.starts_with("get /v1/models http/1.1"));
}

#[tokio::test]
async fn a_private_address_is_not_reached() {
    let egress = Egress::new(Policy::default(), Clock::system()).unwrap();
    let base = "http://169.254.169.254/v1".parse().unwrap();
    let provider = OpenAiCompatible::new(egress, Clock::system(), base, None);
    let error = provider.complete(&request(), &silent as &dyn DeltaSink).await.unwrap_err();
    assert_eq!((error.kind, error.is_retryable()), (ModelErrorKind::InvalidRequest, false));
}
