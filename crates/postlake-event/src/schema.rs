//! The tables of the lake and their columns: the one place that spells them.
//!
//! The lake, the CSV files and the documents follow from here. A column is added at the end of its
//! block, never renamed and never given another type (see `docs/formats.md`).

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

mod fields;

pub use fields::{EVENT_FIELDS, EventField, FieldKind, GEO_IP_FIELDS, USER_AGENT_FIELDS};

/// A table of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Email events, one row each.
    Events,
    /// Alert firings, one row each; Health Scores among them.
    Alerts,
    /// Items and bodies that could not be decoded (the dead letter table, as others call it).
    Quarantine,
    /// Received batches with their accounts.
    Batches,
}

impl Table {
    /// All tables, in the order in which a loader commits them.
    pub const ALL: [Table; 4] = [
        Table::Events,
        Table::Alerts,
        Table::Quarantine,
        Table::Batches,
    ];

    /// The table's name in SQL, in paths and in file names.
    pub fn name(self) -> &'static str {
        match self {
            Table::Events => "events",
            Table::Alerts => "alerts",
            Table::Quarantine => "quarantine",
            Table::Batches => "batches",
        }
    }

    /// The date column that the table is partitioned by.
    pub fn partition_column(self) -> &'static str {
        match self {
            Table::Events => "event_date",
            Table::Alerts => "triggered_date",
            Table::Quarantine | Table::Batches => "received_date",
        }
    }

    /// The column of the time whose day is the partition.
    pub fn time_column(self) -> &'static str {
        match self {
            Table::Events => "event_at",
            Table::Alerts => "triggered_at",
            Table::Quarantine | Table::Batches => "received_at",
        }
    }

    /// The columns, in the order that every reader and every CSV file sees.
    pub fn schema(self) -> SchemaRef {
        let schema = match self {
            Table::Events => &EVENTS,
            Table::Alerts => &ALERTS,
            Table::Quarantine => &QUARANTINE,
            Table::Batches => &BATCHES,
        };
        SchemaRef::clone(schema)
    }
}

/// Microseconds since the epoch, UTC.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}

fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// Where a row came from: the segment's stream and number, the batch in it, the item in the batch.
fn lineage(item_index: Option<bool>) -> Vec<Field> {
    let mut fields = vec![
        required("stream", DataType::Utf8),
        required("segment", DataType::Int64),
        required("batch_index", DataType::Int64),
    ];
    if let Some(nullable) = item_index {
        fields.push(Field::new("item_index", DataType::Int64, nullable));
    }
    fields
}

fn schema(head: Vec<Field>, tail: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new([head, tail].concat()))
}

static EVENTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![
        required("event_date", DataType::Date32),
        required("event_class", DataType::Utf8),
        optional("type", DataType::Utf8),
        optional("event_id", DataType::Utf8),
        required("event_at", timestamp_type()),
        required("received_at", timestamp_type()),
        optional("batch_id", DataType::Utf8),
        optional("subaccount_id", DataType::Int64),
        optional("flags", DataType::Utf8),
    ];
    fields.extend(
        EVENT_FIELDS
            .iter()
            .map(|field| optional(field.column, field.kind.data_type())),
    );
    fields.push(optional("event_hash", DataType::Utf8));
    fields.push(optional("extra", DataType::Utf8));
    schema(fields, lineage(Some(false)))
});

static ALERTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(
        vec![
            required("triggered_date", DataType::Date32),
            optional("alert_id", DataType::Int64),
            optional("incident_id", DataType::Int64),
            optional("name", DataType::Utf8),
            optional("metric", DataType::Utf8),
            optional("operator", DataType::Utf8),
            optional("source", DataType::Utf8),
            optional("threshold", DataType::Float64),
            optional("triggered_value", DataType::Float64),
            required("triggered_at", timestamp_type()),
            optional("subaccount_id", DataType::Int64),
            optional("facet_name", DataType::Utf8),
            optional("facet_value", DataType::Utf8),
            optional("filters", DataType::Utf8),
            required("record_id", DataType::Utf8),
            required("received_at", timestamp_type()),
            optional("flags", DataType::Utf8),
            optional("extra", DataType::Utf8),
        ],
        lineage(Some(false)),
    )
});

static QUARANTINE: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(
        vec![
            required("received_date", DataType::Date32),
            required("received_at", timestamp_type()),
            required("source", DataType::Utf8),
            optional("batch_id", DataType::Utf8),
            required("code", DataType::Utf8),
            required("message", DataType::Utf8),
            optional("byte_offset", DataType::Int64),
            optional("item_bytes", DataType::Int64),
            optional("excerpt", DataType::Utf8),
        ],
        lineage(Some(true)),
    )
});

static BATCHES: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(
        vec![
            required("received_date", DataType::Date32),
            required("received_at", timestamp_type()),
            required("loaded_at", timestamp_type()),
            required("source", DataType::Utf8),
            optional("batch_id", DataType::Utf8),
            required("sha256", DataType::Utf8),
            required("bytes", DataType::Int64),
            required("items", DataType::Int64),
            required("events", DataType::Int64),
            required("alerts", DataType::Int64),
            required("duplicates", DataType::Int64),
            required("rejects", DataType::Int64),
            optional("flags", DataType::Utf8),
        ],
        lineage(None),
    )
});

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn column_names_are_unique_and_the_partition_column_comes_first() {
        for table in Table::ALL {
            let schema = table.schema();
            let names: HashSet<_> = schema.fields().iter().map(|field| field.name()).collect();
            assert_eq!(names.len(), schema.fields().len(), "{}", table.name());
            assert_eq!(schema.field(0).name(), table.partition_column());
        }
    }

    #[test]
    fn every_documented_object_is_flattened_into_its_own_columns() {
        let schema = Table::Events.schema();
        for (_, column, _) in GEO_IP_FIELDS.iter().chain(USER_AGENT_FIELDS) {
            assert!(schema.field_with_name(column).is_ok(), "{column}");
        }
    }

    /// The columns of a table, a line each: `<name> <type>`, with `required` behind those that are never null.
    fn lines(table: Table) -> Vec<String> {
        let schema = table.schema();
        let line = |field: &Arc<Field>| {
            let required = if field.is_nullable() { "" } else { " required" };
            format!("{} {}{required}", field.name(), field.data_type())
        };
        schema.fields().iter().map(line).collect()
    }

    /// Lakes of every release have to be read and gone on with.
    #[test]
    fn columns_of_every_release_are_there_as_they_were_and_new_ones_may_be_null() {
        let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/columns");
        for table in Table::ALL {
            let today = lines(table);
            let mut known = HashSet::new();
            for release in std::fs::read_dir(recorded).unwrap() {
                let file = release
                    .unwrap()
                    .path()
                    .join(format!("{}.txt", table.name()));
                let then = std::fs::read_to_string(&file).unwrap();
                let mut places = then
                    .lines()
                    .map(|line| {
                        today
                            .iter()
                            .position(|today| today == line)
                            .unwrap_or_else(|| {
                                panic!(
                                    "{}: `{line}` of {} is no longer there",
                                    table.name(),
                                    file.display()
                                )
                            })
                    })
                    .collect::<Vec<_>>();
                assert!(places.is_sorted(), "{}: in another order", table.name());
                known.extend(places.drain(..));
            }
            for (place, line) in today.iter().enumerate() {
                let nullable = known.contains(&place) || !line.ends_with(" required");
                assert!(
                    nullable,
                    "{}: `{line}` is new, so rows that are there have null in it",
                    table.name()
                );
            }
        }
    }

    /// The part of `docs/formats.md` below the heading of a table, up to the next heading of its rank.
    fn documented(table: Table) -> String {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats.md");
        let page = std::fs::read_to_string(page).unwrap();
        let heading = format!("\n### {}\n", table.name());
        let (_, part) = page.split_once(&heading).unwrap();
        part.split("\n### ").next().unwrap().to_owned()
    }

    #[test]
    fn every_column_is_documented() {
        for table in Table::ALL {
            let part = documented(table);
            let cells = part
                .lines()
                .filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
            let columns = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
            let named: Vec<_> = columns.collect();
            let schema = table.schema();
            let known: Vec<_> = schema.fields().iter().map(|field| field.name()).collect();
            assert_eq!(
                named,
                known,
                "the columns of {} in docs/formats.md",
                table.name()
            );
        }
    }
}
