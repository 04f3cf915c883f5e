use serde_json::{Value, json};

use super::output::{cap, cut};
use super::{ToolConfig, canonical_json, check_tool_name};
use crate::error::Error;
use entity::agents::tool::ToolType;

#[test]
fn names_are_model_safe() {
    for good in ["a", "get_weather-2", &"x".repeat(64)] {
        assert!(check_tool_name(good).is_ok(), "{good}");
    }
    for bad in ["", "a b", "a.b", "ä", "a\n", &"x".repeat(65)] {
        assert!(check_tool_name(bad).is_err(), "{bad}");
    }
}

#[test]
fn canonical_json_ignores_the_order_of_members() {
    let one: Value = serde_json::from_str(r#"{"b": [{"y": 1, "x": 2}], "a": null}"#).unwrap();
    let two: Value = serde_json::from_str(r#"{"a": null, "b": [{"x": 2, "y": 1}]}"#).unwrap();
    assert_eq!(canonical_json(&one), r#"{"a":null,"b":[{"x":2,"y":1}]}"#);
    assert_eq!(canonical_json(&one), canonical_json(&two));
    assert_ne!(canonical_json(&json!([1, 2])), canonical_json(&json!([2, 1])));
}

#[test]
fn text_is_cut_and_structures_are_refused() {
    for text in ["x".repeat(5000), "\u{1}".repeat(5000), "é\"".repeat(5000), "🦀".repeat(5000)] {
        let cut = cap(json!(text), 1000).unwrap();
        assert!(cut.to_string().len() <= 1000 && cut.to_string().len() > 900, "{}", cut.to_string().len());
        let (kept, mark) =
            cut.as_str().unwrap().split_at(cut.as_str().unwrap().len() - "… [truncated]".len());
        assert!(text.starts_with(kept) && mark == "… [truncated]");
    }
    let fits = "x".repeat(998);
    assert_eq!(cut(fits.clone(), 1000), fits);
    assert_eq!(cap(json!({"a": "x".repeat(5000)}), 1000).unwrap_err().code, "output_too_large");
    assert_eq!(cap(json!({"a": 1}), 1000), Ok(json!({"a": 1})));
}

#[test]
fn a_configuration_is_read_by_its_type() {
    let function = json!({"function": "builtin/echo"});
    assert!(matches!(ToolConfig::parse(ToolType::Function, &function), Ok(ToolConfig::Function(_))));
    let Err(Error::Invalid { errors }) = ToolConfig::parse(ToolType::Api, &function) else {
        panic!("a function is no API tool");
    };
    assert_eq!(errors[0].pointer, "/config/function");
}
