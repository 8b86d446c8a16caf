//! Events into the columns of the `events` table.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, Date32Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;
use serde_json::value::RawValue;

use super::columns::{ColumnBuilder, LineageBuilders, batch};
use super::item::{RawEvent, object_fields};
use super::reject::{Fault, RejectCode};
use super::value::{self, Reading};
use super::{Identity, Place, Text};
use crate::canonical::canonical;
use crate::key::{EventTime, Key, event_hash};
use crate::schema::{EVENT_FIELDS, FieldKind, GEO_IP_FIELDS, Table, USER_AGENT_FIELDS};
use crate::time::day_of;

const TYPE: usize = EVENT_FIELDS.len();
const EVENT_ID: usize = TYPE + 1;
const SUBACCOUNT: usize = TYPE + 2;
const GEO_IP: usize = TYPE + 3;
const USER_AGENT: usize = TYPE + 4;
const SLOT_COUNT: usize = TYPE + 5;

/// For each key of a documented object the slot of its column.
type Places = Vec<(&'static str, usize)>;

static GEO_IP_PLACES: LazyLock<Places> = LazyLock::new(|| places(GEO_IP_FIELDS));

static USER_AGENT_PLACES: LazyLock<Places> = LazyLock::new(|| places(USER_AGENT_FIELDS));

fn places(columns: &[(&'static str, &str, FieldKind)]) -> Places {
    let slot_of = |column: &str| EVENT_FIELDS.iter().position(|field| field.column == column);
    columns
        .iter()
        .filter_map(|(key, column, _)| Some((*key, slot_of(column)?)))
        .collect()
}

/// The slot of `timestamp`.
static TIMESTAMP: LazyLock<usize> = LazyLock::new(|| {
    let known = EVENT_FIELDS
        .iter()
        .position(|field| field.key == "timestamp");
    known.unwrap_or(SLOT_COUNT)
});

/// The flags of an event without a usable time begin with this.
pub const UNDATED_FLAG: &str = "timestamp_";

/// The classes that the sender documents; an event of these without a `type` is a reject, while
/// an unknown class may have a form of its own.
const KNOWN_CLASSES: [&str; 7] = [
    "message_event",
    "track_event",
    "gen_event",
    "unsubscribe_event",
    "relay_event",
    "ab_test_event",
    "ingest_event",
];

/// Which slot a key belongs to. The slot after another one is guessed from the event before, so
/// that most keys cost one comparison.
#[derive(Debug)]
pub(super) struct Slots {
    next: Vec<usize>,
}

impl Default for Slots {
    fn default() -> Slots {
        Slots {
            next: vec![usize::MAX; SLOT_COUNT + 1],
        }
    }
}

/// Key of each slot, in slot order; empty for columns that a nested object fills.
static SLOT_KEYS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let specials = [
        "type",
        "event_id",
        "subaccount_id",
        "geo_ip",
        "user_agent_parsed",
    ];
    EVENT_FIELDS
        .iter()
        .map(|field| field.key)
        .chain(specials)
        .collect()
});

/// Entries of the table of keys: sparse, so that a probe nearly always hits or misses at once.
const KEY_TABLE: usize = 1024;

/// The slot of each key, at the key's hash or behind it; `usize::MAX` where there is none.
static SLOTS_BY_KEY: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let mut table = vec![usize::MAX; KEY_TABLE];
    let keys = SLOT_KEYS
        .iter()
        .enumerate()
        .filter(|(_, key)| !key.is_empty());
    for (slot, key) in keys {
        let free = probe(key).find(|at| table.get(*at) == Some(&usize::MAX));
        if let Some(entry) = free.and_then(|at| table.get_mut(at)) {
            *entry = slot;
        }
    }
    table
});

/// Where a key may stand in the table, nearest first.
fn probe(key: &str) -> impl Iterator<Item = usize> {
    // FNV-1a: keys are short, and they are compared in the end.
    let hash = key.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let start = (hash ^ (hash >> 16)) as usize;
    (0..KEY_TABLE).map(move |step| (start + step) % KEY_TABLE)
}

impl Slots {
    pub(super) fn count() -> usize {
        SLOT_COUNT
    }

    /// The place before the first key of an event.
    pub(super) fn start(&self) -> usize {
        SLOT_COUNT
    }

    /// The slot of `key`, which stands after the key of slot `before`.
    pub(super) fn find(&mut self, before: usize, key: &str) -> Option<usize> {
        let guess = self.next.get(before).copied().unwrap_or(usize::MAX);
        if SLOT_KEYS.get(guess).is_some_and(|known| *known == key) {
            return Some(guess);
        }
        let table = &*SLOTS_BY_KEY;
        let slot = probe(key)
            .map_while(|at| table.get(at).copied().filter(|slot| *slot != usize::MAX))
            .find(|slot| SLOT_KEYS.get(*slot).is_some_and(|known| *known == key))?;
        if let Some(next) = self.next.get_mut(before) {
            *next = slot;
        }
        Some(slot)
    }
}

/// Builders of the `events` table.
#[derive(Debug)]
pub(super) struct EventRows {
    event_date: Date32Builder,
    event_class: StringBuilder,
    event_type: StringBuilder,
    event_id: StringBuilder,
    event_at: TimestampMicrosecondBuilder,
    received_at: TimestampMicrosecondBuilder,
    batch_id: StringBuilder,
    subaccount_id: Int64Builder,
    flags: StringBuilder,
    fields: Vec<ColumnBuilder>,
    event_hash: StringBuilder,
    extra: StringBuilder,
    lineage: LineageBuilders,
    item_index: Int64Builder,
    identities: Vec<Identity>,
}

impl Default for EventRows {
    fn default() -> EventRows {
        EventRows {
            event_date: Date32Builder::new(),
            event_class: StringBuilder::new(),
            event_type: StringBuilder::new(),
            event_id: StringBuilder::new(),
            event_at: TimestampMicrosecondBuilder::new(),
            received_at: TimestampMicrosecondBuilder::new(),
            batch_id: StringBuilder::new(),
            subaccount_id: Int64Builder::new(),
            flags: StringBuilder::new(),
            fields: EVENT_FIELDS
                .iter()
                .map(|field| ColumnBuilder::new(field.kind))
                .collect(),
            event_hash: StringBuilder::new(),
            extra: StringBuilder::new(),
            lineage: LineageBuilders::default(),
            item_index: Int64Builder::new(),
            identities: Vec::new(),
        }
    }
}

/// What is known of an event before its fields are read.
struct Head<'a> {
    event_type: Option<Cow<'a, str>>,
    event_id: Option<Cow<'a, str>>,
    event_hash: Option<String>,
    key: Key,
}

impl EventRows {
    pub(super) fn len(&self) -> usize {
        self.identities.len()
    }

    /// Adds one row.
    ///
    /// # Errors
    /// When a known class comes without a type; nothing was added then.
    pub(super) fn push(&mut self, place: &Place<'_>, mut event: RawEvent<'_>) -> Result<(), Fault> {
        let mut notes = Notes::default();
        let dated = occurred_at(&event, &mut notes);
        let head = head(&event, dated)?;
        for (at, key) in [(TYPE, "type"), (EVENT_ID, "event_id")] {
            if let Some(raw) =
                slot(&event, at).filter(|raw| *raw != "null" && owned_text(raw).is_none())
            {
                notes.misfit(Cow::Borrowed(key), raw.clone());
            }
        }
        let received_at = place.input.received_at.timestamp_micros();
        let event_at = dated.unwrap_or(received_at);
        let day = day_of(event_at);

        self.event_date.append_value(day);
        self.event_class.append_value(&event.class);
        self.event_type.append_option(head.event_type.as_deref());
        self.event_id.append_option(head.event_id.as_deref());
        self.event_at.append_value(event_at);
        self.received_at.append_value(received_at);
        self.batch_id.append_option(place.input.batch_id);
        self.subaccount_id
            .append_option(subaccount(&mut event, &mut notes));
        spread(&mut event, GEO_IP, "geo_ip", &GEO_IP_PLACES, &mut notes);
        spread(
            &mut event,
            USER_AGENT,
            "user_agent_parsed",
            &USER_AGENT_PLACES,
            &mut notes,
        );
        self.push_fields(&mut event, &mut notes);
        self.event_hash.append_option(head.event_hash);
        self.extra.append_option(notes.extra(&event));
        self.flags.append_option(notes.flags());
        self.lineage.push(place.input);
        self.item_index.append_value(place.item_index);
        self.identities.push(Identity {
            key: head.key,
            day,
            undated: dated.is_none(),
            batch: place.batch,
            item_index: place.item_index,
        });
        Ok(())
    }

    /// Fields that an event lacks get their nulls when the column is next touched: most events have
    /// a quarter of the columns.
    fn push_fields<'a>(&mut self, event: &mut RawEvent<'a>, notes: &mut Notes<'a>) {
        let row = self.identities.len();
        for ((builder, raw), field) in self.fields.iter_mut().zip(&event.slots).zip(EVENT_FIELDS) {
            let Some(raw) = raw else { continue };
            builder.pad(row);
            if !builder.append(raw) {
                let key = if field.key.is_empty() {
                    field.column
                } else {
                    field.key
                };
                notes.misfit(Cow::Borrowed(key), raw.clone());
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<(RecordBatch, Vec<Identity>), ArrowError> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.event_date.finish()),
            Arc::new(self.event_class.finish()),
            Arc::new(self.event_type.finish()),
            Arc::new(self.event_id.finish()),
            Arc::new(self.event_at.finish().with_timezone("UTC")),
            Arc::new(self.received_at.finish().with_timezone("UTC")),
            Arc::new(self.batch_id.finish()),
            Arc::new(self.subaccount_id.finish()),
            Arc::new(self.flags.finish()),
        ];
        let rows = self.identities.len();
        columns.extend(self.fields.iter_mut().map(|builder| {
            builder.pad(rows);
            builder.finish()
        }));
        columns.push(Arc::new(self.event_hash.finish()));
        columns.push(Arc::new(self.extra.finish()));
        columns.extend(self.lineage.finish());
        columns.push(Arc::new(self.item_index.finish()));
        let rows = batch(Table::Events, columns)?;
        Ok((rows, std::mem::take(&mut self.identities)))
    }
}

fn slot<'r, 'a>(event: &'r RawEvent<'a>, slot: usize) -> Option<&'r Text<'a>> {
    event.slots.get(slot).and_then(Option::as_ref)
}

fn head<'a>(event: &RawEvent<'a>, dated: Option<i64>) -> Result<Head<'a>, Fault> {
    let text_at = |at| slot(event, at).and_then(owned_text);
    let event_type: Option<Cow<'a, str>> = text_at(TYPE).filter(|text| !text.is_empty());
    if event_type.is_none() && KNOWN_CLASSES.contains(&event.class.as_ref()) {
        let message = "event has no type";
        return Err(Fault::new(RejectCode::Envelope, message));
    }
    let event_id = text_at(EVENT_ID).filter(|text| !text.is_empty());
    let (event_hash, key) = match &event_id {
        Some(id) => {
            let unreadable = timestamp(event).and_then(owned_text).unwrap_or_default();
            let time = match dated {
                Some(micros) => EventTime::Micros(micros),
                None => EventTime::Unreadable(&unreadable),
            };
            (
                None,
                Key::of_event(&event.class, event_type.as_deref(), id, time),
            )
        }
        None => {
            let canonical = canonical_event(event.item).map_err(|_| {
                Fault::new(
                    RejectCode::Json,
                    "event without an id is not well-formed json",
                )
            })?;
            let hash = event_hash(&event.class, &canonical);
            let key = Key::of_hash(&hash);
            (Some(hash), key)
        }
    };
    Ok(Head {
        event_type,
        event_id,
        event_hash,
        key,
    })
}

/// The canonical JSON of the event object inside an item.
fn canonical_event(item: &str) -> Result<String, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        msys: BTreeMap<Cow<'a, str>, &'a RawValue>,
    }
    let wrapped: Wrapped<'_> = serde_json::from_str(item)?;
    let event = wrapped.msys.values().next();
    canonical(event.map_or("null", |event| event.get()))
}

/// The characters behind a JSON text, borrowed from the body where they stand there unescaped.
fn owned_text<'a>(raw: &Text<'a>) -> Option<Cow<'a, str>> {
    match raw {
        Cow::Borrowed(raw) => value::text(raw),
        Cow::Owned(raw) => value::text(raw).map(|text| Cow::Owned(text.into_owned())),
    }
}

/// The JSON text of the event's time.
fn timestamp<'r, 'a>(event: &'r RawEvent<'a>) -> Option<&'r Text<'a>> {
    slot(event, *TIMESTAMP)
}

/// When the event happened, if it says so in any form that makes sense.
fn occurred_at(event: &RawEvent<'_>, notes: &mut Notes<'_>) -> Option<i64> {
    match timestamp(event).map(|raw| value::micros(raw.as_ref())) {
        Some(Reading::Value(micros)) => Some(micros),
        Some(Reading::Misfit) => {
            notes.flag("timestamp_unreadable");
            None
        }
        Some(Reading::Absent) | None => {
            notes.flag("timestamp_missing");
            None
        }
    }
}

/// The subaccount; the primary account sends none and is 0. What is no number is nobody's.
fn subaccount<'a>(event: &mut RawEvent<'a>, notes: &mut Notes<'a>) -> Option<i64> {
    let Some(raw) = event.slots.get_mut(SUBACCOUNT).and_then(Option::take) else {
        return Some(0);
    };
    match value::int(&raw) {
        Reading::Value(id) => Some(id),
        Reading::Absent => Some(0),
        Reading::Misfit => {
            notes.misfit(Cow::Borrowed("subaccount_id"), raw);
            None
        }
    }
}

/// Moves the values of a documented object into the slots of its columns; what is unknown in it
/// is kept under the object's key.
fn spread<'a>(
    event: &mut RawEvent<'a>,
    from: usize,
    key: &'static str,
    places: &Places,
    notes: &mut Notes<'a>,
) {
    let Some(raw) = event.slots.get_mut(from).and_then(Option::take) else {
        return;
    };
    if raw == "null" {
        return;
    }
    let fields = match &raw {
        Cow::Borrowed(raw) => object_fields(raw),
        Cow::Owned(_) => None,
    };
    let Some(fields) = fields else {
        notes.misfit(Cow::Borrowed(key), raw);
        return;
    };
    let mut unknown = String::new();
    for (name, value) in fields {
        let known = places.iter().find(|(known, _)| *known == name);
        let place = known.and_then(|(_, slot)| event.slots.get_mut(*slot));
        match place {
            Some(place) => *place = Some(value),
            None => push_pair(&mut unknown, &name, &value),
        }
    }
    if !unknown.is_empty() {
        notes.keep(Cow::Borrowed(key), Cow::Owned(format!("{{{unknown}}}")));
    }
}

/// Appends `"key":value` to the inside of an object.
fn push_pair(inside: &mut String, key: &str, value: &str) {
    if !inside.is_empty() {
        inside.push(',');
    }
    let key = serde_json::Value::from(key);
    // Writing to a String cannot fail.
    let written = write!(inside, "{key}:{value}");
    debug_assert!(written.is_ok());
}

/// What a row says about itself beside its columns.
#[derive(Default)]
pub(super) struct Notes<'a> {
    flags: Vec<Cow<'static, str>>,
    kept: Vec<(Text<'a>, Text<'a>)>,
}

impl<'a> Notes<'a> {
    pub(super) fn flag(&mut self, flag: &'static str) {
        self.flags.push(Cow::Borrowed(flag));
    }

    /// A value that does not fit its column: flagged, and kept as sent in `extra`.
    pub(super) fn misfit(&mut self, key: Text<'a>, raw: Text<'a>) {
        self.flags.push(Cow::Owned(format!("misfit:{key}")));
        self.kept.push((key, raw));
    }

    pub(super) fn keep(&mut self, key: Text<'a>, raw: Text<'a>) {
        self.kept.push((key, raw));
    }

    pub(super) fn flags(&self) -> Option<String> {
        (!self.flags.is_empty()).then(|| self.flags.join(","))
    }

    pub(super) fn kept_json(&self) -> Option<String> {
        let mut inside = String::new();
        for (key, raw) in &self.kept {
            push_pair(&mut inside, key, raw);
        }
        (!inside.is_empty()).then(|| format!("{{{inside}}}"))
    }

    /// Unknown fields, values that did not fit, and under `$element` what stood beside `msys`.
    fn extra(&self, event: &RawEvent<'_>) -> Option<String> {
        let mut inside = String::new();
        for (key, raw) in event.unknown.iter().chain(&self.kept) {
            push_pair(&mut inside, key, raw);
        }
        if !event.siblings.is_empty() {
            let mut siblings = String::new();
            for (key, raw) in &event.siblings {
                push_pair(&mut siblings, key, raw);
            }
            push_pair(&mut inside, "$element", &format!("{{{siblings}}}"));
        }
        (!inside.is_empty()).then(|| format!("{{{inside}}}"))
    }
}
