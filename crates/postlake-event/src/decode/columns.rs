//! Column builders for one kind of value, and the lineage that every row carries.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, Int64Builder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::error::ArrowError;

use super::BatchInput;
use super::value::{Form, Raw, Reading};
use crate::schema::{FieldKind, Table};

/// A builder for one documented field. Rows that lack the field cost nothing until the end: only
/// the rows that have it are written down.
#[derive(Debug)]
pub(super) enum ColumnBuilder {
    Text(TextColumn),
    Json(TextColumn),
    Int(Sparse<i64>),
    Float(Sparse<f64>),
    Bool(Sparse<bool>),
    Time(Sparse<i64>),
}

impl ColumnBuilder {
    pub(super) fn new(kind: FieldKind) -> ColumnBuilder {
        match kind {
            FieldKind::Text => ColumnBuilder::Text(TextColumn::default()),
            FieldKind::Json => ColumnBuilder::Json(TextColumn::default()),
            FieldKind::Int => ColumnBuilder::Int(Sparse::default()),
            FieldKind::Float => ColumnBuilder::Float(Sparse::default()),
            FieldKind::Bool => ColumnBuilder::Bool(Sparse::default()),
            FieldKind::Time => ColumnBuilder::Time(Sparse::default()),
        }
    }

    /// Puts a value into `row`, which comes after all rows so far. True if it fits the column; a value
    /// that does not fit leaves the row null.
    #[inline]
    pub(super) fn put(&mut self, row: usize, raw: Raw<'_>) -> bool {
        match self {
            ColumnBuilder::Text(column) => column.put_text(row, raw),
            ColumnBuilder::Json(column) => {
                // A JSON value is kept as its exact text; an absent one stays null.
                if !raw.is_null() {
                    column.put(row, raw.text);
                }
                true
            }
            ColumnBuilder::Int(column) => column.put(row, raw.int()),
            ColumnBuilder::Float(column) => column.put(row, raw.float()),
            ColumnBuilder::Bool(column) => column.put(row, raw.boolean()),
            ColumnBuilder::Time(column) => column.put(row, raw.micros()),
        }
    }

    /// The column of `rows` rows; the builder is empty afterwards.
    ///
    /// # Errors
    /// When the texts of the column are more than 2 GiB together.
    pub(super) fn finish(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            ColumnBuilder::Text(column) | ColumnBuilder::Json(column) => column.finish(rows)?,
            ColumnBuilder::Int(column) => Arc::new(Int64Array::new(
                column.dense(rows).into(),
                column.finish_nulls(rows),
            )),
            ColumnBuilder::Float(column) => Arc::new(Float64Array::new(
                column.dense(rows).into(),
                column.finish_nulls(rows),
            )),
            ColumnBuilder::Bool(column) => Arc::new(BooleanArray::new(
                column.dense(rows).into(),
                column.finish_nulls(rows),
            )),
            ColumnBuilder::Time(column) => {
                let values = column.dense(rows).into();
                let times = TimestampMicrosecondArray::new(values, column.finish_nulls(rows));
                Arc::new(times.with_timezone("UTC"))
            }
        })
    }
}

/// Values of the rows that have one.
#[derive(Debug, Default)]
pub(super) struct Sparse<T> {
    rows: Vec<u32>,
    values: Vec<T>,
}

impl<T: Copy + Default> Sparse<T> {
    #[inline]
    fn put(&mut self, row: usize, reading: Reading<T>) -> bool {
        match reading {
            Reading::Value(value) => {
                self.rows.push(row as u32);
                self.values.push(value);
                true
            }
            Reading::Absent => true,
            Reading::Misfit => false,
        }
    }

    /// A value for each row; rows without one have some value or other.
    fn dense(&mut self, rows: usize) -> Vec<T> {
        let room = Vec::with_capacity(self.values.len());
        let values = std::mem::replace(&mut self.values, room);
        if values.len() == rows {
            return values;
        }
        let mut dense = vec![T::default(); rows];
        for (row, value) in self.rows.iter().zip(values) {
            if let Some(place) = dense.get_mut(*row as usize) {
                *place = value;
            }
        }
        dense
    }

    fn finish_nulls(&mut self, rows: usize) -> Option<NullBuffer> {
        let nulls = nulls(&self.rows, rows);
        self.rows.clear();
        nulls
    }
}

/// Texts of the rows that have one.
#[derive(Debug, Default)]
pub(super) struct TextColumn {
    rows: Vec<u32>,
    /// Where the text of each of these rows ends.
    ends: Vec<usize>,
    texts: String,
}

impl TextColumn {
    /// Puts a text into `row`, which comes after all rows so far.
    #[inline]
    pub(super) fn put(&mut self, row: usize, text: &str) {
        self.rows.push(row as u32);
        self.texts.push_str(text);
        self.ends.push(self.texts.len());
    }

    #[inline]
    fn put_text(&mut self, row: usize, raw: Raw<'_>) -> bool {
        if raw.form == Form::Plain {
            self.put(row, raw.inner());
            return true;
        }
        match raw.text() {
            Some(text) => {
                self.put(row, &text);
                true
            }
            None => raw.is_null(),
        }
    }

    /// The column of `rows` rows; the builder is empty afterwards.
    ///
    /// # Errors
    /// When the texts are more than 2 GiB together.
    pub(super) fn finish(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        let room = String::with_capacity(self.texts.len());
        let texts = std::mem::replace(&mut self.texts, room);
        if i32::try_from(texts.len()).is_err() {
            return Err(ArrowError::OffsetOverflowError(texts.len()));
        }
        let mut offsets = Vec::with_capacity(rows + 1);
        let mut end = 0;
        for (row, next) in self.rows.iter().zip(&self.ends) {
            offsets.resize(*row as usize + 1, end);
            end = *next as i32;
        }
        offsets.resize(rows + 1, end);
        let nulls = nulls(&self.rows, rows);
        self.rows.clear();
        self.ends.clear();
        let offsets = OffsetBuffer::new(offsets.into());
        let texts = Buffer::from_vec(texts.into_bytes());
        Ok(Arc::new(StringArray::try_new(offsets, texts, nulls)?))
    }
}

/// Which of `rows` rows are null, if any is.
fn nulls(present: &[u32], rows: usize) -> Option<NullBuffer> {
    if present.len() == rows {
        return None;
    }
    let mut bits = vec![0_u8; rows.div_ceil(8)];
    for row in present {
        if let Some(byte) = bits.get_mut(*row as usize / 8) {
            *byte |= 1 << (row % 8);
        }
    }
    let valid = BooleanBuffer::new(Buffer::from_vec(bits), 0, rows);
    Some(NullBuffer::new(valid))
}

/// Stream, segment and batch of each row.
#[derive(Debug, Default)]
pub(super) struct LineageBuilders {
    stream: StringBuilder,
    segment: Int64Builder,
    batch_index: Int64Builder,
}

impl LineageBuilders {
    pub(super) fn push(&mut self, input: &BatchInput<'_>) {
        self.stream.append_value(input.stream);
        self.segment.append_value(input.segment);
        self.batch_index.append_value(input.batch_index);
    }

    pub(super) fn finish(&mut self) -> [ArrayRef; 3] {
        [
            Arc::new(self.stream.finish()),
            Arc::new(self.segment.finish()),
            Arc::new(self.batch_index.finish()),
        ]
    }
}

/// The record batch of a table, its columns in the table's order.
pub(super) fn batch(table: Table, columns: Vec<ArrayRef>) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(table.schema(), columns)
}
