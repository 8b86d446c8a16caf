//! How far each stream has been loaded into each table, as the tables' own logs say.

use std::collections::{BTreeMap, HashMap};

use postlake_event::schema::Table;
use postlake_lake::{Append, LakeError, LakeTable};
use postlake_raw::{SegmentKey, StreamName};

/// The four tables, open, with the positions that were asked for so far.
#[derive(Debug)]
pub(crate) struct Tables {
    tables: HashMap<Table, LakeTable>,
    known: HashMap<(Table, StreamName), i64>,
}

impl Tables {
    pub(crate) fn new(tables: impl IntoIterator<Item = LakeTable>) -> Tables {
        Tables {
            tables: tables
                .into_iter()
                .map(|table| (table.table(), table))
                .collect(),
            known: HashMap::new(),
        }
    }

    pub(crate) fn get(&self, table: Table) -> Option<&LakeTable> {
        self.tables.get(&table)
    }

    pub(crate) fn get_mut(&mut self, table: Table) -> Option<&mut LakeTable> {
        self.tables.get_mut(&table)
    }

    /// The last segment of `stream` whose rows `table` holds; 0 before the first.
    pub(crate) async fn position(
        &mut self,
        table: Table,
        stream: &StreamName,
    ) -> Result<i64, LakeError> {
        if let Some(known) = self.known.get(&(table, *stream)) {
            return Ok(*known);
        }
        let position = match self.tables.get(&table) {
            Some(open) => open.position(&stream.to_string()).await?.unwrap_or(0),
            None => 0,
        };
        self.known.insert((table, *stream), position);
        Ok(position)
    }

    /// The position that was last asked for, 0 if it never was.
    pub(crate) fn known(&self, table: Table, stream: &StreamName) -> i64 {
        self.known.get(&(table, *stream)).copied().unwrap_or(0)
    }

    /// True if the rows of this segment stand in `table` already.
    pub(crate) fn holds(&self, table: Table, key: &SegmentKey) -> bool {
        number_of(key) <= self.known(table, &key.stream())
    }

    /// Commits what was written for a table and moves its positions: forward, never back. A pass that
    /// is cut by its limits may reach less far than one before it that was broken off.
    pub(crate) async fn commit(
        &mut self,
        append: Append,
        reached: &BTreeMap<StreamName, i64>,
    ) -> Result<(), LakeError> {
        let table = append.table();
        let mut positions = BTreeMap::new();
        for (stream, number) in reached {
            let held = self.position(table, stream).await?;
            positions.insert(*stream, held.max(*number));
        }
        let Some(open) = self.tables.get_mut(&table) else {
            return Ok(());
        };
        let by_name = positions
            .iter()
            .map(|(stream, number)| (stream.to_string(), *number))
            .collect();
        open.commit(append, &by_name).await?;
        for (stream, number) in positions {
            self.known.insert((table, stream), number);
        }
        Ok(())
    }
}

/// The segment's number as the log's positions count.
pub(crate) fn number_of(key: &SegmentKey) -> i64 {
    i64::try_from(key.number().get()).unwrap_or(i64::MAX)
}
