//! What keeps a lake good for years: small files made into large ones, days let go when their time is
//! over, files that nobody needs deleted.
//!
//! Every job may be broken off anywhere and begun again, may run beside a loader and beside another
//! process with the same job, and changes no row that is to stay. A job that meets a commit of somebody
//! else begins that part anew.

mod clock;
mod compaction;
mod merging;
mod retention;
mod vacuuming;

use std::collections::HashSet;
use std::path::PathBuf;

use postlake_event::schema::Table;
use postlake_event::sink::Sink;
use postlake_lake::{Lake, LakeError, LakeTable, Sorting, sorted_by};
use tokio::time::Instant;

use crate::error::LoadError;
use crate::filling::Filling;

pub(crate) use compaction::rows_in;
pub use compaction::{Compacted, WatchCompaction, compact};
pub use merging::{MergedRaw, merge_raw};
pub(crate) use retention::first_kept;
pub use retention::{RetainReport, RetainedRaw, RetainedTable, Retention, Rules, retain};
pub use vacuuming::{VacuumedTable, Vacuuming, vacuum};

/// How much of a job is done at a time.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Where what memory has no room for lies, in files without names.
    pub folder: PathBuf,
    /// Memory for rows that are sorted.
    pub memory_bytes: usize,
    /// Groups of files that are rewritten at most; what is left is for the next time.
    pub groups: Option<usize>,
    /// No group is begun after this.
    pub until: Option<Instant>,
}

/// Memory for rows that are sorted, unless somebody says otherwise.
const SORT_BYTES: usize = 32 << 20;

impl Bounds {
    /// Everything that there is to do.
    pub fn none(lake: &Lake) -> Bounds {
        let directory = lake.url().directory();
        Bounds {
            folder: directory.map_or_else(std::env::temp_dir, PathBuf::from),
            memory_bytes: SORT_BYTES,
            groups: None,
            until: None,
        }
    }

    fn sorting(&self, table: Table) -> Sorting {
        Sorting {
            columns: sorted_by(table),
            folder: self.folder.clone(),
            memory_bytes: self.memory_bytes,
        }
    }

    fn leave(&self, groups: usize) -> bool {
        self.groups.is_some_and(|most| groups >= most) || self.is_over()
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Commits of others that one part of a job may meet before it is left for the next time.
const CONFLICTS: u32 = 10;

async fn open(lake: &Lake, table: Table) -> Result<Option<LakeTable>, LoadError> {
    lake.table(table).await.map_err(LoadError::Lake)
}

/// What sinks have still to read of a table.
#[derive(Debug, Default)]
struct Unread {
    /// The first version that one of them has to read; none if all have read all.
    from: Option<u64>,
    /// Files of versions that a sink is being filled with.
    filling: HashSet<String>,
}

impl Unread {
    fn reaches(&mut self, version: u64) {
        self.from = Some(self.from.map_or(version, |other| other.min(version)));
    }
}

/// # Errors
/// When a sink does not say how far it is, or the version that it is being filled with cannot be
/// opened: then nothing may be taken for read.
async fn unread(
    lake: &Lake,
    sinks: &[Box<dyn Sink>],
    table: &LakeTable,
) -> Result<Unread, LoadError> {
    let mut unread = Unread::default();
    for sink in sinks
        .iter()
        .filter(|sink| sink.tables().contains(&table.table()))
    {
        let held = sink.checkpoint(table.table()).await;
        let held = held.map_err(|source| LoadError::Sink {
            name: sink.name().to_owned(),
            source,
        })?;
        let id = table.id().map_err(LoadError::Lake)?;
        if let Some(filling) = held.as_ref().and_then(Filling::read)
            && filling.table_id() == id
        {
            let version = lake.table_at(table.table(), filling.version()).await;
            let version = version.map_err(LoadError::Lake)?;
            let files = version.iter().map(LakeTable::stored_files);
            for files in files
                .collect::<Result<Vec<_>, _>>()
                .map_err(LoadError::Lake)?
            {
                unread
                    .filling
                    .extend(files.into_iter().map(|file| file.path));
            }
            unread.reaches(filling.version());
            continue;
        }
        // One that has read another lake has read nothing of this one.
        let next = held.filter(|held| held.table_id == id);
        let next = next.map_or(0, |held| held.version + 1);
        if next <= table.version() {
            unread.reaches(next);
        }
    }
    Ok(unread)
}

fn is_conflict(error: &LakeError) -> bool {
    error.kind() == postlake_lake::ErrorKind::Conflict
}

#[cfg(test)]
mod tests;
