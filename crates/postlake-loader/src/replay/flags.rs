//! Flags of batches whose rows are added: an id that came with other bytes before.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch, StringArray};
use chrono::TimeDelta;
use futures::TryStreamExt as _;
use postlake_lake::LakeTable;

use super::compare::lineages;
use super::group::{Decoded, Lineage, Rows};
use crate::books::micros;
use crate::error::LoadError;
use crate::pass::BATCH_ID_REUSED;

/// How long before a batch its id is looked for.
const BEFORE: TimeDelta = TimeDelta::days(1);

/// Ids that one question asks for.
const IDS_IN_A_QUERY: usize = 500;

/// The first batch of each id and its digest.
type First = HashMap<String, (Lineage, String)>;

/// The group's rows of `batches`, those that are added with their flags.
pub(super) async fn flagged(
    lake: Option<&LakeTable>,
    decoded: &Decoded,
    rows: Rows,
    added: &[usize],
) -> Result<Rows, LoadError> {
    let named = |row: &usize| {
        let envelope = decoded.envelopes.get(*row)?;
        let id = envelope.batch_id.clone()?;
        Some((*row, id, hex::encode(envelope.sha256)))
    };
    let added: Vec<(usize, String, String)> = added.iter().filter_map(named).collect();
    if added.is_empty() {
        return Ok(rows);
    }
    let mut first = First::new();
    for (row, id, digest) in &added {
        if let Some(lineage) = rows.lineages.get(*row) {
            note(&mut first, id, *lineage, digest);
        }
    }
    if let Some(lake) = lake {
        look_up(lake, decoded, &mut first).await?;
    }
    let reused = |(row, id, digest): &(usize, String, String)| {
        let other = first.get(id).is_some_and(|(_, first)| first != digest);
        other.then_some((*row, BATCH_ID_REUSED))
    };
    let flags: BTreeMap<usize, &str> = added.iter().filter_map(reused).collect();
    let flags = (0..rows.rows.num_rows()).map(|row| flags.get(&row).copied());
    let flags: ArrayRef = Arc::new(flags.collect::<StringArray>());
    let schema = rows.rows.schema();
    let columns = schema.fields().iter().zip(rows.rows.columns());
    let columns = columns.map(|(field, column)| match field.name().as_str() {
        "flags" => Arc::clone(&flags),
        _ => Arc::clone(column),
    });
    let columns = columns.collect();
    Ok(Rows {
        rows: RecordBatch::try_new(schema, columns).map_err(LoadError::Rows)?,
        ..rows
    })
}

fn note(first: &mut First, id: &str, lineage: Lineage, digest: &str) {
    match first.get_mut(id) {
        Some(first) if first.0 <= lineage => {}
        Some(first) => *first = (lineage, digest.to_owned()),
        None => {
            first.insert(id.to_owned(), (lineage, digest.to_owned()));
        }
    }
}

/// What the lake holds under these ids.
async fn look_up(lake: &LakeTable, decoded: &Decoded, first: &mut First) -> Result<(), LoadError> {
    let Some((since, until)) = decoded.received() else {
        return Ok(());
    };
    let ids: Vec<String> = first.keys().map(|id| id.replace('\'', "''")).collect();
    for some in ids.chunks(IDS_IN_A_QUERY) {
        let sql = format!(
            "SELECT stream, segment, batch_index, arrow_cast(batch_id, 'Utf8') AS id, \
                 arrow_cast(sha256, 'Utf8') AS digest \
             FROM batches WHERE received_at >= {} AND received_at <= {} AND batch_id IN ('{}')",
            micros(since - BEFORE),
            micros(until),
            some.join("', '")
        );
        let mut answer = lake.select(&sql).await.map_err(LoadError::Lake)?;
        while let Some(batch) = answer.try_next().await.map_err(LoadError::Lake)? {
            let places = lineages(&batch).map_err(LoadError::Rows)?;
            let ids = batch.column(3).as_string::<i32>().iter();
            let digests = batch.column(4).as_string::<i32>().iter();
            for ((place, id), digest) in places.into_iter().zip(ids).zip(digests) {
                if let (Some(place), Some(id), Some(digest)) = (place, id, digest) {
                    note(first, id, place, digest);
                }
            }
        }
    }
    Ok(())
}
