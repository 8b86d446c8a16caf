//! Sorting more rows than memory has room for: what is held is sorted and put aside in a file without
//! a name whenever it is too much, and the files are merged in the end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek as _, SeekFrom};
use std::path::PathBuf;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};

/// How rows are sorted, and what that may take.
#[derive(Clone, Debug)]
pub struct Sorting {
    /// The columns, the first one counting most; nulls first.
    pub columns: &'static [&'static str],
    /// Where files without names lie meanwhile; as much as the rows have in memory.
    pub folder: PathBuf,
    /// Memory for rows that are held. A few times as much is in use for a moment.
    pub memory_bytes: usize,
}

/// Rows of the batches that come out.
const BATCH_ROWS: usize = 4096;
/// Rows of the batches in the files, of which one of each file is held while they are merged.
const RUN_ROWS: usize = 256;
/// Files that are merged at a time.
const FAN_IN: usize = 16;

/// Takes rows in any order.
pub(super) struct Sorter {
    sorting: Sorting,
    schema: SchemaRef,
    keys: Keys,
    held: Vec<(RecordBatch, Rows)>,
    held_bytes: usize,
    runs: Vec<File>,
}

/// What rows are compared by.
struct Keys {
    converter: RowConverter,
    columns: Vec<usize>,
}

impl Keys {
    fn new(schema: &SchemaRef, columns: &[&str]) -> Result<Keys, ArrowError> {
        let places = columns.iter().map(|column| schema.index_of(column));
        let columns = places.collect::<Result<Vec<_>, _>>()?;
        let fields = columns.iter().map(|column| {
            let field = schema.field(*column);
            SortField::new(field.data_type().clone())
        });
        Ok(Keys {
            converter: RowConverter::new(fields.collect())?,
            columns,
        })
    }

    fn of(&self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        let columns = self.columns.iter().map(|column| batch.column(*column));
        let columns: Vec<ArrayRef> = columns.cloned().collect();
        self.converter.convert_columns(&columns)
    }
}

impl Sorter {
    pub(super) fn new(sorting: Sorting, schema: SchemaRef) -> Result<Sorter, ArrowError> {
        Ok(Sorter {
            keys: Keys::new(&schema, sorting.columns)?,
            sorting,
            schema,
            held: Vec::new(),
            held_bytes: 0,
            runs: Vec::new(),
        })
    }

    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<(), ArrowError> {
        let rows = self.keys.of(&batch)?;
        self.held_bytes += batch.get_array_memory_size() + rows.size();
        self.held.push((batch, rows));
        if self.held_bytes > self.sorting.memory_bytes {
            self.put_aside()?;
        }
        Ok(())
    }

    /// All rows in their order, by batches.
    pub(super) fn finish(mut self) -> Result<Sorted, ArrowError> {
        if self.runs.is_empty() {
            let held = Held::new(std::mem::take(&mut self.held));
            return Ok(Sorted::Held(held));
        }
        self.put_aside()?;
        let runs = std::mem::take(&mut self.runs);
        Ok(Sorted::Merged(Merged::new(self.keys, runs)?))
    }

    fn put_aside(&mut self) -> Result<(), ArrowError> {
        self.held_bytes = 0;
        let mut held = Held::new(std::mem::take(&mut self.held));
        let run = self.run(|| held.next(RUN_ROWS))?;
        self.runs.push(run);
        if self.runs.len() >= FAN_IN {
            let keys = Keys::new(&self.schema, self.sorting.columns)?;
            let mut merged = Merged::new(keys, std::mem::take(&mut self.runs))?;
            let run = self.run(|| merged.next(RUN_ROWS))?;
            self.runs.push(run);
        }
        Ok(())
    }

    fn run(
        &self,
        mut batches: impl FnMut() -> Result<Option<RecordBatch>, ArrowError>,
    ) -> Result<File, ArrowError> {
        let file = tempfile::tempfile_in(&self.sorting.folder)?;
        let mut writer = StreamWriter::try_new(BufWriter::new(file), &self.schema)?;
        while let Some(batch) = batches()? {
            writer.write(&batch)?;
        }
        writer.finish()?;
        let buffered = writer.into_inner()?;
        let mut file = buffered
            .into_inner()
            .map_err(|error| ArrowError::from(error.into_error()))?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

/// Rows in their order.
pub(super) enum Sorted {
    Held(Held),
    Merged(Merged),
}

impl Sorted {
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        match self {
            Sorted::Held(held) => held.next(BATCH_ROWS),
            Sorted::Merged(merged) => merged.next(BATCH_ROWS),
        }
    }
}

/// Rows in memory, and their order.
pub(super) struct Held {
    batches: Vec<RecordBatch>,
    order: Vec<(usize, usize)>,
    taken: usize,
}

impl Held {
    fn new(held: Vec<(RecordBatch, Rows)>) -> Held {
        let (batches, keys): (Vec<RecordBatch>, Vec<Rows>) = held.into_iter().unzip();
        let mut order: Vec<_> = keys
            .iter()
            .enumerate()
            .flat_map(|(batch, rows)| (0..rows.num_rows()).map(move |row| (batch, row)))
            .collect();
        let key = |(batch, row): &(usize, usize)| keys.get(*batch).map(|rows| rows.row(*row));
        // Stable: rows that are alike keep the order in which they came.
        order.sort_by(|one, other| key(one).cmp(&key(other)));
        Held {
            batches,
            order,
            taken: 0,
        }
    }

    fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>, ArrowError> {
        let end = self.order.len().min(self.taken + rows);
        let order = self.order.get(self.taken..end).unwrap_or_default();
        if order.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let batch = interleave_record_batch(&batches, order)?;
        self.taken = end;
        Ok(Some(batch))
    }
}

/// The rows of some runs, merged as they are read.
pub(super) struct Merged {
    keys: Keys,
    runs: Vec<Run>,
    heads: BinaryHeap<Reverse<(OwnedRow, usize)>>,
}

struct Run {
    batches: StreamReader<BufReader<File>>,
    batch: Option<(RecordBatch, Rows)>,
    row: usize,
}

impl Merged {
    fn new(keys: Keys, files: Vec<File>) -> Result<Merged, ArrowError> {
        let mut merged = Merged {
            keys,
            runs: Vec::with_capacity(files.len()),
            heads: BinaryHeap::with_capacity(files.len()),
        };
        for (place, file) in files.into_iter().enumerate() {
            let mut run = Run {
                batches: StreamReader::try_new(BufReader::new(file), None)?,
                batch: None,
                row: 0,
            };
            run.load(&merged.keys)?;
            let head = run.head().map(|row| Reverse((row, place)));
            merged.heads.extend(head);
            merged.runs.push(run);
        }
        Ok(merged)
    }

    fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>, ArrowError> {
        // Batches that rows are taken from, and which of them is the present one of each run.
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut present: Vec<Option<usize>> = vec![None; self.runs.len()];
        let mut order = Vec::with_capacity(rows);
        while order.len() < rows {
            let Some(Reverse((_, place))) = self.heads.pop() else {
                break;
            };
            let (Some(run), Some(batch)) = (self.runs.get_mut(place), present.get_mut(place))
            else {
                break;
            };
            let Some((current, _)) = &run.batch else {
                break;
            };
            let number = *batch.get_or_insert_with(|| {
                batches.push(current.clone());
                batches.len() - 1
            });
            order.push((number, run.row));
            run.row += 1;
            if run.is_read() {
                *batch = None;
                run.load(&self.keys)?;
            }
            let head = run.head().map(|row| Reverse((row, place)));
            self.heads.extend(head);
        }
        if order.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        interleave_record_batch(&batches, &order).map(Some)
    }
}

impl Run {
    fn is_read(&self) -> bool {
        let rows = self.batch.as_ref().map_or(0, |(_, keys)| keys.num_rows());
        self.row >= rows
    }

    /// The next batch that has rows.
    fn load(&mut self, keys: &Keys) -> Result<(), ArrowError> {
        self.row = 0;
        self.batch = None;
        while self.is_read() {
            let Some(batch) = self.batches.next().transpose()? else {
                return Ok(());
            };
            let rows = keys.of(&batch)?;
            self.batch = Some((batch, rows));
        }
        Ok(())
    }

    fn head(&self) -> Option<OwnedRow> {
        let (_, keys) = self.batch.as_ref()?;
        (self.row < keys.num_rows()).then(|| keys.row(self.row).owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray as _, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("at", DataType::Int64, false),
            Field::new("who", DataType::Utf8, true),
            Field::new("number", DataType::Int64, false),
        ]))
    }

    type Plain = (i64, Option<String>, i64);

    fn batch(rows: &[Plain]) -> RecordBatch {
        let at = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
        let who = StringArray::from_iter(rows.iter().map(|row| row.1.as_deref()));
        let number = Int64Array::from_iter_values(rows.iter().map(|row| row.2));
        let columns: Vec<ArrayRef> = vec![Arc::new(at), Arc::new(who), Arc::new(number)];
        RecordBatch::try_new(schema(), columns).unwrap()
    }

    fn plain(batch: &RecordBatch) -> Vec<Plain> {
        let at = batch.column(0).as_primitive::<Int64Type>();
        let who = batch.column(1).as_string::<i32>();
        let number = batch.column(2).as_primitive::<Int64Type>();
        let rows = at.values().iter().zip(who.iter()).zip(number.values());
        rows.map(|((at, who), number)| (*at, who.map(str::to_owned), *number))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Whatever fits in memory and whatever does not, in however many files.
        #[test]
        fn rows_come_out_in_order_and_each_once(
            batches in prop::collection::vec(
                prop::collection::vec((0..9_i64, prop::option::of("[ab]{0,2}")), 0..400), 0..40),
            memory_bytes in prop::sample::select(vec![0, 20_000, 1 << 30]),
        ) {
            let folder = TempDir::new().unwrap();
            let sorting = Sorting {
                columns: &["who", "at"],
                folder: folder.path().to_owned(),
                memory_bytes,
            };
            let mut sorter = Sorter::new(sorting, schema()).unwrap();
            let mut expected: Vec<Plain> = Vec::new();
            for rows in batches {
                let first = expected.len() as i64;
                let rows: Vec<Plain> = rows
                    .into_iter()
                    .zip(first..)
                    .map(|((at, who), number)| (at, who, number))
                    .collect();
                sorter.push(batch(&rows)).unwrap();
                expected.extend(rows);
            }
            expected.sort_by_key(|row| (row.1.clone(), row.0));
            let mut sorted = sorter.finish().unwrap();
            let mut found = Vec::new();
            while let Some(batch) = sorted.next().unwrap() {
                found.extend(plain(&batch));
            }
            let key = |row: &Plain| (row.1.clone(), row.0);
            prop_assert_eq!(
                found.iter().map(key).collect::<Vec<_>>(),
                expected.iter().map(key).collect::<Vec<_>>()
            );
            let mut numbers: Vec<i64> = found.iter().map(|row| row.2).collect();
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (0..expected.len() as i64).collect::<Vec<_>>());
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
