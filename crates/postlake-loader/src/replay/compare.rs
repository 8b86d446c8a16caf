//! What the lake holds of a group, and what has to be done about it.

use std::collections::{BTreeSet, HashMap, HashSet};

use arrow::array::{Array, ArrayRef, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch, take_record_batch};
use arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use chrono::DateTime;
use futures::TryStreamExt as _;
use postlake_event::decode::Identity;
use postlake_event::key::Key;
use postlake_event::schema::Table;
use postlake_lake::LakeTable;
use postlake_raw::StreamName;

use super::group::{Decoded, Lineage, Rows, item_indexes};
use super::{Open, Replay, ReplayReport};
use crate::books::micros;
use crate::error::LoadError;
use crate::index::{KeyIndex, row_keys};
use crate::upkeep::first_kept;

mod accounts;

/// What is done with a row of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It goes.
    Remove,
    /// This one of the group's rows comes in its place, once.
    Replace(usize),
}

/// What is done with a table.
#[derive(Debug, Default)]
pub(super) struct Acts {
    pub(super) acts: HashMap<Lineage, Act>,
    /// Rows of the group that are added.
    pub(super) add: Vec<usize>,
    /// Rows of the group that would be, had retention not let go of their days.
    pub(super) left: Vec<usize>,
    /// Partitions of the rows that are acted upon, and the seconds between which their times lie.
    pub(super) days: BTreeSet<i32>,
    pub(super) seconds: Option<(i64, i64)>,
    /// Rows that go, counted.
    pub(super) removed: u64,
    pub(super) replaced: u64,
}

impl Acts {
    pub(super) fn is_empty(&self) -> bool {
        self.acts.is_empty() && self.add.is_empty()
    }

    fn touch(&mut self, (day, micros): (i32, i64)) {
        self.days.insert(day);
        let second = micros.div_euclid(1_000_000);
        let (first, last) = self.seconds.unwrap_or((second, second));
        self.seconds = Some((first.min(second), last.max(second)));
    }
}

/// What stands in a table of the group's lineages.
#[derive(Debug, Default)]
pub(super) struct Standing {
    seen: HashSet<Lineage>,
    pub(super) acts: Acts,
}

impl Replay {
    /// One comparison, and what follows from it. True if it has to be compared once more.
    pub(super) async fn compare_and_act(
        &self,
        open: &mut Open,
        decoded: &Decoded,
        report: &mut ReplayReport,
    ) -> Result<bool, LoadError> {
        let mut standing = Vec::with_capacity(3);
        for rows in &decoded.rows {
            standing.push(stands(open.tables.get(rows.table), rows, decoded).await?);
        }
        let goes = standing.iter().take(2).any(|table| table.acts.removed > 0);
        if goes && !self.dry_run {
            // Rows that go are out of the way before anything is added that may be their equal.
            for (rows, table) in decoded.rows.iter().zip(&standing).take(2) {
                self.act(open, rows, &table.acts, report).await?;
            }
            return Ok(true);
        }
        let mut step = ReplayReport::default();
        let Open {
            tables,
            events,
            alerts,
        } = open;
        let indexes = [events, alerts].into_iter().zip(&decoded.identities);
        for ((index, identities), (rows, table)) in
            indexes.zip(decoded.rows.iter().zip(&mut standing))
        {
            let lake = tables.get(rows.table);
            missing(index, lake, rows, identities, table, &mut step).await?;
        }
        if let Some(quarantine) = standing.get_mut(2) {
            let rejects = decoded.rows.iter().flat_map(|rows| match rows.table {
                Table::Quarantine => rows.lineages.as_slice(),
                _ => &[],
            });
            let rejects = rejects.enumerate();
            let missing = rejects.filter(|(_, lineage)| !quarantine.seen.contains(lineage));
            quarantine.acts.add = missing.map(|(row, _)| row).collect();
            step.same += quarantine.seen.len() as u64;
        }
        for (rows, table) in decoded.rows.iter().zip(&mut standing) {
            self.leave_retired(open, rows, &mut table.acts).await?;
            step.expired += table.acts.left.len() as u64;
        }
        let (account_rows, mut accounts) = self.accounts(open, decoded, &standing).await?;
        for (rows, table) in decoded.rows.iter().zip(&standing) {
            self.act(open, rows, &table.acts, report).await?;
        }
        self.leave_retired(open, &account_rows, &mut accounts.acts)
            .await?;
        self.act(open, &account_rows, &accounts.acts, report)
            .await?;
        report.same += step.same;
        report.duplicates += step.duplicates;
        report.expired += step.expired;
        Ok(false)
    }

    /// Rows of days that retention has let go, or that a rule will, are not added again: they would come to
    /// every sink once more, and go once more.
    async fn leave_retired(
        &self,
        open: &Open,
        rows: &Rows,
        acts: &mut Acts,
    ) -> Result<(), LoadError> {
        let gone = match open.tables.get(rows.table) {
            Some(lake) => lake.kept_from().await.map_err(LoadError::Lake)?,
            None => None,
        };
        let rule = self.rules.of(rows.table);
        let rule = rule.and_then(|days| first_kept(self.now, days));
        let rule = rule.map(|first| (first - DateTime::UNIX_EPOCH.date_naive()).num_days());
        let first = gone.map(i64::from).max(rule);
        let column = rows.rows.column_by_name(rows.table.partition_column());
        let (Some(first), Some(column)) = (first, column) else {
            return Ok(());
        };
        let days = column.as_primitive::<Date32Type>().values();
        let is_kept = |row: &usize| days.get(*row).is_none_or(|day| i64::from(*day) >= first);
        let (add, left) = acts.add.iter().partition(|row| is_kept(row));
        acts.add = add;
        acts.left = left;
        Ok(())
    }
}

impl ReplayReport {
    /// What was done with a table.
    pub(super) fn count(&mut self, table: Table, acts: &Acts) {
        let added = acts.add.len() as u64;
        match table {
            Table::Events => self.events_added += added,
            Table::Alerts => self.alerts_added += added,
            Table::Quarantine => {
                self.quarantined += added;
                self.released += acts.removed;
            }
            Table::Batches => self.accounts += added + acts.acts.len() as u64,
        }
        if matches!(table, Table::Events | Table::Alerts) {
            self.removed += acts.removed;
            self.replaced += acts.replaced;
        }
    }
}

/// Which rows that have none in the lake are new, and which are equals of rows that it holds.
async fn missing(
    index: &mut KeyIndex,
    lake: Option<&LakeTable>,
    rows: &Rows,
    identities: &[Identity],
    table: &mut Standing,
    step: &mut ReplayReport,
) -> Result<(), LoadError> {
    let is_missing = |lineage| !table.seen.contains(lineage);
    let missing: Vec<usize> = (0..rows.lineages.len())
        .filter(|row| rows.lineages.get(*row).is_some_and(is_missing))
        .collect();
    step.same += (rows.lineages.len() - missing.len()) as u64;
    let wanted: BooleanArray = rows
        .lineages
        .iter()
        .map(|each| Some(is_missing(each)))
        .collect();
    let some_rows = filter_record_batch(&rows.rows, &wanted).map_err(LoadError::Rows)?;
    let some = missing
        .iter()
        .filter_map(|row| identities.get(*row).copied());
    let some: Vec<Identity> = some.collect();
    index.begin_pass()?;
    if let Some(lake) = lake {
        index.prepare(lake, &some_rows, &some).await?;
    }
    for (row, identity) in missing.into_iter().zip(&some) {
        if index.insert(identity)? {
            table.acts.add.push(row);
        } else {
            step.duplicates += 1;
        }
    }
    Ok(())
}

/// Reads what the table holds of the group and compares it row by row.
async fn stands(
    lake: Option<&LakeTable>,
    rows: &Rows,
    decoded: &Decoded,
) -> Result<Standing, LoadError> {
    let mut standing = Standing::default();
    let (Some(lake), Some((first, last)), Some((since, until))) =
        (lake, decoded.streams(), decoded.received())
    else {
        return Ok(standing);
    };
    let sql = format!(
        "SELECT * FROM {} WHERE received_at >= {} AND received_at <= {} \
         AND stream >= '{first}' AND stream <= '{last}'",
        rows.table.name(),
        micros(since),
        micros(until),
    );
    let comparison = Comparison::new(rows).map_err(LoadError::Rows)?;
    let mut answer = lake.select(&sql).await.map_err(LoadError::Lake)?;
    while let Some(batch) = answer.try_next().await.map_err(LoadError::Lake)? {
        let batch = ours(rows.table, &batch, decoded).map_err(LoadError::Rows)?;
        if let Some((batch, lineages)) = batch {
            comparison
                .note(&batch, &lineages, &mut standing)
                .map_err(LoadError::Rows)?;
        }
    }
    Ok(standing)
}

/// The rows of the group, in the table's own types.
fn ours(
    table: Table,
    batch: &RecordBatch,
    decoded: &Decoded,
) -> Result<Option<(RecordBatch, Vec<Lineage>)>, ArrowError> {
    let mut lineages = lineages(batch)?;
    let is_ours =
        |lineage: &Option<Lineage>| lineage.as_ref().is_some_and(|each| decoded.has(each));
    let wanted: BooleanArray = lineages.iter().map(|each| Some(is_ours(each))).collect();
    if wanted.true_count() == 0 {
        return Ok(None);
    }
    lineages.retain(is_ours);
    let batch = filter_record_batch(batch, &wanted)?;
    Ok(Some((
        in_types(table, &batch)?,
        lineages.into_iter().flatten().collect(),
    )))
}

/// The columns that this release knows, as it writes them.
pub(crate) fn in_types(table: Table, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| {
        let column = batch.column_by_name(field.name());
        match column {
            Some(column) => cast(column, field.data_type()),
            None => Ok(arrow::array::new_null_array(
                field.data_type(),
                batch.num_rows(),
            )),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema, columns)
}

/// Where each row comes from; none for a row that names no stream of ours.
pub(super) fn lineages(batch: &RecordBatch) -> Result<Vec<Option<Lineage>>, ArrowError> {
    let missing = |name: &str| ArrowError::SchemaError(format!("there is no column {name}"));
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| missing(name));
    let streams = cast(column("stream")?, &arrow::datatypes::DataType::Utf8)?;
    let streams = streams.as_string::<i32>();
    let segments = column("segment")?.as_primitive::<Int64Type>();
    let batches = column("batch_index")?.as_primitive::<Int64Type>();
    let items = item_indexes(batch);
    let mut last: Option<(&str, StreamName)> = None;
    let mut found = Vec::with_capacity(batch.num_rows());
    for (row, item) in items.into_iter().enumerate() {
        let text = streams.value(row);
        let stream = match last {
            Some((same, stream)) if same == text => Some(stream),
            _ => StreamName::parse(text).ok(),
        };
        last = stream.map(|stream| (text, stream));
        found.push(stream.map(|stream| (stream, segments.value(row), batches.value(row), item)));
    }
    Ok(found)
}

/// Columns of `batches` that say when and how a batch was loaded, and not what it holds.
pub(super) const OF_LOADING: [&str; 2] = ["loaded_at", "flags"];

/// The group's rows, ready to be compared.
struct Comparison<'a> {
    rows: &'a Rows,
    converter: RowConverter,
    today: arrow::row::Rows,
}

impl<'a> Comparison<'a> {
    fn new(rows: &'a Rows) -> Result<Comparison<'a>, ArrowError> {
        let columns = compared(rows.table, &rows.rows);
        let fields = columns.iter();
        let fields = fields.map(|column| SortField::new(column.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        Ok(Comparison {
            rows,
            today: converter.convert_columns(&columns)?,
            converter,
        })
    }

    fn note(
        &self,
        batch: &RecordBatch,
        lineages: &[Lineage],
        standing: &mut Standing,
    ) -> Result<(), ArrowError> {
        let table = self.rows.table;
        let there = self.converter.convert_columns(&compared(table, batch))?;
        let keys = row_keys(table, batch);
        let moments = moments(table, batch);
        for (row, lineage) in lineages.iter().enumerate() {
            let today = self.rows.by_lineage.get(lineage).copied();
            let doubled = standing.seen.contains(lineage);
            let act = match today {
                Some(today) if doubled => Some(Act::Replace(today)),
                Some(today) if self.today.row(today) == there.row(row) => None,
                Some(today) if self.has_key(today, keys.get(row)) => Some(Act::Replace(today)),
                _ => Some(Act::Remove),
            };
            if let Some(moment) = moments.get(row).filter(|_| act.is_some()) {
                standing.acts.touch(*moment);
            }
            standing.act(*lineage, act);
        }
        Ok(())
    }

    /// True if today's row has the key that the row of the lake has.
    fn has_key(&self, today: usize, key: Option<&Key>) -> bool {
        let Some(key) = key else {
            // Tables without keys.
            return true;
        };
        let keys = row_keys(self.rows.table, &self.rows.rows.slice(today, 1));
        keys.first() == Some(key)
    }
}

impl Standing {
    fn act(&mut self, lineage: Lineage, act: Option<Act>) {
        let acts = &mut self.acts;
        match act {
            None => {
                self.seen.insert(lineage);
            }
            Some(Act::Remove) => {
                acts.removed += 1;
                acts.acts.insert(lineage, Act::Remove);
            }
            Some(Act::Replace(row)) => {
                // One that stands there several times goes but for one.
                if self.seen.insert(lineage) {
                    acts.replaced += 1;
                } else {
                    acts.removed += 1;
                }
                acts.acts.insert(lineage, Act::Replace(row));
            }
        }
    }
}

fn compared(table: Table, batch: &RecordBatch) -> Vec<ArrayRef> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let columns = columns.filter(|(field, _)| {
        table != Table::Batches || !OF_LOADING.contains(&field.name().as_str())
    });
    columns.map(|(_, column)| ArrayRef::clone(column)).collect()
}

/// Partition and time of each row.
fn moments(table: Table, batch: &RecordBatch) -> Vec<(i32, i64)> {
    let days = batch.column_by_name(table.partition_column());
    let times = batch.column_by_name(table.time_column());
    let (Some(days), Some(times)) = (days, times) else {
        return Vec::new();
    };
    let days = days.as_primitive::<Date32Type>().values();
    let times = times.as_primitive::<TimestampMicrosecondType>().values();
    days.iter().copied().zip(times.iter().copied()).collect()
}

/// Rows of the group by number.
pub(super) fn taken(rows: &RecordBatch, which: &[usize]) -> Result<RecordBatch, ArrowError> {
    let which = which
        .iter()
        .map(|row| u64::try_from(*row).unwrap_or(u64::MAX));
    let which = arrow::array::UInt64Array::from_iter_values(which);
    take_record_batch(rows, &which)
}
