//! JSON bodies to Arrow columns: one pass, no intermediate tree, one bad item never costs its batch.
//!
//! A [`Decoder`] takes batch after batch and gives back, on [`Decoder::finish`], one record batch for
//! each table together with the key of each row, so that the loader can drop the rows that the lake
//! already holds. `events + alerts + rejects = items` for every batch, asserted as it runs.

use std::borrow::Cow;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};

use crate::body;
use crate::index::{Index, Structure};
use crate::key::Key;
use crate::split::{self, Item, Items, MAX_DEPTH};

mod alert;
mod columns;
mod event;
mod fields;
mod item;
mod reject;
mod value;
mod walk;

use alert::AlertRows;
use event::EventRows;
pub use event::UNDATED_FLAG;
use item::{ItemKind, ItemReader};
pub use reject::RejectCode;
use reject::{Reject, RejectRows};

/// A batch as it lies in the raw store, with where it lies.
#[derive(Clone, Copy, Debug)]
pub struct BatchInput<'a> {
    /// `events` or `alerts`: the endpoint it came to. Routing is by content, not by this.
    pub source: &'a str,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// The sender's batch id, if it sent one.
    pub batch_id: Option<&'a str>,
    /// The request's `Content-Encoding`, if it had one.
    pub content_encoding: Option<&'a str>,
    /// The body's exact bytes.
    pub body: &'a [u8],
    /// Name of the stream that holds it.
    pub stream: &'a str,
    /// Number of the segment in the stream.
    pub segment: i64,
    /// Position of the batch in the segment, from 0.
    pub batch_index: i64,
}

/// The accounts of one batch: `items = events + alerts + rejects`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Elements of the array, pings left out; a body that is no array is one item.
    pub items: u64,
    /// Items that became event rows.
    pub events: u64,
    /// Items that became alert rows.
    pub alerts: u64,
    /// Items that were rejected.
    pub rejects: u64,
    /// `{"msys":{}}` elements, which carry nothing.
    pub pings: u64,
}

/// What tells a row from every other one, and where its equals would lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The idempotency key.
    pub key: Key,
    /// Partition of the row, in days since the epoch.
    pub day: i32,
    /// True if the item carried no usable time, so that `day` is the day of receipt and its equals
    /// may lie in any partition.
    pub undated: bool,
    /// Which of the batches given to the decoder since the last [`Decoder::finish`] it came from.
    pub batch: usize,
    /// Position of the item in its body.
    pub item_index: i64,
}

/// Everything that the batches since the last [`Decoder::finish`] held.
#[derive(Debug)]
pub struct Decoded {
    /// Rows for `events`.
    pub events: RecordBatch,
    /// One identity for each row of `events`, in order.
    pub event_identities: Vec<Identity>,
    /// Rows for `alerts`.
    pub alerts: RecordBatch,
    /// One identity for each row of `alerts`, in order.
    pub alert_identities: Vec<Identity>,
    /// Rows for `quarantine`.
    pub quarantine: RecordBatch,
    /// For each row of `quarantine` the batch it came from.
    pub quarantine_batches: Vec<usize>,
    /// The accounts of each batch, in the order given.
    pub counts: Vec<Counts>,
}

/// Rejects of one body that are told apart. A body with more is not what it should be: the rest of it,
/// from the next item on, is one item and one reject.
pub const MAX_REJECTS: u64 = 10_000;

/// How far a stream of bodies has been decoded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stream {
    place: split::Place,
    offset: usize,
    items: i64,
}

impl Stream {
    /// Bytes decoded so far.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

/// Turns batches into rows and rejects.
#[derive(Debug, Default)]
pub struct Decoder {
    events: EventRows,
    alerts: AlertRows,
    rejects: RejectRows,
    reader: ItemReader,
    index: Index,
    counts: Vec<Counts>,
}

impl Decoder {
    /// A decoder with no rows.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Rows and rejects held since the last [`Decoder::finish`].
    pub fn rows(&self) -> usize {
        self.events.len() + self.alerts.len() + self.rejects.len()
    }

    /// Decodes one batch; every item of it ends as a row or as a reject. Never fails, never panics,
    /// whatever the bytes.
    pub fn decode(&mut self, input: &BatchInput<'_>) -> Counts {
        let mut counts = Counts::default();
        match body::open(input.body, input.content_encoding) {
            Ok(opened) => self.decode_body(input, &opened, &mut counts),
            Err(error) => {
                counts.items = 1;
                self.reject(
                    input,
                    None,
                    Reject::of_body(&error, input.body),
                    &mut counts,
                );
            }
        }
        assert_eq!(
            counts.items,
            counts.events + counts.alerts + counts.rejects,
            "every item becomes a row or a reject"
        );
        self.counts.push(counts);
        counts
    }

    /// Decodes the items that lie whole in `input.body`, a piece of a stream of bodies, and returns how
    /// many bytes of it they take up: the caller puts the rest before the next piece. With `at_end`
    /// everything is taken. Offsets of rejects count from the begin of the stream.
    pub fn decode_part(
        &mut self,
        input: &BatchInput<'_>,
        stream: &mut Stream,
        at_end: bool,
    ) -> (usize, Counts) {
        let mut counts = Counts::default();
        let mut index = std::mem::take(&mut self.index);
        let mut items = Items::of_stream(input.body, &mut index, stream.place, at_end);
        while let Some(item) = items.next() {
            let structure = items.structure(&item);
            let in_stream = Item {
                offset: item.offset + stream.offset,
                ..item
            };
            self.decode_item(input, &in_stream, structure, stream.items, &mut counts);
            stream.items += 1;
        }
        let consumed = items.consumed();
        stream.place = items.place();
        self.index = index;
        stream.offset += consumed;
        self.counts.push(counts);
        (consumed, counts)
    }

    /// The rows of all batches so far; the decoder is empty afterwards.
    ///
    /// # Errors
    /// Only if columns and schema disagree, which is a defect of this crate.
    pub fn finish(&mut self) -> Result<Decoded, ArrowError> {
        let (events, event_identities) = self.events.finish()?;
        let (alerts, alert_identities) = self.alerts.finish()?;
        let (quarantine, quarantine_batches) = self.rejects.finish()?;
        Ok(Decoded {
            events,
            event_identities,
            alerts,
            alert_identities,
            quarantine,
            quarantine_batches,
            counts: std::mem::take(&mut self.counts),
        })
    }

    fn decode_body(&mut self, input: &BatchInput<'_>, body: &[u8], counts: &mut Counts) {
        let mut index = std::mem::take(&mut self.index);
        match Items::of_body(body, &mut index) {
            Some(items) => self.decode_items(input, body, items, counts),
            None => self.decode_lone(input, Items::of_lone(body, &mut index), body, counts),
        }
        self.index = index;
    }

    /// An alert may stand by itself, as in score files; anything else without an array is a reject.
    fn decode_lone(
        &mut self,
        input: &BatchInput<'_>,
        mut items: Items<'_, '_>,
        body: &[u8],
        counts: &mut Counts,
    ) {
        let Some(item) = items.next() else { return };
        let is_alert = text_of(&item).is_ok_and(|text| {
            let read = self.reader.read(text, &item, items.structure(&item));
            matches!(read, Ok(ItemKind::Alert(_)))
        });
        if is_alert {
            return self.decode_item(input, &item, items.structure(&item), 0, counts);
        }
        counts.items += 1;
        self.reject(
            input,
            None,
            Reject::of_non_array(&split::whole(body)),
            counts,
        );
    }

    fn decode_items(
        &mut self,
        input: &BatchInput<'_>,
        body: &[u8],
        mut items: Items<'_, '_>,
        counts: &mut Counts,
    ) {
        let mut index = 0;
        while let Some(item) = items.next() {
            if counts.rejects >= MAX_REJECTS {
                counts.items += 1;
                self.reject(input, None, Reject::flood(&item, body.len()), counts);
                return;
            }
            self.decode_item(input, &item, items.structure(&item), index, counts);
            index += 1;
        }
        if !items.closed() {
            counts.items += 1;
            self.reject(input, None, Reject::unclosed(body), counts);
        }
    }

    fn decode_item(
        &mut self,
        input: &BatchInput<'_>,
        item: &Item<'_>,
        structure: Structure<'_>,
        index: i64,
        counts: &mut Counts,
    ) {
        let place = Place {
            input,
            item_index: index,
            batch: self.counts.len(),
        };
        let outcome = text_of(item).and_then(|text| self.reader.read(text, item, structure));
        let pushed = match outcome {
            Ok(ItemKind::Ping) => {
                counts.pings += 1;
                return;
            }
            Ok(ItemKind::Event(event)) => self.events.push(&place, &event).map(|()| (1, 0)),
            Ok(ItemKind::Alert(fields)) => self.alerts.push(&place, &fields).map(|()| (0, 1)),
            Err(reject) => {
                counts.items += 1;
                self.reject(input, Some(index), reject, counts);
                return;
            }
        };
        counts.items += 1;
        match pushed {
            Ok((events, alerts)) => {
                counts.events += events;
                counts.alerts += alerts;
            }
            Err(fault) => self.reject(input, Some(index), fault.at(item), counts),
        }
    }

    fn reject(
        &mut self,
        input: &BatchInput<'_>,
        item_index: Option<i64>,
        reject: Reject,
        counts: &mut Counts,
    ) {
        counts.rejects += 1;
        self.rejects
            .push(input, item_index, self.counts.len(), &reject);
    }
}

/// Where a row comes from.
struct Place<'a> {
    input: &'a BatchInput<'a>,
    item_index: i64,
    batch: usize,
}

/// The item as text, if it is UTF-8 and not nested beyond the limit.
fn text_of<'a>(item: &Item<'a>) -> Result<&'a str, Reject> {
    if item.depth > MAX_DEPTH {
        return Err(Reject::too_deep(item));
    }
    if item.tokens.is_none() {
        return Err(Reject::too_large(item));
    }
    std::str::from_utf8(item.bytes).map_err(|error| Reject::not_utf8(item, error.valid_up_to()))
}

/// A borrowed key or value of the item that is being read.
type Text<'a> = Cow<'a, str>;

#[cfg(test)]
mod tests;
