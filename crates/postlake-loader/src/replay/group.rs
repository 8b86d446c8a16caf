//! Some batches, decoded by today's code.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use chrono::{DateTime, Utc};
use postlake_event::decode::{Counts, Decoder, Identity};
use postlake_event::schema::Table;
use postlake_raw::{Batch, Envelope, SegmentKey, StreamName};

use super::Choice;
use crate::batch_input::batch_input;
use crate::error::LoadError;
use crate::positions::number_of;
use crate::settle::BatchPlace;

/// A group is settled when it has so many rows, batches, or bytes of bodies.
const GROUP_ROWS: usize = 30_000;
const GROUP_BATCHES: usize = 20_000;
const GROUP_BYTES: usize = 32 << 20;

/// Where a row comes from: stream, segment, batch, item; -1 for a whole body, and twice for a whole
/// segment.
pub(super) type Lineage = (StreamName, i64, i64, i64);

/// Batches that wait for being settled.
#[derive(Default)]
pub(super) struct Group {
    decoder: Decoder,
    envelopes: Vec<Envelope>,
    places: Vec<BatchPlace>,
    whole: HashSet<(StreamName, i64)>,
    bytes: usize,
}

impl Group {
    pub(super) fn is_full(&self) -> bool {
        self.decoder.rows() >= GROUP_ROWS
            || self.places.len() >= GROUP_BATCHES
            || self.bytes >= GROUP_BYTES
    }

    /// Decodes those of the batches that are chosen.
    pub(super) fn decode(&mut self, key: &SegmentKey, batches: Vec<Batch>, choice: &Choice) {
        let stream = key.stream().to_string();
        if choice.wants_whole(key) {
            self.whole.insert((key.stream(), number_of(key)));
        }
        for (index, batch) in batches.into_iter().enumerate() {
            let input = batch_input(key, &stream, index, &batch);
            let batch_index = input.batch_index;
            if !choice.wants(key, batch_index, batch.envelope.received_at) {
                continue;
            }
            self.decoder.decode(&input);
            self.bytes += batch.body.len();
            self.envelopes.push(batch.envelope);
            self.places.push(BatchPlace {
                segment: *key,
                batch_index,
            });
        }
    }

    pub(super) fn finish(mut self) -> Result<Option<Decoded>, LoadError> {
        if self.places.is_empty() && self.whole.is_empty() {
            return Ok(None);
        }
        let decoded = self.decoder.finish().map_err(LoadError::Rows)?;
        let place = |batch: usize, item: i64| {
            let place = self.places.get(batch)?;
            let key = &place.segment;
            Some((key.stream(), number_of(key), place.batch_index, item))
        };
        let of_identity = |identity: &Identity| place(identity.batch, identity.item_index);
        let events = decoded.event_identities.iter().filter_map(of_identity);
        let alerts = decoded.alert_identities.iter().filter_map(of_identity);
        let items = item_indexes(&decoded.quarantine);
        let rejects = decoded.quarantine_batches.iter().zip(items);
        let rejects = rejects.filter_map(|(batch, item)| place(*batch, item));
        let rows = [
            Rows::new(Table::Events, decoded.events, events),
            Rows::new(Table::Alerts, decoded.alerts, alerts),
            Rows::new(Table::Quarantine, decoded.quarantine, rejects),
        ];
        Ok(Some(Decoded {
            rows,
            identities: [decoded.event_identities, decoded.alert_identities],
            counts: decoded.counts,
            envelopes: self.envelopes,
            chosen: self.places.iter().map(batch_of).collect(),
            places: self.places,
            whole: self.whole,
        }))
    }
}

fn batch_of(place: &BatchPlace) -> (StreamName, i64, i64) {
    let key = &place.segment;
    (key.stream(), number_of(key), place.batch_index)
}

/// The items of rows of `quarantine`, -1 for whole bodies.
pub(super) fn item_indexes(rows: &RecordBatch) -> Vec<i64> {
    let column = rows.column_by_name("item_index");
    let column = column.map(|column| column.as_primitive::<Int64Type>());
    let item = |row: usize| {
        let column = column.filter(|column| column.is_valid(row));
        column.map_or(-1, |column| column.value(row))
    };
    (0..rows.num_rows()).map(item).collect()
}

/// Rows of one table, and where they come from.
pub(super) struct Rows {
    pub(super) table: Table,
    pub(super) rows: RecordBatch,
    pub(super) lineages: Vec<Lineage>,
    /// The row of each lineage.
    pub(super) by_lineage: HashMap<Lineage, usize>,
}

impl Rows {
    pub(super) fn new(
        table: Table,
        rows: RecordBatch,
        lineages: impl Iterator<Item = Lineage>,
    ) -> Rows {
        let lineages: Vec<_> = lineages.collect();
        let by_lineage = lineages.iter().enumerate();
        Rows {
            table,
            rows,
            by_lineage: by_lineage.map(|(row, lineage)| (*lineage, row)).collect(),
            lineages,
        }
    }
}

/// What today's code makes of a group.
pub(super) struct Decoded {
    /// Of `events`, `alerts`, `quarantine`.
    pub(super) rows: [Rows; 3],
    /// Of the first two.
    pub(super) identities: [Vec<Identity>; 2],
    pub(super) counts: Vec<Counts>,
    pub(super) envelopes: Vec<Envelope>,
    pub(super) places: Vec<BatchPlace>,
    chosen: HashSet<(StreamName, i64, i64)>,
    whole: HashSet<(StreamName, i64)>,
}

impl Decoded {
    pub(super) fn items(&self) -> u64 {
        self.counts.iter().map(|counts| counts.items).sum()
    }

    /// True if rows of this lineage are this group's to look after.
    pub(super) fn has(&self, (stream, segment, batch, _): &Lineage) -> bool {
        self.chosen.contains(&(*stream, *segment, *batch))
            || *batch < 0 && self.whole.contains(&(*stream, *segment))
    }

    /// The place of each batch.
    pub(super) fn batches(&self) -> impl Iterator<Item = Lineage> {
        let batches = self.places.iter().map(batch_of);
        batches.map(|(stream, segment, batch)| (stream, segment, batch, -1))
    }

    /// First and last stream of the group.
    pub(super) fn streams(&self) -> Option<(StreamName, StreamName)> {
        let whole = self.whole.iter().map(|(stream, _)| *stream);
        let streams = self.places.iter().map(|place| place.segment.stream());
        let streams: Vec<_> = streams.chain(whole).collect();
        Some((*streams.iter().min()?, *streams.iter().max()?))
    }

    /// First and last moment that rows of the group were received at. A row that stands for a whole
    /// segment has that of its stream.
    pub(super) fn received(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let received = self.envelopes.iter().map(|envelope| envelope.received_at);
        let whole = self.whole.iter().map(|(stream, _)| stream.started_at());
        let received: Vec<_> = received.chain(whole).collect();
        Some((*received.iter().min()?, *received.iter().max()?))
    }
}
