//! An open stream of server-sent events, read one by one.

use serde_json::Value;

use super::Client;

pub struct EventStream {
    response: reqwest::Response,
    text: String,
}

/// What came between two empty lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub id: Option<String>,
    /// Empty for a comment.
    pub event: String,
    pub data: Value,
}

impl EventStream {
    pub async fn open(caller: &Client, path: &str, last: Option<&str>) -> Self {
        let mut request = caller.request("GET", path).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event or comment; `None` at the end.
    pub async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                let data = field("data: ").map_or(Value::Null, |data| serde_json::from_str(data).unwrap());
                let event = field("event: ").unwrap_or_default().to_owned();
                let sent = Sent { id: field("id: ").map(str::to_owned), event, data };
                self.text = rest.to_owned();
                return Some(sent);
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Events up to the one that is meant, which is among them.
    pub async fn until(&mut self, is_it: impl Fn(&Sent) -> bool) -> Vec<Sent> {
        let mut events = Vec::new();
        loop {
            let sent = self.next().await.unwrap_or_else(|| panic!("the stream ended: {events:?}"));
            let found = is_it(&sent);
            events.extend((!sent.event.is_empty()).then_some(sent));
            if found {
                return events;
            }
        }
    }

    /// All events up to the end.
    pub async fn rest(mut self) -> Vec<Sent> {
        let mut events = Vec::new();
        while let Some(sent) = self.next().await {
            events.extend((!sent.event.is_empty()).then_some(sent));
        }
        events
    }
}
