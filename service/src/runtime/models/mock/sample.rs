//! A value that fits a JSON Schema, always the same one for the same schema and hints.
//!
//! Fits what tools and answers are made of: types, `const`, `enum`, `default`, `examples`, bounds,
//! nesting, local `$ref`, the first of `anyOf` and `oneOf`, all of `allOf`. It does not satisfy
//! `pattern`, `not`, or `if`. Work is bounded by depth and by a budget of values.

use serde_json::{Map, Value, json};

const MAX_DEPTH: usize = 12;
const MAX_VALUES: usize = 2_000;
const MAX_ITEMS: u64 = 16;
const MAX_LENGTH: u64 = 4_096;

/// `hints` is an object whose property of the same name is preferred where it fits.
pub(super) fn sample(schema: &Value, hints: &Value) -> Value {
    Sampler { root: schema, hints, budget: MAX_VALUES }.value(schema, "value", 0)
}

struct Sampler<'a> {
    root: &'a Value,
    hints: &'a Value,
    budget: usize,
}

impl Sampler<'_> {
    fn value(&mut self, schema: &Value, name: &str, depth: usize) -> Value {
        if depth > MAX_DEPTH || self.budget == 0 {
            return Value::Null;
        }
        self.budget -= 1;
        if let Some(target) = self.resolve(schema) {
            return self.value(&target, name, depth + 1);
        }
        if let Some(value) = stated(schema) {
            return value;
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            let merged = self.merge(schema, parts);
            return self.value(&merged, name, depth + 1);
        }
        let first = ["anyOf", "oneOf"].into_iter().find_map(|key| schema.get(key)?.get(0));
        if let Some(first) = first {
            let mut without = schema.clone();
            if let Some(object) = without.as_object_mut() {
                object.remove("anyOf");
                object.remove("oneOf");
            }
            let merged = self.merge(&without, std::slice::from_ref(first));
            return self.value(&merged, name, depth + 1);
        }
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, name, depth),
            "integer" => integer(schema),
            "number" => number(schema),
            "boolean" => Value::Bool(true),
            "null" => Value::Null,
            _ => Value::String(text(schema, name)),
        }
    }

    /// Required properties, and optional ones that a hint names.
    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let mut object = Map::new();
        for (name, property) in properties {
            if let Some(hint) = self.hint(name, property) {
                object.insert(name.clone(), hint);
            } else if required.contains(&name.as_str()) {
                object.insert(name.clone(), self.value(property, name, depth + 1));
            }
        }
        for name in required {
            if !properties.contains_key(name) {
                object.insert(name.to_owned(), Value::String(name.to_owned()));
            }
        }
        Value::Object(object)
    }

    fn array(&mut self, schema: &Value, name: &str, depth: usize) -> Value {
        let prefix = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let most = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(MAX_ITEMS).min(MAX_ITEMS);
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).clamp(1, MAX_ITEMS).min(most);
        let free = Value::Bool(true);
        let items = schema.get("items").unwrap_or(&free);
        let unique = schema.get("uniqueItems").and_then(Value::as_bool) == Some(true);
        let mut values = Vec::new();
        for index in 0..usize::try_from(least).unwrap_or(1) {
            let value = self.value(prefix.get(index).unwrap_or(items), name, depth + 1);
            values.push(if unique { distinct(value, index) } else { value });
        }
        Value::Array(values)
    }

    /// The hint of this name, where it fits the property's schema.
    fn hint(&self, name: &str, schema: &Value) -> Option<Value> {
        let hint = self.hints.get(name)?;
        let mut alone = self.resolve(schema).unwrap_or_else(|| schema.clone());
        let object = alone.as_object_mut()?;
        for key in ["$defs", "definitions"] {
            if let Some(definitions) = self.root.get(key) {
                object.insert(key.to_owned(), definitions.clone());
            }
        }
        jsonschema::validator_for(&alone).is_ok_and(|schema| schema.is_valid(hint)).then(|| hint.clone())
    }

    /// What a local `$ref` (`#/$defs/point`) points at.
    fn resolve(&self, schema: &Value) -> Option<Value> {
        let pointer = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.root.pointer(pointer).cloned()
    }

    /// One object schema with the keywords of all parts; later parts win, properties and required add up.
    fn merge(&self, schema: &Value, parts: &[Value]) -> Value {
        let mut merged = schema.as_object().cloned().unwrap_or_default();
        merged.remove("allOf");
        for part in parts {
            let part = self.resolve(part).unwrap_or_else(|| part.clone());
            let Value::Object(part) = part else { continue };
            for (key, value) in part {
                match (merged.get_mut(&key), value) {
                    (Some(Value::Object(ours)), Value::Object(theirs)) if key == "properties" => {
                        ours.extend(theirs);
                    }
                    (Some(Value::Array(ours)), Value::Array(theirs)) if key == "required" => {
                        ours.extend(theirs);
                    }
                    (_, value) => {
                        merged.insert(key, value);
                    }
                }
            }
        }
        Value::Object(merged)
    }
}

/// A value that the schema itself names.
fn stated(schema: &Value) -> Option<Value> {
    schema
        .get("const")
        .or_else(|| schema.get("default"))
        .or_else(|| schema.get("examples")?.get(0))
        .or_else(|| schema.get("enum")?.get(0))
        .cloned()
}

/// The schema's type, the first that is not `null` of several, else what its keywords hint at.
fn kind(schema: &Value) -> &str {
    let stated = match schema.get("type") {
        Some(Value::Array(types)) => {
            let mut names = types.iter().filter_map(Value::as_str);
            names.clone().find(|name| *name != "null").or_else(|| names.next())
        }
        Some(value) => value.as_str(),
        None => None,
    };
    stated.unwrap_or_else(|| {
        let has = |key| schema.get(key).is_some();
        if has("properties") || has("required") {
            "object"
        } else if has("items") || has("prefixItems") {
            "array"
        } else if has("minimum") || has("maximum") {
            "number"
        } else {
            "string"
        }
    })
}

/// The smallest allowed integer from 1 up, or the largest allowed one below it.
fn integer(schema: &Value) -> Value {
    let bound = |key| schema.get(key).and_then(Value::as_f64);
    let least = bound("minimum")
        .map(f64::ceil)
        .into_iter()
        .chain(bound("exclusiveMinimum").map(|n| n.floor() + 1.0))
        .fold(1.0, f64::max);
    let most = bound("maximum")
        .map(f64::floor)
        .into_iter()
        .chain(bound("exclusiveMaximum").map(|n| n.ceil() - 1.0))
        .fold(f64::INFINITY, f64::min);
    let step = bound("multipleOf").filter(|step| *step >= 1.0).unwrap_or(1.0);
    let up = (least / step).ceil() * step;
    let value = if up > most { (most / step).floor() * step } else { up };
    // A float cast saturates, so absurd bounds give an absurd integer, not a panic.
    json!(value as i64)
}

fn number(schema: &Value) -> Value {
    let bound = |key| schema.get(key).and_then(Value::as_f64);
    if let Some(step) = bound("multipleOf").filter(|step| *step > 0.0 && *step < 1.0) {
        let up = (bound("minimum").unwrap_or(0.0) / step).ceil() * step;
        return json!(up);
    }
    let whole = integer(schema).as_f64().unwrap_or(1.0);
    let low = bound("exclusiveMinimum").or_else(|| bound("minimum"));
    let high = bound("exclusiveMaximum").or_else(|| bound("maximum"));
    match (low, high) {
        (Some(low), Some(high)) if whole <= low || whole >= high => json!(f64::midpoint(low, high)),
        (None, Some(high)) if whole >= high => json!(high - 1.0),
        _ => json!(whole),
    }
}

fn text(schema: &Value, name: &str) -> String {
    let formatted = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => Some("2026-01-02T03:04:05Z"),
        Some("date") => Some("2026-01-02"),
        Some("time") => Some("03:04:05Z"),
        Some("duration") => Some("PT1M"),
        Some("email") => Some("someone@example.com"),
        Some("hostname") => Some("example.com"),
        Some("ipv4") => Some("192.0.2.1"),
        Some("ipv6") => Some("2001:db8::1"),
        Some("uri" | "url" | "iri") => Some("https://example.com/"),
        Some("uuid") => Some("00000000-0000-4000-8000-000000000000"),
        _ => None,
    };
    if let Some(text) = formatted {
        return text.to_owned();
    }
    let length = |key| schema.get(key).and_then(Value::as_u64);
    let least = usize::try_from(length("minLength").unwrap_or(0).min(MAX_LENGTH)).unwrap_or(0);
    let most = length("maxLength").and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let text: String = name.chars().take(most).collect();
    let missing = least.saturating_sub(text.chars().count());
    text + &"x".repeat(missing)
}

fn distinct(value: Value, index: usize) -> Value {
    match value {
        Value::String(text) if index > 0 => json!(format!("{text}{index}")),
        Value::Number(number) if index > 0 => match number.as_i64() {
            Some(n) => json!(n.saturating_add(i64::try_from(index).unwrap_or(0))),
            None => Value::Number(number),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(schema: Value, hints: Value) -> Value {
        let value = sample(&schema, &hints);
        assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&value), "{value} against {schema}");
        assert_eq!(value, sample(&schema, &hints));
        value
    }

    #[test]
    fn values_fit_the_schemas_they_are_made_from() {
        for schema in [
            json!({}),
            json!({"const": {"a": 1}}),
            json!({"enum": ["b", "a"]}),
            json!({"type": "string", "minLength": 9, "maxLength": 12}),
            json!({"type": "string", "maxLength": 2}),
            json!({"type": "integer", "minimum": 7, "multipleOf": 5}),
            json!({"type": "integer", "maximum": -3}),
            json!({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 3}),
            json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}),
            json!({"type": "number", "minimum": 0.3, "multipleOf": 0.25}),
            json!({"type": ["null", "boolean"]}),
            json!({"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": true}),
            json!({"type": "array", "maxItems": 0}),
            json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
            json!({"type": "object", "required": ["free"]}),
            json!({"allOf": [
                {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"type": "string", "format": "date"}}, "required": ["b"]},
            ]}),
            json!({"$defs": {"p": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}},
                "type": "object", "properties": {"at": {"$ref": "#/$defs/p"}}, "required": ["at"]}),
        ] {
            fits(schema, Value::Null);
        }
    }

    #[test]
    fn a_hint_wins_only_where_it_fits() {
        let schema = json!({"type": "object", "additionalProperties": false,
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 3}, "note": {"type": "string"}},
            "required": ["city", "days"]});
        let value = fits(schema, json!({"city": "Oslo", "days": "many", "note": "hi", "other": 1}));
        assert_eq!(value, json!({"city": "Oslo", "days": 3, "note": "hi"}));
    }

    #[test]
    fn a_schema_that_never_ends_does() {
        let node = json!({"$ref": "#", "x": 1});
        let schema = json!({"type": "object", "properties": {"l": node, "r": node, "all": {"type": "array", "minItems": 999_999_999, "items": node}},
            "required": ["l", "r", "all"]});
        assert!(sample(&schema, &Value::Null).to_string().len() < 200_000);
    }
}
