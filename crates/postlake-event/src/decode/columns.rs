//! Column builders for one kind of value, and the lineage that every row carries.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder as _, ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;

use super::BatchInput;
use super::value::{self, Reading};
use crate::schema::{FieldKind, Table};

/// A builder for one documented field.
#[derive(Debug)]
pub(super) enum ColumnBuilder {
    Text(StringBuilder),
    Json(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl ColumnBuilder {
    pub(super) fn new(kind: FieldKind) -> ColumnBuilder {
        match kind {
            FieldKind::Text => ColumnBuilder::Text(StringBuilder::new()),
            FieldKind::Json => ColumnBuilder::Json(StringBuilder::new()),
            FieldKind::Int => ColumnBuilder::Int(Int64Builder::new()),
            FieldKind::Float => ColumnBuilder::Float(Float64Builder::new()),
            FieldKind::Bool => ColumnBuilder::Bool(BooleanBuilder::new()),
            FieldKind::Time => ColumnBuilder::Time(TimestampMicrosecondBuilder::new()),
        }
    }

    /// Fills up with nulls to `rows` rows.
    pub(super) fn pad(&mut self, rows: usize) {
        match self {
            ColumnBuilder::Text(builder) | ColumnBuilder::Json(builder) => {
                builder.append_nulls(rows.saturating_sub(builder.len()));
            }
            ColumnBuilder::Int(builder) => {
                builder.append_nulls(rows.saturating_sub(builder.len()));
            }
            ColumnBuilder::Float(builder) => {
                builder.append_nulls(rows.saturating_sub(builder.len()));
            }
            ColumnBuilder::Bool(builder) => {
                builder.append_nulls(rows.saturating_sub(builder.len()));
            }
            ColumnBuilder::Time(builder) => {
                builder.append_nulls(rows.saturating_sub(builder.len()));
            }
        }
    }

    /// Appends the value that `raw` (JSON text) holds. True if it fits the column; a value that does
    /// not fit appends null.
    pub(super) fn append(&mut self, raw: &str) -> bool {
        match self {
            ColumnBuilder::Text(builder) => append_text(builder, raw),
            ColumnBuilder::Json(builder) => append_json(builder, raw),
            ColumnBuilder::Int(builder) => {
                settle(value::int(raw), |int| builder.append_option(int))
            }
            ColumnBuilder::Float(builder) => {
                settle(value::float(raw), |float| builder.append_option(float))
            }
            ColumnBuilder::Bool(builder) => settle(value::boolean(raw), |boolean| {
                builder.append_option(boolean)
            }),
            ColumnBuilder::Time(builder) => {
                settle(value::micros(raw), |micros| builder.append_option(micros))
            }
        }
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            ColumnBuilder::Text(builder) | ColumnBuilder::Json(builder) => {
                Arc::new(builder.finish())
            }
            ColumnBuilder::Int(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Float(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Bool(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Time(builder) => Arc::new(builder.finish().with_timezone("UTC")),
        }
    }
}

/// A JSON value is kept as its exact text; an absent one stays null.
fn append_json(builder: &mut StringBuilder, raw: &str) -> bool {
    builder.append_option((raw != "null").then_some(raw));
    true
}

fn append_text(builder: &mut StringBuilder, raw: &str) -> bool {
    match value::text(raw) {
        Some(text) => {
            builder.append_value(text.as_ref());
            true
        }
        None => {
            builder.append_null();
            raw == "null"
        }
    }
}

fn settle<T>(reading: Reading<T>, append: impl FnOnce(Option<T>)) -> bool {
    match reading {
        Reading::Value(value) => {
            append(Some(value));
            true
        }
        Reading::Absent => {
            append(None);
            true
        }
        Reading::Misfit => {
            append(None);
            false
        }
    }
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
