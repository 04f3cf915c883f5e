//! The cap on what a tool gives back. Text is cut and marked; a structure is refused, because half
//! of one would be read as all of it.

use serde_json::Value;

use super::ToolFailure;

const MARK: &str = "… [truncated]";

/// The output, if it takes at most `max_bytes` as compact JSON.
pub(super) fn cap(output: Value, max_bytes: usize) -> Result<Value, ToolFailure> {
    match output {
        Value::String(text) => Ok(Value::String(cut(text, max_bytes))),
        structure => {
            let size = structure.to_string().len();
            if size <= max_bytes {
                return Ok(structure);
            }
            let message = format!("The output has {size} bytes; {max_bytes} are allowed.");
            Err(ToolFailure::new("output_too_large", message))
        }
    }
}

/// The longest marked beginning of `text` that takes at most `max_bytes` as a JSON string.
pub(super) fn cut(text: String, max_bytes: usize) -> String {
    if text.len() * 6 + 2 <= max_bytes || escaped(&text) + 2 <= max_bytes {
        return text;
    }
    let room = max_bytes.saturating_sub(MARK.len() + 2);
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += escaped(c.encode_utf8(&mut [0; 4]));
        used > room
    });
    format!("{}{MARK}", &text[..end.map_or(text.len(), |(at, _)| at)])
}

/// Bytes of a text inside a JSON string (RFC 8259, as serde_json writes it).
fn escaped(text: &str) -> usize {
    let width = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0C => 2,
        0x00..=0x1F => 6,
        _ => 1,
    };
    text.bytes().map(width).sum()
}
