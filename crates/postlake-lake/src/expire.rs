//! Partitions whose time is over, and the account of what went with them.
//!
//! The books compare the sums over `batches` with the rows of the other tables. When partitions go, both
//! sides lose rows, and not the same ones: a batch and its events may have different days and different
//! rules. So what goes is added up, in positions of the table that move in the very commit that takes it
//! away; they are never forgotten and start at zero. Beside them stands the first day that was not taken
//! away, which never goes back: who meets rows of the days before knows that they are not new.

use std::collections::BTreeMap;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use futures::TryStreamExt as _;
use postlake_event::schema::Table;

use crate::error::LakeError;
use crate::files::StoredFile;
use crate::log::{EXPIRED, KEPT_FROM};
use crate::rewrite::{Amounts, Job, Onto};
use crate::table::LakeTable;

/// What partitions that went have held, all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Rows; of `quarantine` without those that stand for a whole segment.
    pub rows: i64,
    /// Of `batches`: items that they accounted for.
    pub items: i64,
    /// Of `batches`: events.
    pub events: i64,
    /// Of `batches`: alerts.
    pub alerts: i64,
    /// Of `batches`: duplicates.
    pub duplicates: i64,
    /// Of `batches`: rejects.
    pub rejects: i64,
}

const NAMES: [&str; 6] = ["rows", "items", "events", "alerts", "duplicates", "rejects"];

impl Expired {
    fn of(amounts: [i64; 6]) -> Expired {
        let [rows, items, events, alerts, duplicates, rejects] = amounts;
        Expired {
            rows,
            items,
            events,
            alerts,
            duplicates,
            rejects,
        }
    }

    fn amounts(self) -> [i64; 6] {
        let Expired {
            rows,
            items,
            events,
            alerts,
            duplicates,
            rejects,
        } = self;
        [rows, items, events, alerts, duplicates, rejects]
    }
}

impl LakeTable {
    /// The files of partitions before that day, counted from the epoch.
    ///
    /// # Errors
    /// When the table is not loaded, which is a defect.
    pub fn files_before(&self, day: i32) -> Result<Vec<StoredFile>, LakeError> {
        let mut files = self.stored_files()?;
        files.retain(|file| file.about.day.is_some_and(|its| its < day));
        Ok(files)
    }

    /// What has gone of this table so far.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn expired(&self) -> Result<Expired, LakeError> {
        let mut amounts = [0; 6];
        for (amount, name) in amounts.iter_mut().zip(NAMES) {
            let position = self.position(&format!("{EXPIRED}{name}")).await?;
            *amount = position.unwrap_or_default();
        }
        Ok(Expired::of(amounts))
    }

    /// Takes the partitions before that day away. On `Ok` no reader of the new version finds a row of
    /// them that it found before, and [`LakeTable::expired`] counts them; the files stay until
    /// [`LakeTable::vacuum`], for who still reads them.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when somebody else rewrites these files, or takes others away.
    pub async fn expire_before(&mut self, day: i32) -> Result<Amounts, LakeError> {
        let files = self.files_before(day)?;
        if files.is_empty() {
            return Ok(Amounts::default());
        }
        let goes = self.amounts_before(day).await?;
        let gone = self.expired().await?.amounts();
        let sums = goes.amounts().into_iter().zip(gone).zip(NAMES);
        let mut positions: BTreeMap<String, i64> = sums
            .map(|((goes, gone), name)| (format!("{EXPIRED}{name}"), goes + gone))
            .collect();
        // No further than behind the newest row: a clock that was years ahead would have all that is yet to come
        // taken for what has gone.
        let newest = self.data_files()?.iter().filter_map(|file| file.day).max();
        let reaches = newest.map_or(day, |newest| day.min(newest.saturating_add(1)));
        let before = self.kept_from().await?.unwrap_or(0).max(reaches);
        positions.insert(KEPT_FROM.to_owned(), i64::from(before));
        let mut rewrite = self.begin_rewrite(Job::Retain)?;
        files.iter().for_each(|file| rewrite.remove(file));
        let done = self
            .commit_rewrite(rewrite, &positions, Onto::OtherRows)
            .await?;
        // This table has read it before it moved.
        self.forget_kept_from();
        Ok(done)
    }

    async fn amounts_before(&self, day: i32) -> Result<Expired, LakeError> {
        let sums = match self.table() {
            Table::Events | Table::Alerts => "count(*)",
            Table::Quarantine => "count(*) FILTER (WHERE code <> 'segment')",
            Table::Batches => {
                "count(*), sum(items), sum(events), sum(alerts), sum(duplicates), sum(rejects)"
            }
        };
        let sql = format!(
            "SELECT {sums} FROM {} WHERE {} < arrow_cast({day}, 'Date32')",
            self.table().name(),
            self.table().partition_column()
        );
        let batches: Vec<_> = self.select(&sql).await?.try_collect().await?;
        let mut amounts = [0; 6];
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            for (amount, column) in amounts.iter_mut().zip(batch.columns()) {
                *amount = column.as_primitive::<Int64Type>().value(0);
            }
        }
        Ok(Expired::of(amounts))
    }
}
