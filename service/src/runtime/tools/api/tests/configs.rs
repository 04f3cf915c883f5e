use serde_json::{Value, json};

use super::KEY;
use crate::error::Error;
use crate::runtime::tools::ApiConfig;

fn refused(config: &Value) -> String {
    match ApiConfig::parse(config) {
        Err(Error::Invalid { errors }) => errors[0].pointer.clone(),
        Err(other) => panic!("{config}: {other}"),
        Ok(_) => panic!("{config} is accepted"),
    }
}

fn with(member: &str, value: Value) -> Value {
    let mut config = json!({"method": "POST", "url": "https://api.example/v1"});
    config[member] = value;
    config
}

#[test]
fn a_full_configuration_is_accepted() {
    let config = json!({"method": "POST", "url": "https://api.example:8443/v1/{{ city }}/{{ n | int }}?a={{ b }}",
        "query": {"limit": "{{ limit | default(none) }}", "fixed": 1},
        "headers": {"Accept-Language": "{{ language }}"}, "body": {"text": "{{ text }}"},
        "secrets": [{"header": "Authorization", "integrationId": KEY, "prefix": "Bearer "}, {"query": "k", "integrationId": KEY}],
        "response": {"pointer": "/items", "maxBytes": 1000}});
    let parsed = ApiConfig::parse(&config).unwrap();
    assert_eq!(parsed.sample_url().as_str(), "https://api.example:8443/v1/x/x?a=x");
    assert_eq!(parsed.integrations().map(|id| id.to_string()).collect::<Vec<_>>(), [KEY, KEY]);
}

#[test]
fn errors_point_to_their_place() {
    for (config, pointer) in [
        (json!({"url": "https://api.example"}), "/config"),
        (with("method", json!("TRACE")), "/config/method"),
        (with("timeout", json!(1)), "/config/timeout"),
        (with("query", json!({"a/b": ["{{ x"]})), "/config/query/a~1b/0"),
        (with("headers", json!({"x": 1})), "/config/headers/x"),
        (with("headers", json!({"x": "{{ | }}"})), "/config/headers/x"),
        (with("headers", json!({"x": "a\r\nevil: 1"})), "/config/headers/x"),
        (with("headers", json!({"a b": "1"})), "/config/headers/a b"),
        (with("headers", json!({"Host": "evil"})), "/config/headers/Host"),
        (with("headers", json!({"Content-Length": "0"})), "/config/headers/Content-Length"),
        (with("headers", json!({"Authorization": "Bearer x"})), "/config/headers/Authorization"),
        (with("body", json!({"a": [{"b": "{{ 1 * 2 }}"}]})), "/config/body/a/0/b"),
        (with("secrets", json!([{"integrationId": KEY}])), "/config/secrets/0"),
        (with("secrets", json!([{"integrationId": KEY, "header": "a", "query": "b"}])), "/config/secrets/0"),
        (
            with("secrets", json!([{"integrationId": "../key", "header": "a"}])),
            "/config/secrets/0/integrationId",
        ),
        (with("secrets", json!([{"integrationId": KEY, "header": "host"}])), "/config/secrets/0/header"),
        (
            with("secrets", json!([{"integrationId": KEY, "header": "a", "prefix": "x\n"}])),
            "/config/secrets/0/prefix",
        ),
        (
            with("secrets", json!([{"integrationId": KEY, "header": "a", "value": "v"}])),
            "/config/secrets/0/value",
        ),
        (
            with("secrets", Value::Array(vec![json!({"integrationId": KEY, "header": "a"}); 9])),
            "/config/secrets",
        ),
        (with("response", json!({"pointer": "items"})), "/config/response/pointer"),
        (with("response", json!({"maxBytes": 0})), "/config/response/maxBytes"),
        (with("response", json!({"maxBytes": 1_u64 << 40})), "/config/response/maxBytes"),
        (json!({"method": "GET", "url": "https://api.example", "body": {}}), "/config/body"),
    ] {
        assert_eq!(refused(&config), pointer, "{config}");
    }
}

#[test]
fn the_host_is_literal_and_the_url_is_plain() {
    for url in [
        "{{ url }}",
        "https://{{ host }}/",
        "https://api.{{ zone }}.example/",
        "https://api.example{{ rest }}",
        "https://api.example:{{ port }}/",
        "{{ scheme }}://api.example/",
        "https:{{ x }}//api.example/",
        "https:///api.example/{{ x }}",
        "https:api.example",
        "ftp://api.example/",
        "file:///etc/passwd",
        "https://user:password@api.example/",
        "https://api.example@evil.example/",
        "https://api.example\\@evil.example/",
        "https://api.example/a#b",
        "https://api.example/../x",
        "https://api.example/%2e%2E/x",
        "https://api.example/a b",
        "https://api.example/a\nb",
        "https://api.example/{{ x",
        "https://[::1/",
        "",
    ] {
        assert_eq!(refused(&with("url", json!(url))), "/config/url", "{url}");
    }
}
