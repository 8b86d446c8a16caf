//! Which decoded rows go into the lake, which are duplicates, and which stand there already because
//! an earlier pass was cut off between two tables.

use std::collections::{BTreeSet, HashSet};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use futures::TryStreamExt as _;
use postlake_event::decode::Identity;
use postlake_event::schema::Table;
use postlake_lake::LakeTable;
use postlake_raw::{SegmentKey, StreamName};

use crate::error::LoadError;
use crate::index::KeyIndex;
use crate::positions::{Tables, number_of};

/// Where a batch lies.
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
    /// For each batch of the chunk, rows of it that the lake holds after the pass.
    pub(crate) kept: Vec<u64>,
    /// For each batch of the chunk, rows of it that it does not, since their equals are there.
    pub(crate) duplicates: Vec<u64>,
    /// For each batch of the chunk, those of the duplicates whose day retention has let go.
    pub(crate) expired: Vec<u64>,
}

/// Sorts the rows of a chunk for the table of the index. On `Ok` the index holds the keys of all kept rows.
pub(crate) async fn settle(
    index: &mut KeyIndex,
    tables: &Tables,
    rows: &RecordBatch,
    identities: &[Identity],
    places: &[BatchPlace],
) -> Result<Settled, LoadError> {
    let table = index.table();
    let mut own = OwnRows::default();
    let mut kept_from = None;
    if let Some(lake) = tables.get(table) {
        kept_from = lake.kept_from().await.map_err(LoadError::Lake)?;
        index.prepare(lake, rows, identities).await?;
        own = OwnRows::read(lake, tables, identities, places).await?;
    }
    let mut settled = Settled {
        rows: rows.slice(0, 0),
        kept: vec![0; places.len()],
        duplicates: vec![0; places.len()],
        expired: vec![0; places.len()],
    };
    let mut append = Vec::with_capacity(identities.len());
    for identity in identities {
        let place = places.get(identity.batch);
        let held = place.is_some_and(|place| tables.holds(table, &place.segment));
        let has_gone = kept_from.is_some_and(|first| identity.day < first);
        let fresh = if held {
            own.contains(place, identity)
        } else {
            index.insert(identity)? && !has_gone
        };
        if let Some(count) = settled.expired.get_mut(identity.batch) {
            *count += u64::from(has_gone && !fresh);
        }
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
    settled.rows = those(rows, append)?;
    Ok(settled)
}

/// The rows that are wanted; not copied if all are.
fn those(rows: &RecordBatch, wanted: Vec<bool>) -> Result<RecordBatch, LoadError> {
    if wanted.iter().all(|wanted| *wanted) {
        return Ok(rows.clone());
    }
    filter_record_batch(rows, &BooleanArray::from(wanted)).map_err(LoadError::Rows)
}

/// Rows of rejects that are not in `quarantine` yet.
pub(crate) fn unheld(
    tables: &Tables,
    rows: &RecordBatch,
    batches: &[usize],
    places: &[BatchPlace],
) -> Result<RecordBatch, LoadError> {
    let append = batches.iter().map(|batch| {
        let place = places.get(*batch);
        !place.is_some_and(|place| tables.holds(Table::Quarantine, &place.segment))
    });
    those(rows, append.collect())
}

/// Rows of the pass that stand in the table already, by where they came from.
#[derive(Debug, Default)]
struct OwnRows(HashSet<(StreamName, i64, i64, i64)>);

/// Days that one question asks for.
const DAYS_IN_A_QUERY: usize = 200;

impl OwnRows {
    /// Reads them for the segments that the table holds; none in the usual case, where every table
    /// is at the same position and nothing is read. They lie on the days that they have.
    async fn read(
        lake: &LakeTable,
        tables: &Tables,
        identities: &[Identity],
        places: &[BatchPlace],
    ) -> Result<OwnRows, LoadError> {
        let held = |batch: usize| {
            let segment = places.get(batch)?.segment;
            tables.holds(lake.table(), &segment).then_some(segment)
        };
        let (mut segments, mut days) = (BTreeSet::new(), BTreeSet::new());
        for identity in identities {
            if let Some(segment) = held(identity.batch) {
                segments.insert((segment.stream(), number_of(&segment)));
                days.insert(identity.day);
            }
        }
        let days: Vec<i32> = days.into_iter().collect();
        let mut own = OwnRows::default();
        for some_days in days.chunks(DAYS_IN_A_QUERY) {
            own.read_days(lake, &segments, some_days).await?;
        }
        Ok(own)
    }

    async fn read_days(
        &mut self,
        lake: &LakeTable,
        segments: &BTreeSet<(StreamName, i64)>,
        days: &[i32],
    ) -> Result<(), LoadError> {
        // A stream's name holds letters, digits and a hyphen alone: its type cannot be built of others.
        let streams: BTreeSet<_> = segments.iter().map(|(stream, _)| stream).collect();
        let streams: Vec<_> = streams.iter().map(|stream| format!("'{stream}'")).collect();
        let days: Vec<_> = days
            .iter()
            .map(|day| format!("arrow_cast({day}, 'Date32')"))
            .collect();
        let sql = format!(
            "SELECT arrow_cast(stream, 'Utf8'), segment, batch_index, item_index FROM {} \
             WHERE {} IN ({}) AND stream IN ({})",
            lake.table().name(),
            lake.table().partition_column(),
            days.join(", "),
            streams.join(", ")
        );
        let mut batches = lake.select(&sql).await.map_err(LoadError::Lake)?;
        while let Some(batch) = batches.try_next().await.map_err(LoadError::Lake)? {
            let numbers = |column: usize| batch.column(column).as_primitive::<Int64Type>().values();
            let places = numbers(1).iter().zip(numbers(2)).zip(numbers(3));
            let streams = batch.column(0).as_string::<i32>().iter();
            for (stream, ((segment, batch_index), item_index)) in streams.zip(places) {
                let stream = stream.and_then(|stream| StreamName::parse(stream).ok());
                if let Some(stream) =
                    stream.filter(|stream| segments.contains(&(*stream, *segment)))
                {
                    self.0.insert((stream, *segment, *batch_index, *item_index));
                }
            }
        }
        Ok(())
    }

    fn contains(&self, place: Option<&BatchPlace>, identity: &Identity) -> bool {
        place.is_some_and(|place| {
            self.0.contains(&(
                place.segment.stream(),
                number_of(&place.segment),
                place.batch_index,
                identity.item_index,
            ))
        })
    }
}
