//! Proof: a redirect opens no door that was closed, and carries no credentials to another origin.

use bytes::Bytes;
use secrecy::SecretString;

use super::*;

fn with_credentials(method: Method, url: &str) -> Request {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut request = Request::new(method, Url::parse(url).unwrap());
    request.headers = vec![
        pair("Accept", "text/plain"),
        pair("Authorization", "Bearer sesame"),
        pair("Cookie", "a=sesame"),
        pair("X-Custom-Key", "sesame"),
    ];
    request.secret_headers = vec![("X-Api-Key".into(), SecretString::from("sesame"))];
    request
}

#[tokio::test]
async fn no_redirect_to_a_closed_host_is_followed() {
    let closed = Server::start(|_| Reply::ok("secret")).await;
    for location in [
        format!("http://127.0.0.1:{}/", closed.port),
        format!("http://127.0.0.1.:{}/", closed.port),
        format!("//2130706433:{}/", closed.port),
        format!("http://0x7f.1:{}/", closed.port),
        format!("http://[::1]:{}/", closed.port),
        format!("http://[::ffff:127.0.0.1]:{}/", closed.port),
        format!("http://localhost:{}/", closed.port),
        format!("http://name.test:{}/", closed.port),
        format!("http:\\\\127.0.0.1:{}/", closed.port),
        "http://169.254.169.254/latest/meta-data/".into(),
    ] {
        let target = location.clone();
        let open = Server::start(move |_| Reply::redirect(302, &target)).await;
        let error = refusal(&loopback(&[open.at("127.0.0.1")]), get(&open.url())).await;
        let EgressError::Redirected(inner) = &error else { panic!("{location}: {error}") };
        assert!(matches!(**inner, EgressError::Blocked { .. }), "{location}: {error}");
        assert!(error.sent());
        assert_eq!(open.reached().await, 1);
    }
    assert_eq!(closed.reached().await, 0);
}

#[tokio::test]
async fn no_redirect_to_another_scheme_or_a_user_is_followed() {
    for location in ["file:///etc/passwd", "gopher://example.test/", "data:,x", "http://a:b@127.0.0.1/"] {
        let open = Server::start(move |_| Reply::redirect(302, location)).await;
        let error = refusal(&loopback(&["127.0.0.1".into()]), get(&open.url())).await;
        let EgressError::Redirected(inner) = &error else { panic!("{location}: {error}") };
        assert!(matches!(**inner, EgressError::InvalidUrl { .. }), "{location}: {error}");
    }
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    let other = Server::start(|_| Reply::ok("done")).await;
    let location = format!("http://{}/there", other.at("127.0.0.1"));
    let first = Server::start(move |request| match request.starts_with("POST /here") {
        true => Reply::redirect(307, &location),
        false => Reply::redirect(308, "/here"),
    })
    .await;
    let mut request = with_credentials(Method::POST, &first.url());
    request.body = Some(Bytes::from_static(b"payload"));
    let egress = loopback(&["127.0.0.1".into()]);
    let response = egress.send(request).await.ok().unwrap();
    assert_eq!(response.url.path(), "/there");

    let requests = first.requests();
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert_eq!(request.matches("sesame").count(), 4, "{request}");
    }
    let [request] = &other.requests()[..] else { panic!("one request") };
    assert!(request.starts_with("POST /there") && request.ends_with("payload"), "{request}");
    assert!(request.contains("accept: text/plain"));
    assert!(!request.contains("sesame") && !request.to_lowercase().contains("x-api-key"), "{request}");
}

#[tokio::test]
async fn credentials_do_not_come_back() {
    let home = Arc::new(Mutex::new(String::new()));
    let back = Arc::clone(&home);
    let other = Server::start(move |_| Reply::redirect(302, &back.lock().unwrap())).await;
    let away = format!("http://{}/", other.at("127.0.0.1"));
    let first = Server::start(move |request| match request.starts_with("GET /back") {
        true => Reply::ok("done"),
        false => Reply::redirect(302, &away),
    })
    .await;
    *home.lock().unwrap() = format!("{}back", first.url());
    let egress = loopback(&["127.0.0.1".into()]);
    assert!(egress.send(with_credentials(Method::GET, &first.url())).await.is_ok());
    assert!(first.requests()[0].contains("sesame"));
    assert!(!first.requests()[1].contains("sesame"));
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let server = Server::start(|_| Reply::redirect(302, "/again")).await;
    let error = refusal(&loopback(&["127.0.0.1".into()]), get(&server.url())).await;
    assert_eq!(error, EgressError::TooManyRedirects);
    assert_eq!(server.reached().await, usize::from(Policy::default().max_redirects) + 1);
}
