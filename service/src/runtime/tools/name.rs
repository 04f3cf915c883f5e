//! Names that every model provider accepts for a tool.

use crate::error::Error;

/// `^[a-zA-Z0-9_-]{1,64}$`, the rule of the OpenAI and Anthropic APIs.
pub fn check_tool_name(name: &str) -> Result<(), Error> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(safe) {
        return Ok(());
    }
    Err(Error::invalid("/name", "name", "A tool's name has 1 to 64 letters, digits, _ or -."))
}
