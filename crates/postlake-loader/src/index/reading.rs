//! Reading keys from the lake: what is asked, and what the answer says.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use postlake_event::decode::UNDATED_FLAG;
use postlake_event::key::{EventTime, Key};
use postlake_event::schema::Table;

use super::Shelf;
use super::seeded::KeySet;

/// The keys of rows that are looked for on a shelf, and the time they are of.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    keys: KeySet,
    /// Seconds since the epoch, both included; none if a row has no time.
    seconds: Option<(i64, i64)>,
    timeless: bool,
}

impl Wanted {
    pub(super) fn add(&mut self, key: Key, micros: Option<i64>) {
        self.keys.insert(key);
        let Some(micros) = micros else {
            self.timeless = true;
            return;
        };
        // Equal keys have the same second.
        let second = micros.div_euclid(MICROS_IN_A_SECOND);
        let (first, last) = self.seconds.unwrap_or((second, second));
        self.seconds = Some((first.min(second), last.max(second)));
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.keys.contains(&key)
    }

    pub(super) fn seconds(&self) -> Option<(i64, i64)> {
        self.seconds.filter(|_| !self.timeless)
    }

    /// True if rows of those seconds may be among the wanted ones.
    pub(super) fn overlaps(&self, seconds: Option<(i64, i64)>) -> bool {
        match (self.seconds(), seconds) {
            (Some((first, last)), Some((from, to))) => first <= to && from <= last,
            _ => true,
        }
    }
}

const MICROS_IN_A_SECOND: i64 = 1_000_000;

/// The question for the keys of some days, or of the undated rows: the partition and the columns that
/// keys are made of, as plain numbers and text.
pub(crate) fn query(table: Table, shelves: &[Shelf], seconds: Option<(i64, i64)>) -> String {
    let columns = match table {
        Table::Alerts => "arrow_cast(record_id, 'Utf8')",
        _ => {
            "arrow_cast(event_class, 'Utf8'), arrow_cast(type, 'Utf8'), arrow_cast(event_id, 'Utf8'), \
             arrow_cast(event_hash, 'Utf8'), event_at, arrow_cast(timestamp, 'Utf8')"
        }
    };
    let days = shelves.iter().filter_map(|shelf| match shelf {
        Shelf::Day(day) => Some(format!("arrow_cast({day}, 'Date32')")),
        Shelf::Undated => None,
    });
    let days: Vec<_> = days.collect();
    let partition = table.partition_column();
    let mut wanted = match days.is_empty() {
        true => undated(table),
        false => format!(
            "{partition} IN ({}) AND NOT ({})",
            days.join(", "),
            undated(table)
        ),
    };
    if let (Some((first, last)), false) = (seconds, days.is_empty()) {
        let time = table.time_column();
        wanted += &format!(
            " AND {time} >= {} AND {time} < {}",
            instant(first),
            instant(last.saturating_add(1))
        );
    }
    format!(
        "SELECT arrow_cast({partition}, 'Int32'), {columns} FROM {} WHERE {wanted}",
        table.name()
    )
}

fn instant(second: i64) -> String {
    let micros = second.saturating_mul(MICROS_IN_A_SECOND);
    format!("arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// The condition that finds rows without a usable time. Few rows have flags: most files are passed
/// over for what the log says of theirs.
fn undated(table: Table) -> String {
    match table {
        Table::Alerts => "flags IS NOT NULL AND strpos(flags, 'triggered_at') > 0".to_owned(),
        _ => format!("flags IS NOT NULL AND starts_with(flags, '{UNDATED_FLAG}')"),
    }
}

/// Days and keys of an answer.
pub(crate) fn keys_of(
    table: Table,
    batch: &RecordBatch,
    undated: bool,
) -> impl Iterator<Item = (i32, Key)> {
    let days = batch.column(0).as_primitive::<Int32Type>().values();
    let keys = match table {
        Table::Alerts => alert_keys(batch),
        _ => event_keys(batch, undated),
    };
    days.iter().copied().zip(keys)
}

/// The key of each row of `events` or `alerts`, in the table's own types; none for other tables.
pub(crate) fn row_keys(table: Table, rows: &RecordBatch) -> Vec<Key> {
    let names: &[&str] = match table {
        Table::Events => &[
            "event_class",
            "type",
            "event_id",
            "event_hash",
            "event_at",
            "timestamp",
        ],
        Table::Alerts => &["record_id"],
        Table::Quarantine | Table::Batches => return Vec::new(),
    };
    let schema = rows.schema();
    // The first is the day, which no key is made of.
    let columns =
        std::iter::once(0).chain(names.iter().filter_map(|name| schema.index_of(name).ok()));
    let columns: Vec<usize> = columns.collect();
    let Ok(parts) = rows.project(&columns) else {
        return Vec::new();
    };
    if table == Table::Alerts {
        return alert_keys(&parts);
    }
    let flags = rows
        .column_by_name("flags")
        .map(|flags| flags.as_string::<i32>());
    let (dated, undated) = (event_keys(&parts, false), event_keys(&parts, true));
    let keys = dated.into_iter().zip(undated).enumerate();
    let keys = keys.map(|(row, (dated, undated))| {
        let flags = flags.filter(|flags| flags.is_valid(row));
        let is_undated = flags.is_some_and(|flags| flags.value(row).starts_with(UNDATED_FLAG));
        if is_undated { undated } else { dated }
    });
    keys.collect()
}

fn alert_keys(batch: &RecordBatch) -> Vec<Key> {
    let ids = batch.column(1).as_string::<i32>();
    ids.iter().flatten().map(Key::of_record).collect()
}

fn event_keys(batch: &RecordBatch, undated: bool) -> Vec<Key> {
    let text = |column: usize| batch.column(column).as_string::<i32>();
    let (class, event_type, id, hash, timestamp) = (text(1), text(2), text(3), text(4), text(6));
    let event_at = batch.column(5).as_primitive::<TimestampMicrosecondType>();
    (0..batch.num_rows())
        .map(|row| {
            if id.is_null(row) {
                return Key::of_hash(hash.value(row));
            }
            let time = match (undated, timestamp.is_null(row)) {
                (false, _) => EventTime::Micros(event_at.value(row)),
                (true, true) => EventTime::Unreadable(""),
                (true, false) => EventTime::Unreadable(timestamp.value(row)),
            };
            let event_type = event_type.is_valid(row).then(|| event_type.value(row));
            Key::of_event(class.value(row), event_type, id.value(row), time)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_pruned_by_whole_seconds() {
        let mut wanted = Wanted::default();
        wanted.add(Key(1), Some(7_500_000));
        wanted.add(Key(2), Some(9_000_000));
        assert_eq!(wanted.seconds(), Some((7, 9)));
        assert!(wanted.overlaps(Some((9, 20))) && wanted.overlaps(None));
        assert!(!wanted.overlaps(Some((10, 20))) && !wanted.overlaps(Some((0, 6))));
        let sql = query(Table::Events, &[Shelf::Day(3)], wanted.seconds());
        assert!(sql.contains("event_at >= arrow_cast(7000000,"), "{sql}");
        assert!(sql.contains("event_at < arrow_cast(10000000,"), "{sql}");
        wanted.add(Key(3), None);
        assert_eq!(wanted.seconds(), None);
        assert!(wanted.has(Key(3)) && !wanted.has(Key(4)));
    }
}
