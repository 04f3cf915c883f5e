//! Server-sent events, read from bytes that may be split anywhere (WHATWG HTML, section 9.2.6).
//!
//! Lines and events are bounded. Only `event` and `data` are kept; `id`, `retry` and comments are
//! read over. Unlike a browser, an event that the end of the stream cuts off before its blank line
//! still counts: servers forget that line, and a torn JSON text is noticed by whoever parses it.

/// An event that carries data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Empty unless the server named a type.
    pub name: String,
    pub data: String,
}

/// A line or an event is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

pub(super) struct SseParser {
    limit: usize,
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    after_cr: bool,
    first_line: bool,
}

impl SseParser {
    /// `limit` is the most bytes of a line, and of an event's data.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            event: Event::default(),
            has_data: false,
            after_cr: false,
            first_line: true,
        }
    }

    /// The events that these bytes complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()?),
                _ if self.line.len() >= self.limit => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    /// The event that was still open when the stream ended.
    pub fn finish(mut self) -> Result<Option<Event>, TooLong> {
        let last = self.end_line()?;
        Ok(last.or_else(|| self.dispatch()))
    }

    fn end_line(&mut self) -> Result<Option<Event>, TooLong> {
        let bytes = std::mem::take(&mut self.line);
        let decoded = String::from_utf8_lossy(&bytes);
        let mut line = decoded.as_ref();
        if std::mem::replace(&mut self.first_line, false) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.event.data.len() + value.len() >= self.limit {
                    return Err(TooLong);
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<Event> {
        let event = std::mem::take(&mut self.event);
        std::mem::replace(&mut self.has_data, false).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = SseParser::new(1_000);
        let mut events: Vec<Event> = chunks.iter().flat_map(|chunk| parser.push(chunk).unwrap()).collect();
        events.extend(parser.finish().unwrap());
        events.into_iter().map(|event| (event.name, event.data)).collect()
    }

    fn event(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    const STREAM: &str = "\u{feff}: hello\r\ndata: grüße\r\ndata: 🦀\r\n\r\nevent:error\rdata:one\rdata:  two\rdata\r\r\
        id: 7\nretry: 5\n\nevent: ping\n\nunknown: x\ndata: [DONE]";

    fn expected() -> Vec<(String, String)> {
        vec![event("", "grüße\n🦀"), event("error", "one\n two\n"), event("", "[DONE]")]
    }

    #[test]
    fn line_ends_comments_and_fields() {
        assert_eq!(parse(&[STREAM.as_bytes()]), expected());
    }

    #[test]
    fn every_pair_of_splits_gives_the_same_events() {
        let bytes = STREAM.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let chunks = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(parse(&chunks), expected(), "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn byte_by_byte() {
        let chunks: Vec<&[u8]> = STREAM.as_bytes().chunks(1).collect();
        assert_eq!(parse(&chunks), expected());
    }

    #[test]
    fn lines_and_events_are_bounded() {
        assert_eq!(SseParser::new(10).push(b"data: 12345"), Err(TooLong));
        assert_eq!(SseParser::new(10).push(b"data: 1234\ndata: 1234\ndata: 1234\n"), Err(TooLong));
        assert!(SseParser::new(10).push(b": 345\n: 345\n: 345\n: 345\n").unwrap().is_empty());
    }

    #[test]
    fn bytes_that_are_not_utf8_do_not_end_the_stream() {
        assert_eq!(parse(&[b"data: \xff\n\n"]), [event("", "\u{fffd}")]);
    }
}
