//! Small files into large ones, table by table, group by group.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use postlake_event::schema::Table;
use postlake_lake::{Amounts, Group, Lake, LakeError, LakeTable, StoredFile};

use super::{Bounds, CONFLICTS, is_conflict, open};
use crate::error::LoadError;
use crate::ledger::chain;

/// What became of the files of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The table.
    pub table: Table,
    /// Groups of files that were merged, or would be.
    pub groups: u64,
    /// Groups that are left for the next time.
    pub left: u64,
    /// Files that cannot be read or are not what the log says: they stay as they are.
    pub unreadable: u64,
    /// What was read and written; of a dry run what would be read.
    pub amounts: Amounts,
}

/// Told after each group: what was done of the table so far.
pub type WatchCompaction<'a> = &'a mut (dyn FnMut(&Compacted) + Send);

/// Merges small files of all tables, within bounds. A dry run only says what would be merged.
///
/// # Errors
/// When a table cannot be read or written; what was done before stands.
pub async fn compact(
    lake: &Lake,
    now: DateTime<Utc>,
    bounds: &Bounds,
    dry_run: bool,
    watch: WatchCompaction<'_>,
) -> Result<Vec<Compacted>, LoadError> {
    let mut done = Vec::new();
    let mut groups = 0;
    for table in Table::ALL {
        let bounds = Bounds {
            groups: bounds.groups.map(|most| most.saturating_sub(groups)),
            ..bounds.clone()
        };
        let compacted = match dry_run {
            true => plan(lake, table, now).await?,
            false => compact_table(lake, table, now, &bounds, watch).await?,
        };
        groups += usize::try_from(compacted.groups).unwrap_or(usize::MAX);
        done.push(compacted);
    }
    Ok(done)
}

impl Compacted {
    fn nothing(table: Table) -> Compacted {
        Compacted {
            table,
            groups: 0,
            left: 0,
            unreadable: 0,
            amounts: Amounts::default(),
        }
    }

    fn add(&mut self, amounts: &Amounts) {
        self.groups += 1;
        self.amounts.files_removed += amounts.files_removed;
        self.amounts.files_added += amounts.files_added;
        self.amounts.bytes_removed += amounts.bytes_removed;
        self.amounts.bytes_added += amounts.bytes_added;
        self.amounts.rows_read += amounts.rows_read;
        self.amounts.rows_kept += amounts.rows_kept;
    }
}

async fn plan(lake: &Lake, table: Table, now: DateTime<Utc>) -> Result<Compacted, LoadError> {
    let mut planned = Compacted::nothing(table);
    let Some(open) = open(lake, table).await? else {
        return Ok(planned);
    };
    let groups = open.compaction(now, &HashSet::new());
    for group in groups.map_err(LoadError::Lake)? {
        planned.add(&Amounts {
            files_removed: group.files.len() as u64,
            files_added: 1,
            bytes_removed: group.bytes(),
            rows_read: group.files.iter().filter_map(|file| file.about.rows).sum(),
            ..Amounts::default()
        });
    }
    Ok(planned)
}

/// Files that are passed over before the store is taken for what fails.
const MOST_UNREADABLE: u64 = 10;

async fn compact_table(
    lake: &Lake,
    table: Table,
    now: DateTime<Utc>,
    bounds: &Bounds,
    watch: WatchCompaction<'_>,
) -> Result<Compacted, LoadError> {
    let mut done = Compacted::nothing(table);
    let mut conflicts = 0;
    let mut unreadable = HashSet::<String>::new();
    let Some(mut open) = open(lake, table).await? else {
        return Ok(done);
    };
    loop {
        let groups = open.compaction(now, &unreadable);
        let groups = groups.map_err(LoadError::Lake)?;
        done.left = groups.len() as u64;
        let merged = usize::try_from(done.groups).unwrap_or(usize::MAX);
        let Some(group) = groups.first().filter(|_| !bounds.leave(merged)) else {
            return Ok(done);
        };
        match open.compact(group, bounds.sorting(table)).await {
            Ok(amounts) => {
                done.add(&amounts);
                done.left -= 1;
                watch(&done);
            }
            // Somebody else is at it.
            Err(error) if is_conflict(&error) && conflicts < CONFLICTS => conflicts += 1,
            Err(error) if is_conflict(&error) => return Ok(done),
            // The others do not wait for whoever repairs it.
            Err(error) => {
                let found = unreadable_of(&open, group).await;
                if found.is_empty() || done.unreadable >= MOST_UNREADABLE {
                    return Err(LoadError::Lake(error));
                }
                tracing::warn!("{}; `postlake verify` says more", chain(&error));
                done.unreadable += found.len() as u64;
                unreadable.extend(found);
            }
        }
        open.refresh().await.map_err(LoadError::Lake)?;
    }
}

/// Those of a group that cannot be read, or hold other rows than the log says.
async fn unreadable_of(table: &LakeTable, group: &Group) -> Vec<String> {
    let mut found = Vec::new();
    for file in &group.files {
        match rows_in(table, file).await {
            Ok(rows) if file.about.rows.is_none_or(|said| said == rows) => {}
            Ok(_) | Err(_) => found.push(file.path.clone()),
        }
    }
    found
}

/// The rows of a file, every page of it read.
pub(crate) async fn rows_in(table: &LakeTable, file: &StoredFile) -> Result<u64, LakeError> {
    let mut rows = table.rows_of(file).await?;
    let mut count = 0;
    while let Some(batch) = rows.try_next().await? {
        count += batch.num_rows() as u64;
    }
    Ok(count)
}
