//! The filter language: conditions on the type of an event and on what stands at places of its data. It is closed,
//! bounded, and calls nothing.
//!
//! A place is a JSON pointer (RFC 6901). At a place that holds nothing no condition is fulfilled but
//! `{"exists": false}`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::{FieldError, pointer_to};

const MOST_DEPTH: usize = 8;
/// Conditions and groups of one filter.
const MOST_PARTS: usize = 100;
const MOST_VALUES: usize = 100;
/// Bytes of a value to compare with, as JSON.
const LONGEST: usize = 1_000;

/// Which events start a definition. All that is given has to be fulfilled, and something has to be given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(example = json!({ "type": { "equals": "order.paid" }, "data": { "/total": { "gte": 100 } } }))]
pub struct EventFilter {
    /// On the type of the event.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kind: Option<FilterCondition>,
    /// On what stands in its data, by JSON pointer: `{"/order/total": {"gte": 100}}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, FilterCondition>,
    /// All of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub all: Vec<EventFilter>,
    /// At least one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub any: Vec<EventFilter>,
    /// Not this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion, nullable = false)]
    pub not: Option<Box<EventFilter>>,
}

/// A condition on one value. All that is given has to be fulfilled, and something has to be given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilterCondition {
    /// The same JSON value; numbers are compared as numbers.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Value)]
    pub equals: Option<Value>,
    /// One of these.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Value>, min_items = 1, max_items = 100)]
    pub one_of: Option<Vec<Value>>,
    /// Whether there is a value at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub exists: Option<bool>,
    /// A text that begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 1000)]
    pub prefix: Option<String>,
    /// A number greater than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub gt: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub gte: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub lt: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub lte: Option<f64>,
}

/// A value that is there, be it `null`.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl EventFilter {
    /// Whether an event of this type with this data fulfils it.
    pub fn matches(&self, kind: &str, data: &Value) -> bool {
        let of_type = self.kind.as_ref().is_none_or(|condition| condition.holds_of_text(kind));
        of_type
            && self.data.iter().all(|(place, condition)| condition.holds(data.pointer(place)))
            && self.all.iter().all(|filter| filter.matches(kind, data))
            && (self.any.is_empty() || self.any.iter().any(|filter| filter.matches(kind, data)))
            && self.not.as_ref().is_none_or(|filter| !filter.matches(kind, data))
    }

    /// What is wrong with it, where it stands at `pointer`.
    pub fn errors(&self, pointer: &str) -> Vec<FieldError> {
        let mut check = Check { errors: Vec::new(), parts: 0 };
        check.filter(self, pointer, 1);
        if check.parts > MOST_PARTS {
            let message = format!("A filter has at most {MOST_PARTS} parts.");
            check.errors.push(FieldError::new(pointer, "too_large", message));
        }
        check.errors
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl FilterCondition {
    fn holds(&self, value: Option<&Value>) -> bool {
        if self.exists.is_some_and(|exists| exists != value.is_some()) {
            return false;
        }
        let Some(value) = value else { return self.exists == Some(false) && self.asks_nothing_else() };
        self.equals.as_ref().is_none_or(|wanted| same(wanted, value))
            && self.one_of.as_ref().is_none_or(|wanted| wanted.iter().any(|wanted| same(wanted, value)))
            && self
                .prefix
                .as_ref()
                .is_none_or(|prefix| value.as_str().is_some_and(|text| text.starts_with(prefix)))
            && compares(value, self.gt, |value, bound| value > bound)
            && compares(value, self.gte, |value, bound| value >= bound)
            && compares(value, self.lt, |value, bound| value < bound)
            && compares(value, self.lte, |value, bound| value <= bound)
    }

    fn holds_of_text(&self, text: &str) -> bool {
        self.holds(Some(&Value::String(text.to_owned())))
    }

    fn asks_nothing_else(&self) -> bool {
        *self == Self { exists: self.exists, ..Self::default() }
    }
}

fn compares(value: &Value, bound: Option<f64>, holds: fn(f64, f64) -> bool) -> bool {
    bound.is_none_or(|bound| value.as_f64().is_some_and(|value| holds(value, bound)))
}

/// Equal JSON, where `1` and `1.0` are one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        _ => a == b,
    }
}

struct Check {
    errors: Vec<FieldError>,
    parts: usize,
}

impl Check {
    fn refuse(&mut self, pointer: &str, code: &'static str, message: impl Into<String>) {
        self.errors.push(FieldError::new(pointer, code, message));
    }

    fn filter(&mut self, filter: &EventFilter, pointer: &str, depth: usize) {
        self.parts += 1;
        if depth > MOST_DEPTH {
            return self.refuse(
                pointer,
                "too_deep",
                format!("A filter is at most {MOST_DEPTH} levels deep."),
            );
        }
        if filter.is_empty() {
            return self.refuse(pointer, "required", "A filter says something: to take all, type exists.");
        }
        if let Some(condition) = &filter.kind {
            self.condition(condition, &pointer_to(pointer, "type"));
        }
        let data = pointer_to(pointer, "data");
        for (place, condition) in &filter.data {
            let here = pointer_to(&data, place);
            if !(place.is_empty() || place.starts_with('/')) || place.len() > LONGEST {
                self.refuse(&here, "pointer", "A place is a JSON pointer: empty, or beginning with /.");
            }
            self.condition(condition, &here);
        }
        for (name, group) in [("all", &filter.all), ("any", &filter.any)] {
            let here = pointer_to(pointer, name);
            for (index, filter) in group.iter().enumerate() {
                self.filter(filter, &pointer_to(&here, index), depth + 1);
            }
        }
        if let Some(not) = &filter.not {
            self.filter(not, &pointer_to(pointer, "not"), depth + 1);
        }
    }

    fn condition(&mut self, condition: &FilterCondition, pointer: &str) {
        self.parts += 1;
        if *condition == FilterCondition::default() {
            return self.refuse(pointer, "required", "A condition says something.");
        }
        if condition.exists == Some(false) && !condition.asks_nothing_else() {
            self.refuse(pointer, "exclusive", "What is not there has no value.");
        }
        if let Some(wanted) = &condition.one_of {
            let here = pointer_to(pointer, "in");
            if !(1..=MOST_VALUES).contains(&wanted.len()) {
                self.refuse(&here, "length", format!("in has 1 to {MOST_VALUES} values."));
            }
            for (index, wanted) in wanted.iter().enumerate().take(MOST_VALUES) {
                self.value(wanted, &pointer_to(&here, index));
            }
        }
        if let Some(wanted) = &condition.equals {
            self.value(wanted, &pointer_to(pointer, "equals"));
        }
        if condition.prefix.as_ref().is_some_and(|prefix| prefix.len() > LONGEST) {
            self.refuse(
                &pointer_to(pointer, "prefix"),
                "length",
                format!("A prefix has at most {LONGEST} bytes."),
            );
        }
    }

    fn value(&mut self, value: &Value, pointer: &str) {
        if value.to_string().len() > LONGEST {
            self.refuse(pointer, "length", format!("A value has at most {LONGEST} bytes as JSON."));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filter(filter: Value) -> EventFilter {
        let filter: EventFilter = serde_json::from_value(filter).unwrap();
        assert_eq!(filter.errors(""), []);
        assert_eq!(serde_json::from_value::<EventFilter>(json!(filter)).unwrap(), filter);
        filter
    }

    #[test]
    fn conditions_hold_of_what_they_say() {
        let data = json!({ "total": 100, "to": { "city": "Bern", "a/b": null }, "tags": ["x"] });
        for (condition, place, holds) in [
            (json!({ "equals": 100.0 }), "/total", true),
            (json!({ "equals": "100" }), "/total", false),
            (json!({ "equals": null }), "/to/a~1b", true),
            (json!({ "equals": null }), "/missing", false),
            (json!({ "equals": ["x"] }), "/tags", true),
            (json!({ "in": ["Basel", "Bern"] }), "/to/city", true),
            (json!({ "in": ["Basel"] }), "/to/city", false),
            (json!({ "exists": true }), "/to/a~1b", true),
            (json!({ "exists": false }), "/to/zip", true),
            (json!({ "exists": false }), "/to", false),
            (json!({ "prefix": "Be" }), "/to/city", true),
            (json!({ "prefix": "1" }), "/total", false),
            (json!({ "gt": 99, "lt": 101 }), "/total", true),
            (json!({ "gt": 100 }), "/total", false),
            (json!({ "gte": 100, "lte": 100 }), "/total", true),
            (json!({ "gt": 1 }), "/to/city", false),
            (json!({ "lt": 1 }), "/missing", false),
            (json!({ "equals": "x" }), "/tags/0", true),
        ] {
            let one = filter(json!({ "data": { place: condition } }));
            assert_eq!(one.matches("a", &data), holds, "{one:?}");
            let not = filter(json!({ "not": one }));
            assert_eq!(not.matches("a", &data), !holds);
        }
    }

    #[test]
    fn groups_join_conditions() {
        let one = filter(json!({
            "type": { "prefix": "order." },
            "any": [{ "data": { "/total": { "gte": 10 } } }, { "data": { "/vip": { "equals": true } } }],
            "all": [{ "not": { "type": { "equals": "order.test" } } }],
        }));
        assert!(one.matches("order.paid", &json!({ "total": 10 })));
        assert!(one.matches("order.paid", &json!({ "vip": true })));
        assert!(!one.matches("order.paid", &json!({ "total": 9 })));
        assert!(!one.matches("order.test", &json!({ "total": 10 })));
        assert!(!one.matches("user.paid", &json!({ "total": 10 })));
    }

    #[test]
    fn what_is_empty_or_too_large_is_refused_at_its_place() {
        let mut deep = json!({ "type": { "exists": true } });
        for _ in 0..MOST_DEPTH {
            deep = json!({ "not": deep });
        }
        let wide = json!({ "any": vec![json!({ "type": { "exists": true } }); 50] });
        let deepest = "/not".repeat(MOST_DEPTH);
        for (bad, pointer) in [
            (json!({}), ""),
            (json!({ "all": [{}] }), "/all/0"),
            (json!({ "type": {} }), "/type"),
            (json!({ "data": { "a": { "exists": true } } }), "/data/a"),
            (json!({ "data": { "/a": { "in": [] } } }), "/data/~1a/in"),
            (json!({ "data": { "/a": { "exists": false, "gt": 1 } } }), "/data/~1a"),
            (json!({ "data": { "/a": { "equals": "x".repeat(1001) } } }), "/data/~1a/equals"),
            (deep, deepest.as_str()),
            (wide, ""),
        ] {
            let filter: EventFilter = serde_json::from_value(bad).unwrap();
            assert_eq!(filter.errors("")[0].pointer, pointer, "{filter:?}");
        }
        assert!(serde_json::from_value::<EventFilter>(json!({ "type": { "regex": ".*" } })).is_err());
    }
}
