use serde_json::{Value, json};

use super::{KEY, World};

const HOSTILE: [&str; 16] = [
    "@evil.example",
    "evil.example/",
    "//evil.example",
    "\\\\evil.example",
    "x#fragment",
    "x?admin=1",
    "x&admin=1",
    "x/../../admin",
    "../admin",
    "..%2fadmin",
    "%2e%2e",
    "x;admin=1",
    ":80@evil.example",
    "x\r\nevil: 1",
    "{{ secret }}",
    "\u{0}\u{202e}ü",
];

fn config() -> Value {
    json!({"method": "GET", "url": "https://api.example/v1/users/{{ id }}/notes?fixed={{ id }}",
        "query": {"q": "{{ id }}"}})
}

#[tokio::test]
async fn an_argument_stays_inside_its_segment() {
    let world = World::new();
    for id in HOSTILE {
        let request = world.request(&config(), &json!({"id": id, "secret": "evaluated"})).await;
        let url = request.unwrap_or_else(|failure| panic!("{id}: {failure:?}")).url;
        assert_eq!((url.scheme(), url.host_str(), url.port()), ("https", Some("api.example"), None), "{id}");
        assert_eq!((url.username(), url.password(), url.fragment()), ("", None, None), "{id}");
        let segments: Vec<_> = url.path_segments().unwrap().collect();
        let [v1, users, segment, notes] = segments[..] else { panic!("{id}: {url}") };
        assert_eq!((v1, users, notes), ("v1", "users", "notes"), "{id}");
        assert_eq!(percent_encoding::percent_decode_str(segment).decode_utf8().unwrap(), id);
        let query: Vec<_> =
            url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        assert_eq!(query, [("fixed".to_owned(), id.to_owned()), ("q".to_owned(), id.to_owned())]);
    }
}

#[tokio::test]
async fn what_would_change_the_path_is_refused() {
    let world = World::new();
    for (url, id) in [
        ("https://api.example/users/{{ id }}", json!("")),
        ("https://api.example/users/{{ id }}", json!(".")),
        ("https://api.example/users/{{ id }}", json!("..")),
        ("https://api.example/users/.{{ id }}/x", json!(".")),
        ("https://api.example/users/%2e{{ id }}/x", json!(".")),
        ("https://api.example/users/{{ id }}", json!(null)),
        ("https://api.example/users/{{ id }}", json!(["a"])),
        ("https://api.example/users/{{ id }}", json!({"a": 1})),
        ("https://api.example/users/{{ id }}", json!("x".repeat(9000))),
        ("https://api.example/users/{{ other }}", json!("x")),
    ] {
        let failure =
            world.request(&json!({"method": "DELETE", "url": url}), &json!({ "id": id })).await.err();
        assert_eq!(
            failure.map(|f| (f.code, f.outcome_unknown)),
            Some(("invalid_arguments", false)),
            "{url} {id}"
        );
    }
}

#[tokio::test]
async fn a_header_cannot_begin_another() {
    let world = World::new();
    let config = json!({"method": "GET", "url": "https://api.example/", "headers": {"x-user": "u {{ id }}"}});
    for id in ["a\r\nx-admin: 1", "a\nb", "a\rb", "a\u{0}b", "a\u{85}b"] {
        let failure = world.request(&config, &json!({ "id": id })).await.err().unwrap();
        assert_eq!(failure.code, "invalid_arguments");
        assert!(failure.message.starts_with("/headers/x-user: "), "{}", failure.message);
    }
    let request = world.request(&config, &json!({"id": "{{ id }}"})).await.ok().unwrap();
    assert!(request.headers.contains(&("x-user".to_owned(), "u {{ id }}".to_owned())));
}

#[tokio::test]
async fn a_body_is_data_whatever_the_argument_holds() {
    let world = World::new();
    let config = |kind: &str, body: Value| json!({"method": "POST", "url": "https://api.example/", "headers": {"content-type": kind}, "body": body});
    let hostile = json!({"text": "\", \"admin\": true, \"x\": \"{{ text }}&admin=1"});
    let json_body = config("application/json", json!({"text": "hi {{ text }}", "n": "{{ [1] }}"}));
    let body = world.request(&json_body, &hostile).await.ok().unwrap().body.unwrap();
    let sent: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(sent, json!({"text": format!("hi {}", hostile["text"].as_str().unwrap()), "n": [1]}));

    let form = config("application/x-www-form-urlencoded", json!({"text": "{{ text }}", "gone": null}));
    let body = world.request(&form, &hostile).await.ok().unwrap().body.unwrap();
    let fields: Vec<_> = url::form_urlencoded::parse(&body).into_owned().collect();
    assert_eq!(fields, [("text".to_owned(), hostile["text"].as_str().unwrap().to_owned())]);

    let text = config("text/plain", json!("{{ text }}"));
    assert_eq!(
        world.request(&text, &hostile).await.ok().unwrap().body.unwrap(),
        hostile["text"].as_str().unwrap()
    );
}

#[tokio::test]
async fn query_values_are_left_out_repeated_or_refused() {
    let world = World::new();
    let config = json!({"method": "GET", "url": "https://api.example/",
        "query": {"limit": "{{ limit | default(none) }}", "tag": "{{ tags }}", "on": true}});
    let url = world.request(&config, &json!({"tags": ["a&b", 2]})).await.ok().unwrap().url;
    assert_eq!(url.query(), Some("on=true&tag=a%26b&tag=2"));
    let failure = world.request(&config, &json!({"tags": [{}]})).await.err().unwrap();
    assert!(failure.message.starts_with("/query/tag"), "{}", failure.message);
}

#[tokio::test]
async fn a_secret_goes_to_its_hosts_alone() {
    let world = World::new();
    let config = |url: &str, name: &str| json!({"method": "GET", "url": url, "secrets": [{"header": "Authorization", "integrationId": name, "prefix": "Bearer "}]});
    let code = |result: Result<crate::egress::Request, crate::runtime::tools::ToolFailure>| {
        result.err().map(|f| f.code)
    };
    assert_eq!(code(world.request(&config("https://127.0.0.1/", KEY), &json!({})).await), None);
    for url in [
        "http://127.0.0.1/",
        "https://127.0.0.1:99/",
        "https://evil.example/127.0.0.1",
        "https://127.0.0.1.evil.example/",
        "https://127.0.0.2/",
    ] {
        let refused = code(world.request(&config(url, KEY), &json!({})).await);
        assert_eq!(refused, Some("secret_not_bound"), "{url}");
    }
    let missing = code(
        world.request(&config("http://127.0.0.1/", "01980000-0000-7000-8000-000000000002"), &json!({})).await,
    );
    assert_eq!(missing, Some("secret_missing"));
}
