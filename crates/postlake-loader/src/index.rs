//! What the lake already holds, by key: the memory behind "effectively once".
//!
//! A key holds the day of its row (the event's own second, an alert's `triggered_at`), so equal keys
//! lie in one partition. The index reads the keys of a day when the first row of that day comes and
//! keeps the days in use: mostly today and yesterday. A duplicate of months ago makes it read that
//! one partition again: it costs a read, never a wrong answer. Days that were not used for longest
//! are let go when the index passes its limit.
//!
//! Rows without a usable time lie on the day they were received, which a resend changes; their keys
//! are kept together in one set over all days.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use futures::TryStreamExt as _;
use postlake_event::decode::{Identity, UNDATED_FLAG};
use postlake_event::key::{EventTime, Key};
use postlake_event::schema::Table;
use postlake_lake::LakeTable;

use crate::error::LoadError;

/// Keys that are held at most before days are let go; about 40 bytes each.
pub const DEFAULT_KEY_LIMIT: usize = 4_000_000;

/// A part of a table whose keys are read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shelf {
    Day(i32),
    Undated,
}

impl Shelf {
    fn of(identity: &Identity) -> Shelf {
        if identity.undated {
            Shelf::Undated
        } else {
            Shelf::Day(identity.day)
        }
    }
}

/// The keys of one table, as far as they are in memory.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    table: Table,
    shelves: HashMap<Shelf, (HashSet<Key>, u64)>,
    limit: usize,
    pass: u64,
}

impl KeyIndex {
    pub(crate) fn new(table: Table, limit: usize) -> KeyIndex {
        KeyIndex {
            table,
            shelves: HashMap::new(),
            limit,
            pass: 0,
        }
    }

    /// Has the keys of every partition that these rows touch in memory. `lake` must be the version
    /// that the pass will commit on.
    pub(crate) async fn prepare(
        &mut self,
        lake: &LakeTable,
        rows: &[Identity],
    ) -> Result<(), LoadError> {
        self.pass += 1;
        let missing = self.shelve(rows);
        if missing.contains(&Shelf::Undated) {
            let sql = key_query(self.table, &undated(self.table));
            self.read(lake, &sql, true).await?;
        }
        let days = missing.iter().filter_map(|shelf| match shelf {
            Shelf::Day(day) => Some(format!("arrow_cast({day}, 'Date32')")),
            Shelf::Undated => None,
        });
        let days: Vec<_> = days.collect();
        for some_days in days.chunks(DAYS_IN_A_QUERY) {
            let wanted = format!(
                "{} IN ({}) AND NOT ({})",
                self.table.partition_column(),
                some_days.join(", "),
                undated(self.table)
            );
            let sql = key_query(self.table, &wanted);
            self.read(lake, &sql, false).await?;
        }
        self.let_go();
        Ok(())
    }

    /// Marks the shelves of these rows as in use and returns those that have to be read.
    fn shelve(&mut self, rows: &[Identity]) -> Vec<Shelf> {
        let mut missing = Vec::new();
        for row in rows {
            let shelf = Shelf::of(row);
            match self.shelves.get_mut(&shelf) {
                Some((_, used)) => *used = self.pass,
                None => {
                    self.shelves.insert(shelf, (HashSet::new(), self.pass));
                    missing.push(shelf);
                }
            }
        }
        missing
    }

    /// Puts the keys that a question finds onto their shelves.
    async fn read(&mut self, lake: &LakeTable, sql: &str, undated: bool) -> Result<(), LoadError> {
        let mut batches = lake.select(sql).await.map_err(LoadError::Lake)?;
        while let Some(batch) = batches.try_next().await.map_err(LoadError::Lake)? {
            let keys = match self.table {
                Table::Alerts => alert_keys(&batch),
                _ => event_keys(&batch, undated),
            };
            let days = batch.column(0).as_primitive::<Int32Type>();
            for (day, key) in days.values().iter().zip(keys) {
                let shelf = if undated {
                    Shelf::Undated
                } else {
                    Shelf::Day(*day)
                };
                if let Some((shelved, _)) = self.shelves.get_mut(&shelf) {
                    shelved.insert(key);
                }
            }
        }
        Ok(())
    }

    /// Notes the row's key; true if it was not there before.
    pub(crate) fn insert(&mut self, identity: &Identity) -> bool {
        let (keys, _) = self.shelves.entry(Shelf::of(identity)).or_default();
        keys.insert(identity.key)
    }

    /// Forgets the days that were not used for longest, never those of the current pass.
    fn let_go(&mut self) {
        let mut held: usize = self.shelves.values().map(|(keys, _)| keys.len()).sum();
        let mut idle: Vec<_> = self
            .shelves
            .iter()
            .filter(|(_, (_, used))| *used < self.pass)
            .map(|(shelf, (keys, used))| (*used, *shelf, keys.len()))
            .collect();
        idle.sort_unstable_by_key(|(used, _, _)| *used);
        for (_, shelf, keys) in idle {
            if held <= self.limit {
                return;
            }
            self.shelves.remove(&shelf);
            held -= keys;
        }
    }
}

/// Days that one question asks for.
const DAYS_IN_A_QUERY: usize = 200;

/// The partition and the columns that keys are made of, as plain numbers and text.
fn key_query(table: Table, wanted: &str) -> String {
    let columns = match table {
        Table::Alerts => "arrow_cast(record_id, 'Utf8')",
        _ => {
            "arrow_cast(event_class, 'Utf8'), arrow_cast(type, 'Utf8'), arrow_cast(event_id, 'Utf8'), \
             arrow_cast(event_hash, 'Utf8'), event_at, arrow_cast(timestamp, 'Utf8')"
        }
    };
    format!(
        "SELECT arrow_cast({}, 'Int32'), {columns} FROM {} WHERE {wanted}",
        table.partition_column(),
        table.name()
    )
}

/// The condition that finds rows without a usable time.
fn undated(table: Table) -> String {
    match table {
        Table::Alerts => "strpos(coalesce(flags, ''), 'triggered_at') > 0".to_owned(),
        _ => format!("starts_with(coalesce(flags, ''), '{UNDATED_FLAG}')"),
    }
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

    fn identity(key: u128, day: i32) -> Identity {
        Identity {
            key: Key(key),
            day,
            undated: false,
            batch: 0,
            item_index: 0,
        }
    }

    #[test]
    fn a_key_is_new_once() {
        let mut index = KeyIndex::new(Table::Events, 10);
        assert!(index.insert(&identity(1, 5)));
        assert!(!index.insert(&identity(1, 5)));
        assert!(index.insert(&Identity {
            undated: true,
            ..identity(1, 5)
        }));
    }

    #[test]
    fn idle_days_are_let_go_beyond_the_limit() {
        let mut index = KeyIndex::new(Table::Events, 3);
        for key in 0..3 {
            index.insert(&identity(key, 1));
            index.insert(&identity(key, 2));
        }
        index.pass = 2;
        for (shelf, (_, used)) in &mut index.shelves {
            *used = if *shelf == Shelf::Day(2) { 2 } else { 1 };
        }
        index.let_go();
        assert!(!index.shelves.contains_key(&Shelf::Day(1)));
        assert!(index.shelves.contains_key(&Shelf::Day(2)));
    }
}
