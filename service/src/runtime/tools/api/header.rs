//! Which headers a configuration may set, and what a value may hold.

use crate::templates::{Context, Text};

const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 8192;

/// Framing, routing and content coding belong to the client.
const CLIENT: [&str; 12] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Credentials in a plain header would be readable by everybody who may read the tool.
const CREDENTIAL: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A header of the configuration, its name in lower case.
pub(super) fn compile(name: &str, value: &str) -> Result<(String, Text), String> {
    let name = check_name(name)?;
    if CREDENTIAL.contains(&name.as_str()) {
        return Err("Credentials belong in secrets.".to_owned());
    }
    let text = Text::compile(value)?;
    check_value(&text.with_placeholder("x"))?;
    Ok((name, text))
}

/// The header that carries a secret, in lower case.
pub(super) fn check_secret_name(name: &str) -> Result<String, String> {
    check_name(name)
}

pub(super) fn render(value: &Text, arguments: &Context) -> Result<String, String> {
    let value = value.render_with(arguments, |value| match value {
        serde_json::Value::String(text) => Ok(text),
        other => Ok(other.to_string()),
    })?;
    check_value(&value)?;
    Ok(value)
}

/// Visible characters and spaces alone: a line break would begin another header.
pub(super) fn check_value(value: &str) -> Result<(), String> {
    if value.len() > MAX_VALUE {
        return Err(format!("a header has at most {MAX_VALUE} bytes"));
    }
    if value.contains(char::is_control) {
        return Err("a header holds no control characters".to_owned());
    }
    Ok(())
}

/// RFC 9110 `token`.
fn check_name(name: &str) -> Result<String, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(token) {
        return Err("Not the name of a header.".to_owned());
    }
    let name = name.to_ascii_lowercase();
    if CLIENT.contains(&name.as_str()) {
        return Err("This header is set by the client itself.".to_owned());
    }
    Ok(name)
}
