//! One text for equal JSON values, whatever the order of their members.

use serde_json::Value;

/// Compact JSON with sorted keys: tells whether a tool is called again with the same arguments.
pub fn canonical_json(value: &Value) -> String {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    sorted.to_string()
}
