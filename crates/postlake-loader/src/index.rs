//! What the lake already holds, by key: the memory behind "effectively once".
//!
//! A key holds the day of its row (the event's own second, an alert's `triggered_at`), so equal keys
//! lie in one partition. A **shelf** is the keys of one day. When rows of a day come whose shelf is not
//! there, one of two things is done, whichever reads less:
//!
//! * the shelf is made: the keys of the whole day are read, once, and kept;
//! * the day is **joined**: the files whose times overlap those of the rows are read, and of their keys
//!   only those that the rows have are kept, until the end of the pass. This is for a late duplicate
//!   or two, and for a day that is too large for its keys to be kept at all.
//!
//! So the answer never depends on what is kept; a duplicate of months ago costs a read. Keys lie in
//! memory up to a number and then in sorted runs on the disk (`runs`). Shelves that were not used
//! for longest are let go when there are too many keys.
//!
//! Rows without a usable time lie on the day they were received, which a resend changes; their keys
//! are kept together on one shelf over all days.

mod filter;
mod reading;
mod runs;
mod seeded;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use futures::TryStreamExt as _;
use postlake_event::decode::Identity;
use postlake_event::schema::Table;
use postlake_lake::{DataFile, LakeTable};

use crate::error::LoadError;
use reading::Wanted;
pub(crate) use reading::{keys_of, query, row_keys};
use runs::{KEY_BYTES, Runs};
use seeded::KeySet;

/// How many keys are kept, and where.
#[derive(Clone, Copy, Debug)]
pub struct KeyLimits {
    /// Keys held in memory as they are, about 30 bytes each; beyond that they go to the disk.
    pub loose: usize,
    /// Memory for the filters of those on the disk, 1.5 bytes a key; with less of it more is read.
    pub filter_bytes: u64,
    /// Room for keys on the disk, 16 bytes each, twice that while they are sorted.
    pub disk_bytes: u64,
}

/// What a key takes in memory as it is, with the free places of the set.
const LOOSE_KEY_BYTES: u64 = 40;

impl KeyLimits {
    /// A quarter of the memory for keys as they are, the rest for filters.
    pub fn within(memory_bytes: u64, disk_bytes: u64) -> KeyLimits {
        let loose = memory_bytes / 4 / LOOSE_KEY_BYTES;
        KeyLimits {
            loose: usize::try_from(loose).unwrap_or(usize::MAX),
            filter_bytes: memory_bytes / 4 * 3,
            disk_bytes,
        }
    }
}

impl Default for KeyLimits {
    fn default() -> KeyLimits {
        KeyLimits::within(64 << 20, 2 << 30)
    }
}

/// A part of a table whose keys are read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Shelf {
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

#[derive(Debug)]
struct Shelved {
    /// The pass that used it last.
    used: u64,
    /// False if only the keys of rows of this pass were looked for.
    whole: bool,
    /// Keys that are not in a run yet.
    loose: KeySet,
}

/// The keys of one table, as far as they are kept.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    table: Table,
    limits: KeyLimits,
    shelves: HashMap<Shelf, Shelved>,
    runs: Runs,
    pass: u64,
    /// Rows that were read to join a shelf since it was last kept.
    joined: HashMap<Shelf, u64>,
}

impl KeyIndex {
    /// `folder` is for the files of the runs, which have no names.
    pub(crate) fn new(table: Table, limits: KeyLimits, folder: &Path) -> KeyIndex {
        KeyIndex {
            table,
            limits,
            shelves: HashMap::new(),
            runs: Runs::new(folder, limits.filter_bytes),
            pass: 0,
            joined: HashMap::new(),
        }
    }

    /// The table whose keys these are.
    pub(crate) fn table(&self) -> Table {
        self.table
    }

    /// Everything that was inserted is committed: what is not whole is forgotten, and what is too
    /// much is let go.
    pub(crate) fn begin_pass(&mut self) -> Result<(), LoadError> {
        self.pass += 1;
        let parts = self.shelves.iter().filter(|(_, shelved)| !shelved.whole);
        let parts: Vec<Shelf> = parts.map(|(shelf, _)| *shelf).collect();
        self.forget(&parts)?;
        self.let_go(0, 0)
    }

    /// Finds out which of these rows the lake holds, as far as it is not known. `lake` must be the
    /// version that the pass will commit on.
    pub(crate) async fn prepare(
        &mut self,
        lake: &LakeTable,
        rows: &RecordBatch,
        identities: &[Identity],
    ) -> Result<(), LoadError> {
        let wanted = self.wanted(rows, identities);
        if !wanted.is_empty() {
            let files = lake.data_files().map_err(LoadError::Lake)?;
            let mut whole = Vec::new();
            for (shelf, wanted) in wanted {
                let size = Size::of(shelf, &files, &wanted);
                if self.is_joined(shelf, &size)? {
                    self.join(lake, shelf, &wanted, &size).await?;
                } else {
                    whole.push((shelf, size.whole));
                }
            }
            self.read_whole(lake, whole).await?;
        }
        self.spill()
    }

    /// Notes the row's key; true if it was not there before.
    pub(crate) fn insert(&mut self, identity: &Identity) -> Result<bool, LoadError> {
        let shelf = Shelf::of(identity);
        let pass = self.pass;
        let shelved = self
            .shelves
            .entry(shelf)
            .or_insert_with(|| Shelved::new(pass, true));
        if shelved.loose.contains(&identity.key) {
            return Ok(false);
        }
        if self
            .runs
            .contains(shelf, identity.key)
            .map_err(LoadError::Keys)?
        {
            return Ok(false);
        }
        shelved.loose.insert(identity.key);
        Ok(true)
    }

    /// Marks the shelves of these rows as in use and returns what has to be looked for in the lake.
    fn wanted(&mut self, rows: &RecordBatch, identities: &[Identity]) -> BTreeMap<Shelf, Wanted> {
        let mut wanted = BTreeMap::<Shelf, Wanted>::new();
        let times = rows.column_by_name(self.table.time_column());
        let times = times.map(|times| times.as_primitive::<TimestampMicrosecondType>().values());
        for (row, identity) in identities.iter().enumerate() {
            let shelf = Shelf::of(identity);
            if let Some(shelved) = self.shelves.get_mut(&shelf) {
                shelved.used = self.pass;
                if shelved.whole || shelved.loose.contains(&identity.key) {
                    continue;
                }
            }
            let micros = times.and_then(|times| times.get(row).copied());
            wanted.entry(shelf).or_default().add(identity.key, micros);
        }
        wanted
    }

    /// Whether a shelf that is not whole is joined rather than made. Lets others go to make room.
    fn is_joined(&mut self, shelf: Shelf, size: &Size) -> Result<bool, LoadError> {
        if self
            .shelves
            .get(&shelf)
            .is_some_and(|shelved| !shelved.whole)
        {
            // Keys of this pass stand in it that the lake does not hold yet.
            return Ok(true);
        }
        // Reading parts again and again must not become dearer than reading the whole once.
        let read = self.joined.get(&shelf).copied().unwrap_or(0);
        if size.overlap * JOIN_GAIN <= size.whole && read + size.overlap <= size.whole {
            return Ok(size.whole > 0);
        }
        let in_use = self
            .shelves
            .iter()
            .filter(|(_, shelved)| shelved.used == self.pass);
        let (mut loose, mut disk) = (0, 0);
        for (shelf, shelved) in in_use {
            loose += shelved.loose.len() as u64;
            disk += self.runs.keys_of(*shelf) * KEY_BYTES;
        }
        if loose + size.whole <= self.limits.loose as u64 {
            self.let_go(size.whole, 0)?;
            return Ok(false);
        }
        let room = SORTING * KEY_BYTES * (size.whole + loose);
        if disk + room <= self.limits.disk_bytes {
            self.let_go(0, room)?;
            return Ok(false);
        }
        Ok(true)
    }

    async fn join(
        &mut self,
        lake: &LakeTable,
        shelf: Shelf,
        wanted: &Wanted,
        size: &Size,
    ) -> Result<(), LoadError> {
        *self.joined.entry(shelf).or_default() += size.overlap;
        let pass = self.pass;
        let shelved = self
            .shelves
            .entry(shelf)
            .or_insert_with(|| Shelved::new(pass, false));
        if size.overlap == 0 {
            return Ok(());
        }
        let undated = shelf == Shelf::Undated;
        let sql = query(self.table, &[shelf], wanted.seconds());
        let mut batches = lake.select(&sql).await.map_err(LoadError::Lake)?;
        while let Some(batch) = batches.try_next().await.map_err(LoadError::Lake)? {
            let keys = keys_of(self.table, &batch, undated).map(|(_, key)| key);
            shelved.loose.extend(keys.filter(|key| wanted.has(*key)));
        }
        Ok(())
    }

    /// Makes shelves, the small ones together.
    async fn read_whole(
        &mut self,
        lake: &LakeTable,
        shelves: Vec<(Shelf, u64)>,
    ) -> Result<(), LoadError> {
        let mut together = Vec::new();
        let mut rows = 0;
        for (shelf, size) in shelves {
            self.shelves.insert(shelf, Shelved::new(self.pass, true));
            self.joined.remove(&shelf);
            if size == 0 {
                continue;
            }
            if shelf == Shelf::Undated {
                self.read(lake, &[shelf]).await?;
                continue;
            }
            if rows + size > ROWS_IN_A_QUERY || together.len() >= DAYS_IN_A_QUERY {
                self.read(lake, &together).await?;
                together.clear();
                rows = 0;
            }
            together.push(shelf);
            rows += size;
        }
        self.read(lake, &together).await
    }

    /// Puts the keys of these shelves onto them, in bounded memory.
    async fn read(&mut self, lake: &LakeTable, shelves: &[Shelf]) -> Result<(), LoadError> {
        if shelves.is_empty() {
            return Ok(());
        }
        let undated = shelves == [Shelf::Undated];
        let sql = query(self.table, shelves, None);
        let mut batches = lake.select(&sql).await.map_err(LoadError::Lake)?;
        while let Some(batch) = batches.try_next().await.map_err(LoadError::Lake)? {
            for (day, key) in keys_of(self.table, &batch, undated) {
                let shelf = if undated {
                    Shelf::Undated
                } else {
                    Shelf::Day(day)
                };
                if let Some(shelved) = self.shelves.get_mut(&shelf) {
                    shelved.loose.insert(key);
                }
            }
            self.spill()?;
        }
        Ok(())
    }

    /// Sends the fullest shelves to the disk when there are too many keys in memory.
    fn spill(&mut self) -> Result<(), LoadError> {
        let mut loose: usize = self.loose();
        if loose <= self.limits.loose || self.limits.disk_bytes == 0 {
            return Ok(());
        }
        let mut fullest: Vec<_> = self.shelves.iter_mut().collect();
        fullest.sort_unstable_by_key(|(_, shelved)| std::cmp::Reverse(shelved.loose.len()));
        let mut taken = Vec::new();
        for (shelf, shelved) in fullest {
            if loose <= self.limits.loose / 2 {
                break;
            }
            loose -= shelved.loose.len();
            taken.push((*shelf, std::mem::take(&mut shelved.loose)));
        }
        self.runs.add(taken).map_err(LoadError::Keys)
    }

    fn loose(&self) -> usize {
        self.shelves
            .values()
            .map(|shelved| shelved.loose.len())
            .sum()
    }

    /// Forgets the shelves that were not used for longest, never those of the current pass, until so
    /// many more keys fit in memory and so many more bytes on the disk.
    fn let_go(&mut self, keys: u64, disk_bytes: u64) -> Result<(), LoadError> {
        let mut idle: Vec<_> = self
            .shelves
            .iter()
            .filter(|(_, shelved)| shelved.used < self.pass)
            .map(|(shelf, shelved)| (shelved.used, *shelf, shelved.loose.len() as u64))
            .collect();
        idle.sort_unstable();
        let mut loose = self.loose() as u64 + keys;
        let mut disk = self.runs.disk_bytes() + disk_bytes;
        // What does not fit in memory goes to the disk, if there is one.
        let spills = self.limits.disk_bytes > 0;
        let mut forgotten = Vec::new();
        for (_, shelf, keys) in idle {
            let crowded = loose > self.limits.loose as u64 && !spills;
            if !crowded && disk <= self.limits.disk_bytes {
                break;
            }
            loose -= keys;
            disk = disk.saturating_sub(self.runs.keys_of(shelf) * KEY_BYTES);
            forgotten.push(shelf);
        }
        self.forget(&forgotten)
    }

    fn forget(&mut self, shelves: &[Shelf]) -> Result<(), LoadError> {
        if shelves.is_empty() {
            return Ok(());
        }
        for shelf in shelves {
            self.shelves.remove(shelf);
        }
        self.runs.forget(shelves).map_err(LoadError::Keys)
    }
}

/// A join must read at most this part of a day.
const JOIN_GAIN: u64 = 8;
/// Room that keys take while runs are merged, in their own size.
const SORTING: u64 = 2;
/// Days that are read together, and the rows that they may have.
const DAYS_IN_A_QUERY: usize = 200;
const ROWS_IN_A_QUERY: u64 = 1_000_000;

impl Shelved {
    fn new(pass: u64, whole: bool) -> Shelved {
        Shelved {
            used: pass,
            whole,
            loose: KeySet::default(),
        }
    }
}

/// Rows that would have to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    /// Of the whole shelf.
    whole: u64,
    /// Of the files whose times overlap those of the rows.
    overlap: u64,
}

/// Rows of a file that the log does not describe.
const ROWS_UNKNOWN: u64 = 100_000;

impl Size {
    fn of(shelf: Shelf, files: &[DataFile], wanted: &Wanted) -> Size {
        let mut size = Size {
            whole: 0,
            overlap: 0,
        };
        for file in files {
            let rows = file.rows.unwrap_or(ROWS_UNKNOWN);
            let (rows, overlaps) = match shelf {
                Shelf::Undated => (file.flagged.unwrap_or(rows), true),
                Shelf::Day(day) if file.day.is_none_or(|other| other == day) => {
                    (rows, wanted.overlaps(file.seconds))
                }
                Shelf::Day(_) => continue,
            };
            size.whole += rows;
            size.overlap += if overlaps { rows } else { 0 };
        }
        size
    }
}

#[cfg(test)]
mod tests;
