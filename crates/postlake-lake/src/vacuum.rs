//! Files that no reader needs any more, deleted.
//!
//! A data file goes when it is not part of the newest version, was not part of any version for some
//! time, and is not among the rows that a sink has still to read. A file that the log never named was
//! left behind by a writer that ended before its commit, or belongs to one that is at work: it goes when
//! it is older than any writer takes. Log entries go when they are older than that time and a checkpoint
//! holds what they said.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use deltalake_core::protocol::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store_lake::path::Path;
use object_store_lake::{ObjectMeta, ObjectStore as _};

use crate::error::{ErrorKind, LakeError};
use crate::log;
use crate::table::LakeTable;

/// What may go.
#[derive(Clone, Debug)]
pub struct Vacuum {
    /// The present time.
    pub now: DateTime<Utc>,
    /// How long replaced files and log entries are kept; at most [`LONGEST`].
    pub keep: TimeDelta,
    /// The first version whose rows somebody has still to read; none if all is read.
    pub unread_from: Option<u64>,
    /// Files of older versions that somebody reads, as the log has their names.
    pub read: HashSet<String>,
}

/// The log forgets when a file was replaced after this time.
pub const LONGEST: TimeDelta = TimeDelta::days(7);

/// No writer takes longer than this from its first file to its commit.
const WRITING: TimeDelta = TimeDelta::hours(24);

/// A new checkpoint is made when so many versions have come since the last one, so that the entries
/// before it can go.
const CHECKPOINT_AFTER: u64 = 10;

/// What went, or would go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Data files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries and old checkpoints of the log.
    pub log_entries: u64,
}

impl LakeTable {
    /// What [`LakeTable::vacuum`] would delete of the data files; deletes nothing.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn vacuumable(&self, vacuum: &Vacuum) -> Result<Vacuumed, LakeError> {
        let files = self.dispensable(vacuum).await?;
        Ok(counted(&files))
    }

    /// Deletes data files and log entries that no reader needs. On `Err` some of them are gone, and the
    /// next call goes on.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn vacuum(&mut self, vacuum: &Vacuum) -> Result<Vacuumed, LakeError> {
        let mut files = self.dispensable(vacuum).await?;
        if !files.is_empty() {
            // What was committed while the store was listed and the log read.
            self.refresh().await?;
            let active = self.active()?;
            files.retain(|file| !active.contains(file.location.as_ref()));
        }
        let mut done = counted(&files);
        let paths = files.into_iter().map(|file| Ok(file.location));
        let store = self.delta().object_store();
        let paths = futures::stream::iter(paths).boxed();
        let mut deleted = store.delete_stream(paths);
        loop {
            match deleted.try_next().await {
                Ok(Some(_)) | Err(object_store_lake::Error::NotFound { .. }) => {}
                Ok(None) => break,
                Err(source) => return Err(self.unavailable(source)),
            }
        }
        done.log_entries = self.clean_log(vacuum).await?;
        Ok(done)
    }

    /// Data files that nobody needs.
    async fn dispensable(&self, vacuum: &Vacuum) -> Result<Vec<ObjectMeta>, LakeError> {
        let replaced = vacuum.now - vacuum.keep.min(LONGEST);
        let left_behind = vacuum.now - vacuum.keep.max(WRITING);
        let mut active = self.active()?;
        active.extend(spelled(vacuum.read.iter().cloned()));
        let tombstones = self.tombstones().await?;
        let mut files = Vec::new();
        let store = self.delta().object_store();
        let mut listing = store.list(None);
        while let Some(file) = listing
            .try_next()
            .await
            .map_err(|source| self.unavailable(source))?
        {
            let path = file.location.as_ref();
            if !path.ends_with(".parquet") || path.starts_with("_") || active.contains(path) {
                continue;
            }
            let goes = match tombstones.get(path) {
                Some(removed_at) => *removed_at <= replaced,
                None => file.last_modified <= left_behind,
            };
            if goes {
                files.push(file);
            }
        }
        if let (Some(from), false) = (vacuum.unread_from, files.is_empty()) {
            let unread = self.unread(from).await?;
            files.retain(|file| !unread.contains(file.location.as_ref()));
        }
        Ok(files)
    }

    fn active(&self) -> Result<HashSet<String>, LakeError> {
        let files = self.stored_files()?.into_iter();
        Ok(spelled(files.map(|file| file.path)).collect())
    }

    /// The files that were replaced lately, and when.
    async fn tombstones(&self) -> Result<HashMap<String, DateTime<Utc>>, LakeError> {
        let failed = |source| {
            let doing = format!("read what was replaced in {}", self.table().name());
            LakeError::delta(doing, source)
        };
        let snapshot = self.delta().snapshot().map_err(failed)?;
        let log_store = self.delta().log_store();
        let mut tombstones = HashMap::new();
        let mut removed = snapshot.all_tombstones(log_store.as_ref());
        while let Some(file) = removed.try_next().await.map_err(failed)? {
            let at = file.deletion_timestamp().unwrap_or(i64::MAX);
            let at = DateTime::from_timestamp_millis(at).unwrap_or(DateTime::<Utc>::MAX_UTC);
            let path = Path::from_url_path(file.path().as_ref());
            let path = path.map_or_else(|_| file.path().into_owned(), |path| path.to_string());
            let newest = tombstones.entry(path).or_insert(at);
            *newest = at.max(*newest);
        }
        Ok(tombstones)
    }

    /// The files whose rows somebody has still to read.
    async fn unread(&self, from: u64) -> Result<HashSet<String>, LakeError> {
        let mut unread = HashSet::new();
        for version in from..=self.version() {
            let entry = log::entry(self.table(), self.delta(), version).await?;
            for add in entry.into_iter().flat_map(|entry| entry.adds) {
                if let (true, Ok(path)) = (add.data_change, Path::from_url_path(&add.path)) {
                    unread.insert(path.to_string());
                }
            }
        }
        Ok(unread)
    }

    /// Deletes log entries that are older than what is kept, and that a checkpoint makes dispensable.
    async fn clean_log(&self, vacuum: &Vacuum) -> Result<u64, LakeError> {
        let failed = |source| {
            let doing = format!("clean the log of the table {}", self.table().name());
            LakeError::delta(doing, source)
        };
        let version = self.version();
        if self.since_checkpoint().await? >= CHECKPOINT_AFTER {
            create_checkpoint(self.delta(), None)
                .await
                .map_err(failed)?;
        }
        let keep = version.min(vacuum.unread_from.unwrap_or(version));
        let before = (vacuum.now - vacuum.keep).timestamp_millis();
        let log_store = self.delta().log_store();
        let cleaned = cleanup_expired_logs_for(keep, log_store.as_ref(), before, None).await;
        cleaned.map(|entries| entries as u64).map_err(failed)
    }

    /// Versions since the last checkpoint, as the log's folder says.
    async fn since_checkpoint(&self) -> Result<u64, LakeError> {
        let store = self.delta().object_store();
        let mut newest = 0;
        let mut listing = store.list(Some(&Path::from("_delta_log")));
        while let Some(object) = listing
            .try_next()
            .await
            .map_err(|source| self.unavailable(source))?
        {
            let name = object.location.filename().unwrap_or_default();
            let (version, rest) = name.split_once('.').unwrap_or_default();
            if let (Ok(version), true) = (version.parse::<u64>(), rest.starts_with("checkpoint")) {
                newest = newest.max(version);
            }
        }
        Ok(self.version().saturating_sub(newest))
    }

    fn unavailable(&self, source: object_store_lake::Error) -> LakeError {
        let doing = format!("clean up the table {}", self.table().name());
        LakeError::new(ErrorKind::Unavailable, doing, source)
    }
}

/// Names of the log under both spellings: what is not certain stays.
fn spelled(names: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    names.flat_map(|name| {
        let decoded = Path::from_url_path(&name).map(|path| path.to_string());
        [decoded.unwrap_or_default(), name]
    })
}

fn counted(files: &[ObjectMeta]) -> Vacuumed {
    Vacuumed {
        files: files.len() as u64,
        bytes: files.iter().map(|file| file.size).sum(),
        log_entries: 0,
    }
}

#[cfg(test)]
mod tests;
