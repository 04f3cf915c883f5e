//! The templated URL. Invariant: an argument fills part of a path segment or of a query value and
//! nothing else; scheme, host, port and the path's shape are the author's.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use url::Url;

use crate::templates::{Context, Text};

const MAX_TEMPLATE: usize = 2048;
const MAX_URL: usize = 8192;

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[derive(Debug)]
pub(super) struct Location {
    text: Text,
    sample: Url,
}

impl Location {
    /// # Errors
    /// Why the template is refused, as a sentence for the author.
    pub fn parse(template: &str) -> Result<Self, String> {
        if template.len() > MAX_TEMPLATE {
            return Err(format!("A URL has at most {MAX_TEMPLATE} bytes."));
        }
        let text = Text::compile(template)?;
        if !has_literal_origin(&text) {
            return Err("It starts with https:// or http:// and a literal host, then a /.".to_owned());
        }
        let sample = text.with_placeholder("x");
        if sample.contains(|c: char| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '#')) {
            return Err("Spaces, control characters, \\ and # are not allowed.".to_owned());
        }
        if has_dot_segment(&sample) {
            return Err("Path segments . and .. are not allowed.".to_owned());
        }
        let sample = Url::parse(&sample).map_err(|error| format!("Not a URL: {error}."))?;
        if !sample.username().is_empty() || sample.password().is_some() {
            return Err("Credentials belong in secrets, not in the URL.".to_owned());
        }
        Ok(Self { text, sample })
    }

    pub fn sample(&self) -> &Url {
        &self.sample
    }

    /// # Errors
    /// Why the arguments give no URL.
    pub fn render(&self, arguments: &Context) -> Result<Url, String> {
        let text = self.text.render_with(arguments, encode)?;
        if text.len() > MAX_URL {
            return Err(format!("the URL has more than {MAX_URL} bytes"));
        }
        if has_dot_segment(&text) {
            return Err("an argument makes the path segment . or ..".to_owned());
        }
        let url = Url::parse(&text).map_err(|error| error.to_string())?;
        if url.origin() != self.sample.origin() {
            return Err("an argument changes the host".to_owned());
        }
        Ok(url)
    }
}

/// An empty value is refused: `/users/{{ id }}` must not become `/users/`.
fn encode(value: Value) -> Result<String, String> {
    let text = match value {
        Value::String(text) if text.is_empty() => return Err("an argument in the URL is empty".to_owned()),
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err("an argument in the URL has to be text, a number or a boolean".to_owned());
        }
    };
    Ok(utf8_percent_encode(&text, RESERVED).to_string())
}

fn has_literal_origin(text: &Text) -> bool {
    let prefix = text.literal_prefix();
    let authority = prefix.strip_prefix("https://").or_else(|| prefix.strip_prefix("http://"));
    authority.is_some_and(|rest| match rest.find(['/', '?']) {
        Some(end) => end > 0,
        None => !rest.is_empty() && text.is_literal(),
    })
}

/// Whether the path holds a segment that a URL parser would resolve away.
fn has_dot_segment(url: &str) -> bool {
    let path = url.split_once('?').map_or(url, |(path, _)| path);
    path.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}
