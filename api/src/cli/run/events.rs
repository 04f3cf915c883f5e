//! Server-sent events out of a stream of bytes that is cut anywhere.

/// Bytes of one event; a longer one is dropped.
const LONGEST: usize = 4 << 20;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub kind: String,
    pub data: String,
}

/// What came and is no whole event yet.
#[derive(Default)]
pub struct Lines {
    rest: Vec<u8>,
    event: Event,
}

impl Lines {
    /// The events that are whole with this chunk.
    pub fn take(&mut self, chunk: &[u8]) -> Vec<Event> {
        self.rest.extend_from_slice(chunk);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    events.push(event);
                }
            } else if let Some(data) = field(line, "data") {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(data);
            } else if let Some(kind) = field(line, "event") {
                kind.clone_into(&mut self.event.kind);
            }
        }
        if self.rest.len() > LONGEST {
            self.rest.clear();
        }
        events
    }
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.strip_prefix(name)?.strip_prefix(':')?;
    Some(value.strip_prefix(' ').unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_the_stream_is_cut() {
        let text =
            "id: 1\nevent: a\ndata: {\"x\":\ndata: 1}\n\n: ping\n\nid: 2\r\nevent: b\r\ndata: é\r\n\r\n";
        let event = |kind: &str, data: &str| Event { kind: kind.to_owned(), data: data.to_owned() };
        let expected = [event("a", "{\"x\":\n1}"), event("b", "é")];
        for size in [1, 2, 3, 7, 1000] {
            let mut lines = Lines::default();
            let found: Vec<_> = text.as_bytes().chunks(size).flat_map(|chunk| lines.take(chunk)).collect();
            assert_eq!(found, expected, "{size}");
        }
    }
}
