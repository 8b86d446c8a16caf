//! Columns made fit for a format: unique names, nested values as text, control characters shown.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use postlake_listen::visible;

/// The schema with a number added to each name that was there before: `x`, `x_2`, `x_3`.
pub(super) fn with_unique_names(schema: &Schema) -> SchemaRef {
    let mut taken: HashSet<String> = HashSet::new();
    let fields: Fields = schema
        .fields()
        .iter()
        .map(|field| {
            let name = free_name(field.name(), &taken);
            taken.insert(name.clone());
            field.as_ref().clone().with_name(name).with_nullable(true)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn free_name(name: &str, taken: &HashSet<String>) -> String {
    if !taken.contains(name) {
        return name.to_owned();
    }
    (2_u64..)
        .map(|number| format!("{name}_{number}"))
        .find(|candidate| !taken.contains(candidate))
        .expect("some number is free, since there are finitely many columns")
}

/// The batch under the names of `schema`.
pub(super) fn renamed(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let fields: Fields = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            field
                .as_ref()
                .clone()
                .with_data_type(column.data_type().clone())
        })
        .collect();
    rebuilt(
        batch,
        Arc::new(Schema::new(fields)),
        batch.columns().to_vec(),
    )
}

/// Every value as text, nulls as nulls.
pub(super) fn as_text(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .map(|column| text_of(column, None, str::to_owned))
        .collect::<Result<Vec<_>, _>>()?;
    let fields = batch.schema().fields().clone();
    let fields: Fields = fields
        .iter()
        .map(|field| Field::new(field.name(), DataType::Utf8, true))
        .collect();
    rebuilt(batch, Arc::new(Schema::new(fields)), columns)
}

/// Every value as the text that a terminal may get.
pub(super) fn as_shown_text(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .map(|column| text_of(column, Some("NULL"), |text| visible(text).into_owned()))
        .collect::<Result<Vec<_>, _>>()?;
    rebuilt(batch, shown_schema(&batch.schema()), columns)
}

/// The schema of [`as_shown_text`].
pub(super) fn shown_schema(schema: &Schema) -> SchemaRef {
    let fields: Fields = schema
        .fields()
        .iter()
        .map(|field| Field::new(visible(field.name()), DataType::Utf8, true))
        .collect();
    Arc::new(Schema::new(fields))
}

fn rebuilt(
    batch: &RecordBatch,
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

fn text_of(
    column: &ArrayRef,
    missing: Option<&str>,
    shown: impl Fn(&str) -> String,
) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::new();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let mut text = StringBuilder::with_capacity(column.len(), column.len() * 8);
    for row in 0..column.len() {
        if column.is_null(row) {
            text.append_option(missing);
        } else {
            text.append_value(shown(&formatter.value(row).try_to_string()?));
        }
    }
    Ok(Arc::new(text.finish()))
}
