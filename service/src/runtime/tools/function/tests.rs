use std::time::Duration;

use chrono::{TimeZone as _, Utc};
use serde_json::{Value, json};

use super::{FunctionConfig, builtin};
use crate::clock::Clock;
use crate::egress::{Egress, Policy};
use crate::error::Error;
use crate::runtime::tools::{NoSecrets, ToolCallContext, ToolConfig, ToolOutcome, execute};
use crate::schema::Schema;

async fn call(function: &str, arguments: Value) -> Result<Value, &'static str> {
    let clock = Clock::manual(Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap());
    let egress = Egress::new(Policy::default(), clock.clone()).unwrap();
    let cx = ToolCallContext {
        egress: &egress,
        clock: &clock,
        secrets: &NoSecrets,
        effect_key: "run:1:1",
        timeout: Duration::from_secs(5),
        max_output_bytes: 1000,
    };
    let config = FunctionConfig::parse(&json!({ "function": function })).expect("parses");
    match execute(&ToolConfig::Function(config), &arguments, &cx).await {
        ToolOutcome::Success { output } => Ok(output),
        ToolOutcome::Failure(failure) => {
            assert!(!failure.outcome_unknown);
            Err(failure.code)
        }
    }
}

#[tokio::test]
async fn built_ins_do_what_they_say() {
    for (function, arguments, expected) in [
        ("builtin/echo", json!({"a": [1]}), Ok(json!({"a": [1]}))),
        (
            "builtin/now",
            json!({}),
            Ok(json!({"now": "2026-01-02T03:04:05.000Z", "unixMs": 1_767_323_045_000_i64})),
        ),
        ("builtin/template", json!({"template": {"n": "{{ x }}"}, "data": {"x": 3}}), Ok(json!({"n": 3}))),
        ("builtin/template", json!({"template": "{{ x", "data": {}}), Err("invalid_arguments")),
        ("builtin/template", json!({"template": "{{ x }}"}), Err("invalid_arguments")),
        ("builtin/json_select", json!({"value": {"a/b": [5]}, "pointer": "/a~1b/0"}), Ok(json!(5))),
        ("builtin/json_select", json!({"value": {}, "pointer": "/a"}), Ok(json!(null))),
        ("builtin/json_select", json!({"value": {}, "pointer": "a"}), Err("invalid_arguments")),
        ("builtin/sleep", json!({"ms": 0}), Ok(json!({"sleptMs": 0}))),
        ("builtin/sleep", json!({"ms": 60_001}), Err("invalid_arguments")),
        ("builtin/sleep", json!({"ms": -1}), Err("invalid_arguments")),
        ("team/summarise", json!({}), Err("no_worker")),
        ("builtin/echo", json!({"a": "x".repeat(2000)}), Err("output_too_large")),
    ] {
        assert_eq!(call(function, arguments.clone()).await, expected, "{function} {arguments}");
    }
}

#[tokio::test]
async fn data_of_a_template_is_not_evaluated() {
    let arguments = json!({"template": "<{{ x }}>", "data": {"x": "{{ y }}", "y": "evil"}});
    assert_eq!(call("builtin/template", arguments).await, Ok(json!("<{{ y }}>")));
}

#[test]
fn names_are_checked_and_point_to_their_place() {
    for (config, pointer) in [
        (json!({}), "/config"),
        (json!([]), "/config"),
        (json!({"function": 1}), "/config/function"),
        (json!({"function": "A"}), "/config/function"),
        (json!({"function": ""}), "/config/function"),
        (json!({"function": "x".repeat(65)}), "/config/function"),
        (json!({"function": "builtin/exec"}), "/config/function"),
        (json!({"function": "a", "command": "ls"}), "/config/command"),
    ] {
        let Err(Error::Invalid { errors }) = FunctionConfig::parse(&config) else {
            panic!("{config} is accepted");
        };
        assert_eq!(errors[0].pointer, pointer, "{config}");
    }
}

#[test]
fn every_built_in_has_a_schema_that_compiles() {
    for builtin in builtin::catalog() {
        assert!(Schema::compile(&builtin.parameters(), "").is_ok(), "{}", builtin.name);
        assert!(FunctionConfig::parse(&json!({ "function": builtin.name })).is_ok(), "{}", builtin.name);
    }
}
