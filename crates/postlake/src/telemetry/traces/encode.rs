//! Spans as OTLP has them: Protocol Buffers and the JSON form of the same messages
//! (`opentelemetry/proto/trace/v1/trace.proto`, and its mapping to JSON in the OTLP specification).

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::context::Context;
use super::span::{Span, Value};

/// Who made the spans.
const SCOPE: &str = "postlake";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The status of a span that has failed; the others have none.
const ERROR: u64 = 2;

/// An `ExportTraceServiceRequest` in Protocol Buffers.
pub(super) fn protobuf(resource: &BTreeMap<String, String>, spans: &[Span]) -> Vec<u8> {
    message(|request| {
        request.message(1, |of_resource| {
            of_resource.message(1, |what| {
                for (key, value) in resource {
                    what.message(1, |pair| pair_of(pair, key, &Value::Text(value.clone())));
                }
            });
            of_resource.message(2, |of_scope| {
                of_scope.message(1, |scope| {
                    scope.bytes(1, SCOPE.as_bytes());
                    scope.bytes(2, VERSION.as_bytes());
                });
                for span in spans {
                    of_scope.message(2, |message| write_span(message, span));
                }
            });
        });
    })
}

fn write_span(message: &mut Message, span: &Span) {
    message.bytes(1, &span.context.trace.to_be_bytes());
    message.bytes(2, &span.context.span.to_be_bytes());
    if let Some(parent) = span.parent {
        message.bytes(4, &parent.to_be_bytes());
    }
    message.bytes(5, span.name.as_bytes());
    message.number(6, span.kind as u64);
    message.fixed64(7, span.start);
    message.fixed64(8, span.end);
    for (key, value) in &span.attributes {
        message.message(9, |pair| pair_of(pair, key, value));
    }
    for link in &span.links {
        message.message(13, |message| {
            message.bytes(1, &link.trace.to_be_bytes());
            message.bytes(2, &link.span.to_be_bytes());
        });
    }
    if span.links_left_out > 0 {
        message.number(14, span.links_left_out.into());
    }
    if span.failed {
        message.message(15, |status| status.number(3, ERROR));
    }
    message.fixed32(16, span.flags());
}

fn pair_of(pair: &mut Message, key: &str, value: &Value) {
    pair.bytes(1, key.as_bytes());
    pair.message(2, |any| match value {
        Value::Text(text) => any.bytes(1, text.as_bytes()),
        Value::Flag(flag) => any.number(2, u64::from(*flag)),
        Value::Number(number) => any.number(3, number.cast_unsigned()),
    });
}

/// A message of Protocol Buffers that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

fn message(write: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::default();
    write(&mut message);
    message.0
}

impl Message {
    fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        self.bytes(field, &message(write));
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, field: u32, number: u64) {
        self.tag(field, 0);
        self.varint(number);
    }

    fn fixed64(&mut self, field: u32, number: u64) {
        self.tag(field, 1);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn fixed32(&mut self, field: u32, number: u32) {
        self.tag(field, 5);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn tag(&mut self, field: u32, wire_type: u32) {
        self.varint((field << 3 | wire_type).into());
    }

    fn varint(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                return self.0.push(low & 0x7f);
            }
            self.0.push(low | 0x80);
        }
    }
}

/// The same in JSON.
pub(super) fn json(resource: &BTreeMap<String, String>, spans: &[Span]) -> Vec<u8> {
    let resource: Vec<_> = resource
        .iter()
        .map(|(key, value)| json_pair(key, &Value::Text(value.clone())))
        .collect();
    let spans: Vec<_> = spans.iter().map(json_span).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": { "name": SCOPE, "version": VERSION }, "spans": spans }],
    }]})
    .to_string()
    .into_bytes()
}

fn json_span(span: &Span) -> Json {
    let attributes = span.attributes.iter();
    let attributes: Vec<_> = attributes
        .map(|(key, value)| json_pair(key, value))
        .collect();
    let link = |link: &Context| json!({ "traceId": format!("{:032x}", link.trace), "spanId": format!("{:016x}", link.span) });
    json!({
        "traceId": format!("{:032x}", span.context.trace),
        "spanId": format!("{:016x}", span.context.span),
        "parentSpanId": span.parent.map_or(String::new(), |parent| format!("{parent:016x}")),
        "name": span.name,
        "kind": span.kind as u64,
        "startTimeUnixNano": span.start.to_string(),
        "endTimeUnixNano": span.end.to_string(),
        "attributes": attributes,
        "links": span.links.iter().map(link).collect::<Vec<_>>(),
        "droppedLinksCount": span.links_left_out,
        "status": if span.failed { json!({ "code": ERROR }) } else { json!({}) },
        "flags": span.flags(),
    })
}

fn json_pair(key: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({ "stringValue": text }),
        Value::Flag(flag) => json!({ "boolValue": flag }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
    };
    json!({ "key": key, "value": value })
}

/// How many spans the collector says it has not kept (`partial_success.rejected_spans`), in an answer in
/// Protocol Buffers; none when it says nothing of it.
pub(super) fn rejected_in_protobuf(answer: &[u8]) -> u64 {
    let partial = field_of(answer, 0x0a).map(|(length, rest)| {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        rest.get(..length).unwrap_or(rest)
    });
    let rejected = partial.and_then(|partial| field_of(partial, 0x08));
    rejected.map_or(0, |(number, _)| number)
}

/// The number behind the tag that the message begins with.
fn field_of(message: &[u8], tag: u8) -> Option<(u64, &[u8])> {
    let (first, mut rest) = message.split_first()?;
    if *first != tag {
        return None;
    }
    let mut number = 0;
    for place in 0..10 {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        number |= u64::from(byte & 0x7f).checked_shl(place * 7)?;
        if byte & 0x80 == 0 {
            return Some((number, rest));
        }
    }
    None
}

/// The same in an answer in JSON, where a number of 64 bits is text.
pub(super) fn rejected_in_json(answer: &[u8]) -> u64 {
    let answer: Json = serde_json::from_slice(answer).unwrap_or_default();
    let rejected = answer.pointer("/partialSuccess/rejectedSpans");
    let number = |value: &Json| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    rejected.and_then(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_collector_has_not_kept_is_read_from_its_answer() {
        let cases: [(&[u8], u64); 6] = [
            (b"", 0),
            (b"\x0a\x03\x08\xac\x02", 300),
            (b"\x0a\x07\x08\x05\x12\x03why", 5),
            (b"\x0a\x05\x12\x03why", 0),
            (b"\x0a\x03\x08\xff", 0),
            (b"<html>", 0),
        ];
        for (answer, rejected) in cases {
            assert_eq!(rejected_in_protobuf(answer), rejected, "{answer:?}");
        }
        for (answer, rejected) in [
            ("{}", 0),
            (r#"{"partialSuccess":{"rejectedSpans":"7"}}"#, 7),
            (r#"{"partialSuccess":{"rejectedSpans":7}}"#, 7),
            ("<html>", 0),
        ] {
            assert_eq!(rejected_in_json(answer.as_bytes()), rejected, "{answer}");
        }
    }
}
