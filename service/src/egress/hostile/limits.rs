//! Proof: what answers too much, too slowly, wrongly or not at all is cut off.

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::*;

const SHORT: Duration = Duration::from_millis(50);

fn open() -> Egress {
    loopback(&["127.0.0.1".into()])
}

fn limited(url: &str, max_bytes: usize) -> Request {
    Request { max_bytes, ..get(url) }
}

fn hurried(url: &str) -> Request {
    Request { timeout: SHORT, ..get(url) }
}

#[tokio::test]
async fn a_long_body_is_cut_whatever_its_declared_length() {
    for reply in [
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nabcdef",
    ] {
        let server = Server::start(|_| Reply::Close(reply.into())).await;
        let egress = open();
        let whole = egress.send(limited(&server.url(), 6)).await.ok().unwrap();
        assert_eq!(whole.body, Bytes::from_static(b"abcdef"));
        let error = refusal(&egress, limited(&server.url(), 5)).await;
        assert_eq!(error, EgressError::TooLarge { limit: 5 });

        let stream = egress.stream(limited(&server.url(), 5)).await.ok().unwrap();
        let chunks: Vec<_> = stream.body.collect().await;
        assert_eq!(chunks.last(), Some(&Err(EgressError::TooLarge { limit: 5 })));
        let passed: usize = chunks.iter().flatten().map(Bytes::len).sum();
        assert!(passed <= 5);
    }
}

#[tokio::test]
async fn silence_before_the_head_is_a_timeout() {
    let server = Server::start(|_| Reply::Hold(String::new())).await;
    let egress = open();
    let error = refusal(&egress, hurried(&server.url())).await;
    assert_eq!(error, EgressError::Timeout);
    assert!(error.sent() && error.is_retryable());
    assert_eq!(egress.stream(hurried(&server.url())).await.err(), Some(EgressError::Timeout));
}

#[tokio::test]
async fn silence_within_the_body_is_a_timeout() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
    let server = Server::start(move |_| Reply::Hold(head.into())).await;
    let egress = open();
    assert_eq!(refusal(&egress, hurried(&server.url())).await, EgressError::Timeout);
    let stream = egress.stream(hurried(&server.url())).await.ok().unwrap();
    let chunks: Vec<_> = stream.body.collect().await;
    assert_eq!(chunks, [Ok(Bytes::from_static(b"abc")), Err(EgressError::Timeout)]);
}

#[tokio::test]
async fn broken_answers_are_told_apart() {
    let host = || "127.0.0.1".to_owned();
    let egress = open();
    for reply in ["", "not http\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"] {
        let server = Server::start(|_| Reply::Close(reply.into())).await;
        let error = refusal(&egress, get(&server.url())).await;
        assert_eq!(error, EgressError::Interrupted { host: host() }, "{reply}");
        assert!(error.sent());
    }
    let server = Server::start(|_| Reply::ok("plain")).await;
    let error = refusal(&egress, get(&format!("https://{}/", server.at("127.0.0.1")))).await;
    assert_eq!(error, EgressError::Tls { host: host() });
    assert!(!error.sent());
}

#[tokio::test]
async fn a_long_head_is_refused() {
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    let server = Server::start(move |_| Reply::Close(head.clone())).await;
    let error = refusal(&open(), get(&server.url())).await;
    assert!(matches!(error, EgressError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn headers_that_frame_or_split_the_message_are_refused() {
    let server = Server::start(|_| Reply::ok("")).await;
    let egress = open();
    for (name, value) in [
        ("Host", "169.254.169.254"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "upgrade"),
        ("X-A", "b\r\nX-C: d"),
        ("X A", "b"),
    ] {
        let request = Request { headers: vec![(name.into(), value.into())], ..get(&server.url()) };
        assert_eq!(refusal(&egress, request).await, EgressError::InvalidHeader { name: name.into() });
    }
    assert_eq!(server.reached().await, 0);
}

#[tokio::test]
async fn an_unfinished_stream_keeps_its_place() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
    let server = Server::start(move |_| Reply::Hold(head.into())).await;
    let one = Policy { per_host_concurrency: 1, ..policy(&["127.0.0.1".into()]) };
    let egress = egress(one, Names::new(&[&[]]));
    let stream = egress.stream(get(&server.url())).await.ok().unwrap();
    let busy = EgressError::Busy { host: "127.0.0.1".into() };
    assert_eq!(egress.stream(get(&server.url())).await.err(), Some(busy));
    drop(stream);
    assert!(egress.stream(get(&server.url())).await.is_ok());
}

#[tokio::test]
async fn a_dead_host_is_left_alone_and_tried_again() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/secret-path");
    let clock = Clock::manual(DateTime::UNIX_EPOCH);
    let egress =
        Egress::with_lookup(policy(&["127.0.0.1".into()]), clock.clone(), Names::new(&[&[]])).unwrap();
    let refused = EgressError::Connect { host: "127.0.0.1".into() };
    for _ in 0..Policy::default().breaker_threshold {
        let error = refusal(&egress, get(&url)).await;
        assert_eq!(error, refused);
        assert!(!error.sent() && !error.to_string().contains("secret-path"));
    }
    assert!(matches!(refusal(&egress, get(&url)).await, EgressError::CircuitOpen { .. }));
    clock.advance(Policy::default().breaker_cooldown);
    assert_eq!(refusal(&egress, get(&url)).await, refused);
    assert!(matches!(refusal(&egress, get(&url)).await, EgressError::CircuitOpen { .. }));
}

#[tokio::test]
async fn one_hasty_caller_does_not_close_a_host_to_the_others() {
    let server = Server::start(|request| match request.starts_with("GET /slow") {
        true => Reply::Hold(String::new()),
        false => Reply::ok("quick"),
    })
    .await;
    let egress = open();
    for _ in 0..=Policy::default().breaker_threshold {
        let error = refusal(&egress, hurried(&format!("{}slow", server.url()))).await;
        assert_eq!(error, EgressError::Timeout);
    }
    assert!(egress.send(get(&server.url())).await.is_ok());
}
