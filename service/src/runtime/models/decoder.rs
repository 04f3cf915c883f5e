//! Bytes of a successful answer to a reply: an event stream, or the plain JSON with which some
//! servers answer although a stream was asked for. The first byte tells which.

use serde_json::Value;

use super::refusals::protocol;
use super::sse::{Event, SseParser, TooLong};
use super::{DeltaSink, ModelError, ModelErrorKind, ModelReply, ModelRequest};

/// Bytes of a line, of an event, and of an answer in one piece.
const MAX_EVENT: usize = 4 << 20;

/// One reply put together from what a protocol sends.
pub(super) trait Assemble: Default + Send {
    /// The JSON of one event; true when nothing after it matters.
    fn add(&mut self, event: &Value, deltas: &dyn DeltaSink) -> Result<bool, ModelError>;

    /// A whole answer.
    fn whole(&mut self, body: &Value, deltas: &dyn DeltaSink) -> Result<(), ModelError>;

    /// The server has said that it ends.
    fn end(&mut self);

    /// Whether what has come so far is a full answer, even if the connection breaks now.
    fn is_complete(&self) -> bool;

    fn finish(self, request: &ModelRequest, request_id: Option<String>) -> Result<ModelReply, ModelError>;
}

pub(super) struct Decoder<A> {
    form: Form,
    assembly: A,
}

enum Form {
    Unknown,
    Events(SseParser),
    Whole(Vec<u8>),
}

impl<A: Assemble> Decoder<A> {
    pub fn new() -> Self {
        Self { form: Form::Unknown, assembly: A::default() }
    }

    pub fn is_complete(&self) -> bool {
        self.assembly.is_complete()
    }

    /// True when the answer has said that it ends: nothing after it matters.
    pub fn push(&mut self, bytes: &[u8], deltas: &dyn DeltaSink) -> Result<bool, ModelError> {
        if matches!(self.form, Form::Unknown) {
            self.form = match bytes.trim_ascii_start().first() {
                None => return Ok(false),
                Some(b'{' | b'[') => Form::Whole(Vec::new()),
                Some(b'<') => return Err(protocol("a web page; the base URL may be wrong")),
                Some(_) => Form::Events(SseParser::new(MAX_EVENT)),
            };
        }
        match &mut self.form {
            Form::Whole(body) if body.len() + bytes.len() > MAX_EVENT => Err(TooLong.into()),
            Form::Whole(body) => {
                body.extend_from_slice(bytes);
                Ok(false)
            }
            Form::Events(parser) => {
                for event in parser.push(bytes)? {
                    if self.event(&event, deltas)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Form::Unknown => Ok(false),
        }
    }

    /// The reply, once the stream has ended.
    pub fn finish(
        mut self,
        request: &ModelRequest,
        request_id: Option<String>,
        deltas: &dyn DeltaSink,
    ) -> Result<ModelReply, ModelError> {
        match std::mem::replace(&mut self.form, Form::Unknown) {
            Form::Unknown => {}
            Form::Events(parser) => {
                if let Some(event) = parser.finish()? {
                    // What is not JSON here was torn by the end of the stream.
                    self.event(&event, deltas).map_err(|error| match error.kind {
                        ModelErrorKind::Protocol => broken(),
                        _ => error,
                    })?;
                }
            }
            Form::Whole(body) => {
                let value = serde_json::from_slice::<Value>(&body).map_err(|_| broken())?;
                self.assembly.whole(&value, deltas)?;
            }
        }
        if self.assembly.is_complete() { self.assembly.finish(request, request_id) } else { Err(broken()) }
    }

    fn event(&mut self, event: &Event, deltas: &dyn DeltaSink) -> Result<bool, ModelError> {
        let data = event.data.trim();
        if data == "[DONE]" {
            self.assembly.end();
            return Ok(true);
        }
        if data.is_empty() {
            return Ok(false);
        }
        match serde_json::from_str::<Value>(data) {
            Ok(value) => self.assembly.add(&value, deltas),
            Err(_) if event.name == "error" => {
                Err(ModelError::new(ModelErrorKind::Overloaded, format!("The provider broke off: {data}")))
            }
            Err(_) => Err(protocol("an event that is not JSON")),
        }
    }
}

impl From<TooLong> for ModelError {
    fn from(TooLong: TooLong) -> Self {
        protocol(format!("a line or event of more than {MAX_EVENT} bytes"))
    }
}

fn broken() -> ModelError {
    ModelError::new(ModelErrorKind::Network, "The provider's answer broke off before it was complete.")
}
