//! What is to be done with a table, done in one commit.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use futures::TryStreamExt as _;
use postlake_event::schema::Table;
use postlake_lake::{Job, LakeTable, Onto, Passed, StoredFile};

use super::compare::{Act, Acts, OF_LOADING, lineages, taken};
use super::group::{Lineage, Rows};
use super::{Open, Replay, ReplayReport};
use crate::error::LoadError;

impl Replay {
    /// On `Ok` the table is right, in one commit, and it is counted what was done. Nothing is committed when
    /// nothing is to be done, or when nothing is to be changed.
    pub(super) async fn act(
        &self,
        open: &mut Open,
        rows: &Rows,
        acts: &Acts,
        report: &mut ReplayReport,
    ) -> Result<(), LoadError> {
        if self.dry_run {
            report.count(rows.table, acts);
            return Ok(());
        }
        let Some(lake) = open.tables.get_mut(rows.table).filter(|_| !acts.is_empty()) else {
            return Ok(());
        };
        let files = concerned(lake, acts).await?;
        let mut rewrite = lake.begin_rewrite(Job::Replay).map_err(LoadError::Lake)?;
        let mut done = HashSet::new();
        for files in files.into_values() {
            let mut function = |batch: RecordBatch| passed(&batch, rows, acts, &mut done);
            let pass = rewrite.pass(&files, None, &mut function);
            pass.await.map_err(LoadError::Lake)?;
        }
        if !acts.add.is_empty() {
            let fresh = taken(&rows.rows, &acts.add).map_err(LoadError::Rows)?;
            rewrite.add(fresh).await.map_err(LoadError::Lake)?;
        }
        // Whether a row is new depends on all rows that there are; and what is remembered of the keys of events
        // and alerts holds only as long as nobody adds any.
        let depends = !acts.add.is_empty() || matches!(rows.table, Table::Events | Table::Alerts);
        let onto = if depends {
            Onto::SameRows
        } else {
            Onto::OtherRows
        };
        let no_positions = BTreeMap::new();
        let commit = lake.commit_rewrite(rewrite, &no_positions, onto);
        commit.await.map_err(LoadError::Lake)?;
        report.count(rows.table, acts);
        Ok(())
    }
}

/// The files that hold rows to act upon, by partition.
async fn concerned(
    lake: &LakeTable,
    acts: &Acts,
) -> Result<BTreeMap<i32, Vec<StoredFile>>, LoadError> {
    let mut found = BTreeMap::<i32, Vec<StoredFile>>::new();
    for file in lake.stored_files().map_err(LoadError::Lake)? {
        let day = file.about.day.unwrap_or_default();
        let overlaps = match (file.about.seconds, acts.seconds) {
            (Some((first, last)), Some((from, to))) => first <= to && from <= last,
            _ => true,
        };
        if !acts.acts.is_empty()
            && acts.days.contains(&day)
            && overlaps
            && holds(lake, &file, acts).await?
        {
            found.entry(day).or_default().push(file);
        }
    }
    Ok(found)
}

async fn holds(lake: &LakeTable, file: &StoredFile, acts: &Acts) -> Result<bool, LoadError> {
    let mut rows = lake.rows_of(file).await.map_err(LoadError::Lake)?;
    while let Some(batch) = rows.try_next().await.map_err(LoadError::Lake)? {
        let lineages = lineages(&batch).map_err(LoadError::Rows)?;
        let mut lineages = lineages.iter().flatten();
        if lineages.any(|lineage| acts.acts.contains_key(lineage)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The rows of a file as they should be.
fn passed(
    batch: &RecordBatch,
    rows: &Rows,
    acts: &Acts,
    done: &mut HashSet<Lineage>,
) -> Result<Passed, ArrowError> {
    let mut stay = Vec::with_capacity(batch.num_rows());
    let (mut replaced, mut by) = (Vec::new(), HashMap::new());
    for (row, lineage) in lineages(batch)?.into_iter().enumerate() {
        let act = lineage.and_then(|lineage| Some((lineage, acts.acts.get(&lineage)?)));
        stay.push(match act {
            None => true,
            Some((_, Act::Remove)) => false,
            Some((lineage, Act::Replace(today))) => {
                if done.insert(lineage) {
                    by.insert(row, *today);
                    replaced.push(row);
                }
                false
            }
        });
    }
    let kept = filter_record_batch(batch, &BooleanArray::from(stay))?;
    if replaced.is_empty() {
        return Ok(Passed::kept(kept));
    }
    let today: Vec<usize> = replaced
        .iter()
        .filter_map(|row| by.get(row).copied())
        .collect();
    let before = taken(batch, &replaced)?;
    let today = in_place(
        &batch.schema(),
        &before,
        &taken(&rows.rows, &today)?,
        rows.table,
    )?;
    Ok(Passed::kept(concat_batches(
        &batch.schema(),
        [&kept, &today],
    )?))
}

/// Today's rows in the columns of the table; what this release does not know, and when a batch was
/// loaded, stays as it was.
fn in_place(
    schema: &SchemaRef,
    before: &RecordBatch,
    today: &RecordBatch,
    table: Table,
) -> Result<RecordBatch, ArrowError> {
    let columns = schema
        .fields()
        .iter()
        .zip(before.columns())
        .map(|(field, old)| {
            let name = field.name().as_str();
            let stays = table == Table::Batches && OF_LOADING.contains(&name);
            match today.column_by_name(name).filter(|_| !stays) {
                Some(column) => cast(column, field.data_type()),
                None => Ok(Arc::clone(old)),
            }
        });
    let columns = columns.collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
}
