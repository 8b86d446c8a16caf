//! Small files made into large ones.
//!
//! Each pass of a loader leaves a file in each partition, so that files are as many as passes and as
//! small as what they brought. Files of one partition are merged in the manner of a log-structured tree:
//! several at a time, and only if together they are [`GROWTH`] times the largest of them, so that a row
//! is rewritten a number of times that is the logarithm of what the partition holds. A file of half the
//! size that is aimed at is left alone. Merged files are sorted, so that whoever looks for one subaccount
//! or one recipient reads a part of each.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use postlake_event::schema::Table;

use crate::error::{ErrorKind, LakeError};
use crate::files::StoredFile;
use crate::rewrite::{Amounts, Job, Onto, Passed, Sorting};
use crate::table::LakeTable;

/// Bytes of the files that compaction aims at.
pub const TARGET_BYTES: u64 = 128 << 20;

/// Files of a partition that rows still come to are merged when there are so many.
const MANY: usize = 8;
/// Together they have to be so many times the largest of them.
const GROWTH: u64 = 4;
/// The same for a partition that no file has come to for [`REST`].
const MANY_AT_REST: usize = 2;
const GROWTH_AT_REST: u64 = 2;
/// How long after its last file a partition is taken to be complete.
const REST: TimeDelta = TimeDelta::hours(6);

/// Files of a group at most: each is a request on S3.
const GROUP_FILES: usize = 1000;

/// Files of one partition that become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The partition, in days since the epoch.
    pub day: i32,
    /// The files, by the time of their rows.
    pub files: Vec<StoredFile>,
}

impl Group {
    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// How the rows of a table's files are sorted.
pub fn sorted_by(table: Table) -> &'static [&'static str] {
    match table {
        Table::Events => &["subaccount_id", "rcpt_to", "event_at"],
        Table::Alerts => &["subaccount_id", "triggered_at"],
        Table::Quarantine | Table::Batches => &["received_at"],
    }
}

impl LakeTable {
    /// The groups of files of this version that are worth merging, the newest partition first; without
    /// some, by their names.
    ///
    /// # Errors
    /// When the table is not loaded, which is a defect.
    pub fn compaction(
        &self,
        now: DateTime<Utc>,
        without: &HashSet<String>,
    ) -> Result<Vec<Group>, LakeError> {
        let mut days = BTreeMap::<i32, Vec<StoredFile>>::new();
        let files = self.stored_files()?.into_iter();
        for file in files.filter(|file| !without.contains(&file.path)) {
            if let Some(day) = file.about.day {
                days.entry(day).or_default().push(file);
            }
        }
        let groups = days.into_iter().rev();
        Ok(groups
            .flat_map(|(day, files)| groups_of(day, files, now))
            .collect())
    }

    /// Makes the files of a group into one, sorted as the sorting says. On `Ok` it is done, durable and
    /// visible; the rows are the same, and readers of the log are not told.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when somebody else has rewritten one of the files;
    /// [`crate::ErrorKind::Damaged`] when they hold other rows than the log says.
    pub async fn compact(&mut self, group: &Group, sorting: Sorting) -> Result<Amounts, LakeError> {
        let mut rewrite = self.begin_rewrite(Job::Compact)?;
        let mut keep = |rows| Ok(Passed::kept(rows));
        let passed = rewrite.pass(&group.files, Some(sorting), &mut keep);
        passed.await?;
        let said: Option<u64> = group.files.iter().map(|file| file.about.rows).sum();
        let Amounts {
            rows_read,
            rows_kept,
            ..
        } = rewrite.amounts();
        if rows_read != rows_kept || said.is_some_and(|said| said != rows_read) {
            let doing = format!("merge files of the table {}", self.table().name());
            let what = format!(
                "{rows_read} rows were read and {rows_kept} written, the log says {said:?}"
            );
            return Err(LakeError::new(ErrorKind::Damaged, doing, what));
        }
        let nothing = BTreeMap::new();
        self.commit_rewrite(rewrite, &nothing, Onto::OtherRows)
            .await
    }
}

fn groups_of(day: i32, mut files: Vec<StoredFile>, now: DateTime<Utc>) -> Vec<Group> {
    let newest = files.iter().map(|file| file.written_at).max();
    let rests = newest.is_none_or(|newest| now - newest > REST);
    files.retain(|file| file.bytes < TARGET_BYTES / 2);
    files.sort_by_key(|file| file.bytes);
    files.truncate(worth(&files, rests));
    files.sort_by(|one, other| {
        let key = |file: &StoredFile| (file.about.seconds, file.written_at);
        (key(one), &one.path).cmp(&(key(other), &other.path))
    });
    let mut groups = Vec::new();
    let mut group = Group {
        day,
        files: Vec::new(),
    };
    for file in files {
        let full = group.bytes() + file.bytes > TARGET_BYTES || group.files.len() >= GROUP_FILES;
        if full {
            let next = Group {
                day,
                files: Vec::new(),
            };
            groups.push(std::mem::replace(&mut group, next));
        }
        group.files.push(file);
    }
    groups.push(group);
    groups.retain(|group| group.files.len() > 1);
    groups
}

/// How many of the files, which are sorted by size, are worth merging: as many as can be.
fn worth(files: &[StoredFile], rests: bool) -> usize {
    let (many, growth) = match rests {
        true => (MANY_AT_REST, GROWTH_AT_REST),
        false => (MANY, GROWTH),
    };
    let mut bytes = 0;
    let mut worth = 0;
    for (place, file) in files.iter().enumerate() {
        bytes += file.bytes;
        if place + 1 >= many && bytes >= growth * file.bytes {
            worth = place + 1;
        }
    }
    worth
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::DataFile;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn file(number: usize, bytes: u64) -> StoredFile {
        StoredFile {
            path: format!("part-{number}"),
            bytes,
            written_at: at(number as i64),
            about: DataFile {
                day: Some(3),
                rows: Some(bytes / 100),
                seconds: Some((number as i64, number as i64 + 9)),
                flagged: Some(0),
            },
        }
    }

    fn files(sizes: &[u64]) -> Vec<StoredFile> {
        let files = sizes.iter().enumerate();
        files.map(|(number, bytes)| file(number, *bytes)).collect()
    }

    fn merged(sizes: &[u64], now: DateTime<Utc>) -> Vec<Vec<u64>> {
        let groups = groups_of(3, files(sizes), now);
        let sizes = |group: Group| group.files.iter().map(|file| file.bytes).collect();
        groups.into_iter().map(sizes).collect()
    }

    #[test]
    fn what_is_merged_is_many_and_grows() {
        let soon = at(60);
        assert_eq!(merged(&[100; 7], soon), Vec::<Vec<u64>>::new());
        assert_eq!(merged(&[100; 8], soon), [vec![100; 8]]);
        // The large one is not rewritten for so little.
        let sizes = [100, 100, 100, 100, 100, 100, 100, 100, 9000];
        assert_eq!(merged(&sizes, soon), [vec![100; 8]]);
        // At rest the last ones are merged, too, where it is worth it.
        let late = at(7 * 3600);
        assert_eq!(merged(&[100, 100], late), [vec![100, 100]]);
        assert_eq!(merged(&[100, 9000], late), Vec::<Vec<u64>>::new());
        assert_eq!(merged(&[100], late), Vec::<Vec<u64>>::new());
        // Files that are large enough are left alone; none becomes larger than what is aimed at.
        let mb = 1 << 20;
        assert_eq!(merged(&[64 * mb; 9], late), Vec::<Vec<u64>>::new());
        assert_eq!(
            merged(&[60 * mb; 5], late),
            [vec![60 * mb; 2], vec![60 * mb; 2]]
        );
    }

    proptest! {
        /// Files come one by one and are merged whenever it is worth it: there are never many, and no
        /// row is rewritten often.
        #[test]
        fn files_stay_few_and_rows_are_rewritten_seldom(
            sizes in prop::collection::vec(1..200_000_u64, 1..400),
        ) {
            let now = at(0);
            // Bytes of each file, and how often its rows were rewritten at most.
            let mut there: Vec<(u64, u32)> = Vec::new();
            let mut total = 0;
            for size in sizes {
                total += size;
                there.push((size, 0));
                let sizes: Vec<u64> = there.iter().map(|(bytes, _)| *bytes).collect();
                for group in groups_of(3, files(&sizes), now) {
                    let numbers: Vec<usize> = group
                        .files
                        .iter()
                        .map(|file| file.path.strip_prefix("part-").unwrap().parse().unwrap())
                        .collect();
                    let times = numbers.iter().map(|number| there[*number].1).max().unwrap();
                    let mut number = 0;
                    there.retain(|_| {
                        number += 1;
                        !numbers.contains(&(number - 1))
                    });
                    there.push((group.bytes(), times + 1));
                }
            }
            let growths = u64::from(total.ilog2()) / 2 + 1;
            prop_assert!(there.len() <= 50, "{} files", there.len());
            let times = there.iter().map(|(_, times)| *times).max().unwrap();
            prop_assert!(u64::from(times) <= growths, "{times} times of {growths}");
        }
    }
}
