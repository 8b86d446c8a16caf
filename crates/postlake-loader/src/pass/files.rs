//! The data files of a pass and their commits.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use postlake_event::schema::Table;
use postlake_lake::Append;
use postlake_raw::StreamName;
use tracing::Instrument as _;

use crate::error::LoadError;
use crate::positions::Tables;
use crate::trace;

/// What a pass has written so far; no log names it yet.
#[derive(Debug, Default)]
pub(super) struct Files {
    appends: BTreeMap<Table, Append>,
    /// For each stream of the pass the last segment.
    reached: BTreeMap<StreamName, i64>,
}

impl Files {
    pub(super) fn reach(&mut self, reached: &BTreeMap<StreamName, i64>) {
        self.reached.extend(reached);
    }

    pub(super) async fn write(
        &mut self,
        tables: &Tables,
        table: Table,
        rows: RecordBatch,
    ) -> Result<(), LoadError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.append(tables, table)?;
        if let Some(append) = self.appends.get_mut(&table) {
            append.write(rows).await.map_err(LoadError::Lake)?;
        }
        Ok(())
    }

    /// In the order of the tables up to the last one named: `events` first and `batches` last, always;
    /// the others if they have rows.
    pub(super) async fn commit(
        mut self,
        tables: &mut Tables,
        last: Table,
    ) -> Result<(), LoadError> {
        self.append(tables, Table::Events)?;
        self.append(tables, Table::Batches)?;
        for table in Table::ALL.into_iter().filter(|table| *table <= last) {
            if let Some(append) = self.appends.remove(&table) {
                let span = trace::append(table, append.rows());
                let commit = tables.commit(append, &self.reached);
                let committed = commit.instrument(span.clone()).await;
                committed
                    .map_err(LoadError::Lake)
                    .inspect_err(|error| trace::failed(&span, error))?;
            }
        }
        Ok(())
    }

    fn append(&mut self, tables: &Tables, table: Table) -> Result<(), LoadError> {
        if let (false, Some(open)) = (self.appends.contains_key(&table), tables.get(table)) {
            let append = open.begin().map_err(LoadError::Lake)?;
            self.appends.insert(table, append);
        }
        Ok(())
    }
}
