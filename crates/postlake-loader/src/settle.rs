//! Which decoded rows go into the lake, which are duplicates, and which stand there already because
//! an earlier pass was cut off between two tables.

use std::collections::HashSet;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use futures::TryStreamExt as _;
use postlake_event::decode::Identity;
use postlake_event::schema::Table;
use postlake_lake::LakeTable;
use postlake_raw::SegmentKey;

use crate::error::LoadError;
use crate::index::KeyIndex;
use crate::positions::{Tables, number_of};

/// Where a batch of the pass lies.
#[derive(Clone, Debug)]
pub(crate) struct BatchPlace {
    pub(crate) segment: SegmentKey,
    pub(crate) batch_index: i64,
}

/// The outcome for the rows of one table.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Rows to append.
    pub(crate) rows: RecordBatch,
    /// For each batch of the pass, rows of it that the lake holds after this pass.
    pub(crate) kept: Vec<u64>,
    /// For each batch of the pass, rows of it that it does not, since their equals are there.
    pub(crate) duplicates: Vec<u64>,
}

/// Sorts the rows of `events` or `alerts`. On `Ok` the index holds the keys of all kept rows.
pub(crate) async fn settle(
    index: &mut KeyIndex,
    tables: &Tables,
    table: Table,
    rows: &RecordBatch,
    identities: &[Identity],
    places: &[BatchPlace],
) -> Result<Settled, LoadError> {
    let mut own = OwnRows::default();
    if let Some(lake) = tables.get(table) {
        index.prepare(lake, identities).await?;
        own = OwnRows::read(lake, tables, table, places).await?;
    }
    let mut settled = Settled {
        rows: rows.slice(0, 0),
        kept: vec![0; places.len()],
        duplicates: vec![0; places.len()],
    };
    let mut append = Vec::with_capacity(identities.len());
    for identity in identities {
        let place = places.get(identity.batch);
        let held = place.is_some_and(|place| tables.holds(table, &place.segment));
        let fresh = if held {
            own.contains(place, identity)
        } else {
            index.insert(identity)
        };
        let count = if fresh {
            settled.kept.get_mut(identity.batch)
        } else {
            settled.duplicates.get_mut(identity.batch)
        };
        if let Some(count) = count {
            *count += 1;
        }
        append.push(fresh && !held);
    }
    settled.rows =
        filter_record_batch(rows, &BooleanArray::from(append)).map_err(LoadError::Rows)?;
    Ok(settled)
}

/// Rows of rejects that are not in `quarantine` yet.
pub(crate) fn unheld(
    tables: &Tables,
    rows: &RecordBatch,
    batches: &[usize],
    places: &[BatchPlace],
) -> Result<RecordBatch, LoadError> {
    let append: BooleanArray = batches
        .iter()
        .map(|batch| {
            let place = places.get(*batch);
            Some(!place.is_some_and(|place| tables.holds(Table::Quarantine, &place.segment)))
        })
        .collect();
    filter_record_batch(rows, &append).map_err(LoadError::Rows)
}

/// Rows of the pass that stand in the table already, by where they came from.
#[derive(Debug, Default)]
struct OwnRows(HashSet<(String, i64, i64, i64)>);

impl OwnRows {
    /// Reads them for the segments that the table holds; none in the usual case, where every table
    /// is at the same position and nothing is read.
    async fn read(
        lake: &LakeTable,
        tables: &Tables,
        table: Table,
        places: &[BatchPlace],
    ) -> Result<OwnRows, LoadError> {
        let mut segments: Vec<_> = places
            .iter()
            .filter(|place| tables.holds(table, &place.segment))
            .map(|place| {
                (
                    place.segment.stream().to_string(),
                    number_of(&place.segment),
                )
            })
            .collect();
        segments.sort_unstable();
        segments.dedup();
        let mut own = OwnRows::default();
        if segments.is_empty() {
            return Ok(own);
        }
        for (stream, segment) in segments {
            own.read_segment(lake, table, &stream, segment).await?;
        }
        Ok(own)
    }

    async fn read_segment(
        &mut self,
        lake: &LakeTable,
        table: Table,
        stream: &str,
        segment: i64,
    ) -> Result<(), LoadError> {
        // A stream's name holds letters, digits and a hyphen alone: its type cannot be built of others.
        let sql = format!(
            "SELECT batch_index, item_index FROM {} WHERE stream = '{stream}' AND segment = {segment}",
            table.name()
        );
        let mut batches = lake.select(&sql).await.map_err(LoadError::Lake)?;
        while let Some(batch) = batches.try_next().await.map_err(LoadError::Lake)? {
            let batch_index = batch.column(0).as_primitive::<Int64Type>();
            let item_index = batch.column(1).as_primitive::<Int64Type>();
            for (batch_index, item_index) in batch_index.values().iter().zip(item_index.values()) {
                self.0
                    .insert((stream.to_owned(), segment, *batch_index, *item_index));
            }
        }
        Ok(())
    }

    fn contains(&self, place: Option<&BatchPlace>, identity: &Identity) -> bool {
        place.is_some_and(|place| {
            self.0.contains(&(
                place.segment.stream().to_string(),
                number_of(&place.segment),
                place.batch_index,
                identity.item_index,
            ))
        })
    }
}
