//! Notes spans as they open and close.
//!
//! Fields with these names steer and are not sent: `otel.name` and `otel.kind` as everywhere;
//! `traceparent` is the header of the request; with `otel.joins` a span belongs to the first span that it
//! follows and that is kept, and is linked to the others; with `otel.discard` it is not worth sending.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use chrono::{DateTime, Utc};
use postlake_raw::clock::Clock;
use tokio::sync::mpsc;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{self, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::DROPPED;
use super::context::{Context, Sampling};
use super::span::{Kind, Span, Value};

/// The attributes that leave. Each is a number, a word of a closed list, a name from the configuration or
/// a name that we give: none holds anything that a sender or a reader can choose.
const ATTRIBUTES: [&str; 22] = [
    "db.collection.name",
    "error.type",
    "http.request.body.size",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "postlake.alerts",
    "postlake.batches",
    "postlake.blocked_streams",
    "postlake.body_bytes",
    "postlake.duplicates",
    "postlake.events",
    "postlake.items",
    "postlake.refusal",
    "postlake.rejects",
    "postlake.rows",
    "postlake.segment.bytes",
    "postlake.segment.key",
    "postlake.segments",
    "postlake.sink.name",
    "postlake.source",
    "postlake.versions",
];

/// Spans that one span is linked to at most, as in every SDK.
const MOST_LINKS: usize = 128;

/// Characters of a text at most.
const MOST_TEXT: usize = 256;

/// The layer that sees every span of ours.
#[derive(Debug)]
pub(crate) struct Collect {
    queue: mpsc::Sender<Span>,
    clock: Arc<dyn Clock>,
    sampling: Sampling,
}

/// A span that is open.
#[derive(Debug)]
struct Open {
    /// Its place; none yet when it waits for a span that it follows.
    context: Option<Context>,
    parent: Option<u64>,
    parent_is_remote: bool,
    at: DateTime<Utc>,
    began: Instant,
    /// When it was last left. It may be held on to longer.
    left: Option<Instant>,
    fields: Fields,
    links: Vec<Context>,
    links_left_out: u32,
}

impl Open {
    fn is_sampled(&self) -> bool {
        self.context.is_some_and(|context| context.sampled)
    }

    /// This span goes on with what `other` began.
    fn follow(&mut self, other: Context) {
        match self.context {
            None => {
                self.context = Some(other.child());
                self.parent = Some(other.span);
            }
            Some(_) if self.links.len() < MOST_LINKS => self.links.push(other),
            Some(_) => self.links_left_out = self.links_left_out.saturating_add(1),
        }
    }

    fn close(self, name: &'static str) -> Option<Span> {
        let context = self.context.filter(|context| context.sampled)?;
        let mut fields = self.fields;
        if fields.discard {
            return None;
        }
        if fields.kind == Kind::Server && !fields.has("http.response.status_code") {
            fields.note("error.type", Value::Text("client_gone".to_owned()));
        }
        let took = self.left.unwrap_or_else(Instant::now) - self.began;
        let start = nanos(self.at);
        Some(Span {
            context,
            parent: self.parent,
            parent_is_remote: self.parent_is_remote,
            failed: fields.has("error.type"),
            name: fields.name.unwrap_or_else(|| name.to_owned()),
            kind: fields.kind,
            start,
            end: start.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
            attributes: fields.attributes,
            links: self.links,
            links_left_out: self.links_left_out,
        })
    }
}

fn nanos(at: DateTime<Utc>) -> u64 {
    let nanos = at.timestamp_nanos_opt().unwrap_or_default();
    u64::try_from(nanos).unwrap_or_default()
}

impl Collect {
    pub(super) fn new(
        queue: mpsc::Sender<Span>,
        clock: Arc<dyn Clock>,
        sampling: Sampling,
    ) -> Collect {
        Collect {
            queue,
            clock,
            sampling,
        }
    }

    /// `parent`: the place of the span around it, if there is one.
    fn open(&self, fields: Fields, parent: Option<Option<Context>>) -> Open {
        let mut open = Open {
            context: None,
            parent: None,
            parent_is_remote: false,
            at: self.clock.now(),
            began: Instant::now(),
            left: None,
            fields,
            links: Vec::new(),
            links_left_out: 0,
        };
        match parent {
            Some(parent) => {
                open.context = parent.map(Context::child);
                open.parent = parent.map(|parent| parent.span);
            }
            None if open.fields.joins => {}
            None => {
                let traceparent = open.fields.traceparent.as_deref();
                let (context, parent) = self.sampling.begin(traceparent);
                open.context = Some(context);
                open.parent = parent;
                open.parent_is_remote = parent.is_some();
            }
        }
        open
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collect {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, all: layer::Context<'_, S>) {
        let Some(span) = all.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = span.parent().map(|parent| {
            let extensions = parent.extensions();
            extensions.get::<Open>().and_then(|open| open.context)
        });
        span.extensions_mut().insert(self.open(fields, parent));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, all: layer::Context<'_, S>) {
        let Some(span) = all.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.fields);
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, all: layer::Context<'_, S>) {
        let (Some(span), Some(follows)) = (all.span(id), all.span(follows)) else {
            return;
        };
        let other = {
            let extensions = follows.extensions();
            extensions.get::<Open>().and_then(|open| open.context)
        };
        if let Some(other) = other.filter(|other| other.sampled)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            open.follow(other);
        }
    }

    fn on_exit(&self, id: &Id, all: layer::Context<'_, S>) {
        let Some(span) = all.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>()
            && open.is_sampled()
        {
            open.left = Some(Instant::now());
        }
    }

    fn on_close(&self, id: Id, all: layer::Context<'_, S>) {
        let Some(span) = all.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        if let Some(ended) = open.close(span.name())
            && self.queue.try_send(ended).is_err()
        {
            DROPPED.fetch_add(1, Relaxed);
        }
    }
}

/// What the fields of a span say.
#[derive(Debug, Default)]
struct Fields {
    name: Option<String>,
    kind: Kind,
    traceparent: Option<String>,
    joins: bool,
    discard: bool,
    attributes: Vec<(&'static str, Value)>,
}

impl Fields {
    fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|(known, _)| *known == name)
    }

    /// Takes a value if its name is on the list; the last word counts.
    fn note(&mut self, name: &'static str, value: Value) {
        if ATTRIBUTES.binary_search(&name).is_err() {
            return;
        }
        match self.attributes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.attributes.push((name, value)),
        }
    }

    fn note_text(&mut self, name: &'static str, text: &str) {
        match name {
            "otel.name" => self.name = Some(text.to_owned()),
            "otel.kind" if text == "server" => self.kind = Kind::Server,
            "traceparent" => self.traceparent = Some(text.to_owned()),
            _ => self.note(name, Value::Text(text.chars().take(MOST_TEXT).collect())),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.note_text(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "otel.joins" => self.joins = value,
            "otel.discard" => self.discard = value,
            name => self.note(name, Value::Flag(value)),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field.name(), Value::Number(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.note(field.name(), Value::Number(value));
    }

    /// An error's text may hold anything.
    fn record_error(&mut self, _field: &Field, _value: &(dyn Error + 'static)) {}

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note_text(field.name(), &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests;
