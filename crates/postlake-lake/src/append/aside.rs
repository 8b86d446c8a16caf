//! Rows that wait until the files of other days are closed.
//!
//! They lie in a file without a name, gone with the process, day by day in the order in which they came. Where no
//! such file can be had (no folder that may be written, a full disk) they wait in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

/// Pieces are put together until they have so many rows.
const BATCH_ROWS: usize = 8192;

/// Rows of one day.
#[derive(Debug)]
enum Piece {
    /// As an Arrow stream of so many bytes that holds so many rows.
    InFile {
        offset: u64,
        bytes: u64,
        rows: usize,
    },
    InMemory(RecordBatch),
}

/// Rows by the day of their partition.
#[derive(Debug)]
pub(super) struct Aside {
    folder: PathBuf,
    file: Option<File>,
    file_bytes: u64,
    pieces: BTreeMap<i32, Vec<Piece>>,
    rows_in_memory: usize,
}

impl Aside {
    /// Nothing yet; the file will lie in `folder`.
    pub(super) fn new(folder: PathBuf) -> Aside {
        Aside {
            folder,
            file: None,
            file_bytes: 0,
            pieces: BTreeMap::new(),
            rows_in_memory: 0,
        }
    }

    /// Rows that there is no file for.
    pub(super) fn rows_in_memory(&self) -> usize {
        self.rows_in_memory
    }

    /// Keeps the rows of a day, behind those that came before.
    ///
    /// # Errors
    /// When the rows cannot be written as Arrow, which is a defect; a refusing disk is none.
    pub(super) fn put(&mut self, day: i32, rows: RecordBatch) -> Result<(), ArrowError> {
        let stream = stream_of(&rows)?;
        let piece = match self.put_in_file(&stream, rows.num_rows()) {
            Ok(piece) => piece,
            Err(error) => {
                if self.rows_in_memory == 0 {
                    tracing::warn!(
                        folder = %self.folder.display(),
                        "rows of many days wait in memory, the folder takes no file of theirs: {error}"
                    );
                }
                self.rows_in_memory += rows.num_rows();
                Piece::InMemory(rows)
            }
        };
        self.pieces.entry(day).or_default().push(piece);
        Ok(())
    }

    /// The rows of the first day that has some, and no longer kept.
    pub(super) fn take_day(&mut self) -> Option<Day> {
        let (_, pieces) = self.pieces.pop_first()?;
        Some(Day(pieces.into_iter()))
    }

    /// Some more rows of a day; none when all were given.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn next(
        &mut self,
        day: &mut Day,
        schema: &SchemaRef,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        let (mut batches, mut rows) = (Vec::new(), 0);
        while rows < BATCH_ROWS {
            let Some(piece) = day.0.next() else {
                break;
            };
            let piece = self.rows_of(piece)?;
            rows += piece.iter().map(RecordBatch::num_rows).sum::<usize>();
            batches.extend(piece);
        }
        if batches.is_empty() {
            return Ok(None);
        }
        concat_batches(schema, &batches).map(Some)
    }

    fn put_in_file(&mut self, stream: &[u8], rows: usize) -> io::Result<Piece> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.folder)?),
        };
        // Whatever a write that failed has left there is written over.
        file.seek(SeekFrom::Start(self.file_bytes))?;
        file.write_all(stream)?;
        let (offset, bytes) = (self.file_bytes, stream.len() as u64);
        self.file_bytes += bytes;
        Ok(Piece::InFile {
            offset,
            bytes,
            rows,
        })
    }

    fn rows_of(&mut self, piece: Piece) -> Result<Vec<RecordBatch>, ArrowError> {
        match (piece, &mut self.file) {
            (Piece::InMemory(rows), _) => {
                self.rows_in_memory -= rows.num_rows();
                Ok(vec![rows])
            }
            (
                Piece::InFile {
                    offset,
                    bytes,
                    rows,
                },
                Some(file),
            ) => {
                file.seek(SeekFrom::Start(offset))?;
                let stream = StreamReader::try_new(io::BufReader::new(file.take(bytes)), None)?;
                let batches: Vec<RecordBatch> = stream.collect::<Result<_, _>>()?;
                // A stream may end early and look whole: a disk that was full when it came to writing gives zeros.
                if batches.iter().map(RecordBatch::num_rows).sum::<usize>() != rows {
                    let lost = io::Error::other("the file of rows put aside gives fewer rows back");
                    return Err(ArrowError::from(lost));
                }
                Ok(batches)
            }
            (Piece::InFile { .. }, None) => {
                let lost = io::Error::other("the file of rows put aside is gone");
                Err(ArrowError::from(lost))
            }
        }
    }
}

/// A day whose rows are on their way.
#[derive(Debug)]
pub(super) struct Day(std::vec::IntoIter<Piece>);

fn stream_of(rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema())?;
    writer.write(rows)?;
    writer.into_inner()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray as _, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use tempfile::TempDir;

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]))
    }

    fn rows(numbers: std::ops::Range<i64>) -> RecordBatch {
        let numbers = Int64Array::from_iter_values(numbers);
        RecordBatch::try_new(schema(), vec![Arc::new(numbers)]).unwrap()
    }

    /// Everything that was put aside, day after day.
    fn all(aside: &mut Aside) -> Vec<Vec<i64>> {
        let mut days = Vec::new();
        while let Some(mut day) = aside.take_day() {
            let mut found = Vec::new();
            while let Some(batch) = aside.next(&mut day, &schema()).unwrap() {
                assert!(batch.num_rows() > 0);
                found.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
            }
            days.push(found);
        }
        days
    }

    fn put_three_days(aside: &mut Aside) {
        for (day, numbers) in [(2, 0..3), (1, 3..4), (2, 4..9000), (3, 9000..9001)] {
            aside.put(day, rows(numbers)).unwrap();
        }
        // A slice of rows is put aside without the rows around it.
        aside.put(1, rows(9001..9100).slice(50, 2)).unwrap();
    }

    fn three_days() -> Vec<Vec<i64>> {
        vec![
            vec![3, 9051, 9052],
            (0..3).chain(4..9000).collect(),
            vec![9000],
        ]
    }

    #[test]
    fn rows_come_back_by_day_in_their_order_and_the_folder_stays_empty() {
        let folder = TempDir::new().unwrap();
        let mut aside = Aside::new(folder.path().to_owned());
        put_three_days(&mut aside);
        assert_eq!(aside.rows_in_memory(), 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(all(&mut aside), three_days());
        // There may be more after that.
        aside.put(7, rows(1..2)).unwrap();
        assert_eq!(all(&mut aside), [[1]]);
    }

    #[test]
    fn rows_that_do_not_come_back_are_an_error() {
        let folder = TempDir::new().unwrap();
        let mut aside = Aside::new(folder.path().to_owned());
        aside.put(1, rows(0..100)).unwrap();
        // Everything behind the schema.
        let head = stream_of(&rows(0..1)).unwrap();
        let head = head.windows(4).rposition(|word| word == [255; 4]).unwrap();
        let head = stream_of(&rows(0..1)).unwrap()[..head]
            .windows(4)
            .rposition(|word| word == [255; 4])
            .unwrap();
        let file = aside.file.as_mut().unwrap();
        let bytes = usize::try_from(file.metadata().unwrap().len()).unwrap();
        file.seek(SeekFrom::Start(head as u64)).unwrap();
        file.write_all(&vec![0; bytes - head]).unwrap();
        let mut day = aside.take_day().unwrap();
        let error = aside.next(&mut day, &schema()).unwrap_err().to_string();
        assert!(error.contains("fewer rows"), "{error}");
    }

    #[test]
    fn without_a_folder_rows_wait_in_memory() {
        let mut aside = Aside::new(PathBuf::from("/nowhere/at/all"));
        put_three_days(&mut aside);
        assert_eq!(aside.rows_in_memory(), 9003);
        assert_eq!(all(&mut aside), three_days());
        assert_eq!(aside.rows_in_memory(), 0);
    }

    #[test]
    fn what_the_disk_has_no_room_for_waits_in_memory_behind_what_lies_there() {
        // A device that refuses every write as a full disk does.
        let full = File::options()
            .read(true)
            .write(true)
            .open("/dev/full")
            .unwrap();
        let folder = TempDir::new().unwrap();
        let mut aside = Aside::new(folder.path().to_owned());
        aside.put(1, rows(0..2)).unwrap();
        let good = aside.file.replace(full);
        aside.put(1, rows(2..4)).unwrap();
        assert_eq!(aside.rows_in_memory(), 2);
        aside.file = good;
        aside.put(1, rows(4..5)).unwrap();
        assert_eq!(all(&mut aside), [[0, 1, 2, 3, 4]]);
    }
}
