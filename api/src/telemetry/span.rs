//! From spans of the process to spans of a trace (W3C Trace Context, OpenTelemetry data model).

use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use service::clock::Clock;
use service::ids::Ids;
use tokio::sync::mpsc;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Parcel;

const MOST_ATTRIBUTES: usize = 32;
const LONGEST_VALUE: usize = 200;

/// Spans that were lost because the collector was too slow.
const LOST: &str = "telemetry_spans_lost_total";

pub struct Spans {
    clock: Clock,
    ids: Ids,
    sender: mpsc::Sender<Parcel>,
}

impl Spans {
    pub fn new(clock: Clock, ids: Ids, sender: mpsc::Sender<Parcel>) -> Self {
        Self { clock, ids, sender }
    }
}

/// A span that is under way.
#[derive(Clone)]
struct Open {
    trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    started: DateTime<Utc>,
    fields: Fields,
}

/// A span with its end.
pub struct Ended {
    open: Open,
    name: &'static str,
    ended: DateTime<Utc>,
}

#[derive(Clone, Default)]
struct Fields {
    name: Option<String>,
    kind: Option<String>,
    parent: Option<([u8; 16], [u8; 8])>,
    failed: bool,
    attributes: Vec<(&'static str, Value)>,
}

impl<S> Layer<S> for Spans
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let above =
            span.scope().skip(1).find_map(|above| above.extensions().get::<Open>().map(|o| (o.trace, o.id)));
        let above = above.or(fields.parent);
        let mut own = [0; 8];
        self.ids.fill(&mut own);
        let open = Open {
            trace: above.map_or_else(|| self.ids.next().into_bytes(), |above| above.0),
            id: own,
            parent: above.map(|above| above.1),
            started: self.clock.now(),
            fields,
        };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        let ended = Ended { open, name: span.name(), ended: self.clock.now() };
        if self.sender.try_send(Parcel::Span(Box::new(ended))).is_err() {
            metrics::counter!(LOST).increment(1);
        }
    }
}

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        let text = value.as_str();
        match field.name() {
            "otel.name" => self.name = text.map(str::to_owned),
            "otel.kind" => self.kind = text.map(str::to_owned),
            "traceparent" => self.parent = text.and_then(traceparent),
            name => {
                self.failed |= name == "error.type";
                let has_room = self.attributes.len() < MOST_ATTRIBUTES;
                match self.attributes.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, known)) => *known = value,
                    None if has_room => self.attributes.push((name, value)),
                    None => {}
                }
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, Value::String(value.chars().take(LONGEST_VALUE).collect()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }
}

impl Ended {
    /// As OTLP's JSON has it.
    pub fn json(&self) -> Value {
        let Self { open: Open { trace, id, parent, started, fields }, name, ended } = self;
        let kind = match fields.kind.as_deref() {
            Some("server") => 2,
            Some("client") => 3,
            _ => 1,
        };
        let attributes: Vec<Value> =
            fields.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
        json!({
            "traceId": hex(trace),
            "spanId": hex(id),
            "parentSpanId": parent.as_ref().map(|parent| hex(parent)).unwrap_or_default(),
            "name": fields.name.as_deref().unwrap_or(name),
            "kind": kind,
            "startTimeUnixNano": nanos(*started),
            "endTimeUnixNano": nanos(*ended),
            "attributes": attributes,
            "status": if fields.failed { json!({ "code": 2 }) } else { json!({}) },
        })
    }
}

pub fn attribute(key: &str, value: &Value) -> Value {
    let value = match value {
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Number(number) if number.is_f64() => json!({ "doubleValue": number }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        other => json!({ "stringValue": other.as_str().unwrap_or_default() }),
    };
    json!({ "key": key, "value": value })
}

fn nanos(time: DateTime<Utc>) -> String {
    (i128::from(time.timestamp_micros()) * 1_000).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `00-<trace>-<span>-<flags>` (<https://www.w3.org/TR/trace-context/#traceparent-header>).
fn traceparent(text: &str) -> Option<([u8; 16], [u8; 8])> {
    let mut parts = text.split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" {
        return None;
    }
    let (trace, span) = (unhex::<16>(trace)?, unhex::<8>(span)?);
    (trace != [0; 16] && span != [0; 8]).then_some((trace, span))
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let mut bytes = [0; N];
    if !lower || text.len() != 2 * N {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_parents_are_followed() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let (trace, span) = traceparent(good).unwrap();
        assert_eq!(
            (hex(&trace), hex(&span)),
            ("4bf92f3577b34da6a3ce929d0e0e4736".into(), "00f067aa0ba902b7".into())
        );
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-ü",
        ] {
            assert_eq!(traceparent(bad), None, "{bad}");
        }
    }
}
