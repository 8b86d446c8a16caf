//! Entries of a table's log, read for what each of them did.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate};
use deltalake_core::DeltaTable;
use deltalake_core::logstore::commit_uri_from_version;
use object_store_lake::ObjectStoreExt as _;
use postlake_event::schema::Table;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{ErrorKind, LakeError};

/// What one version did.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// The files that it added.
    pub(crate) adds: Vec<Added>,
    /// True if it moved a position of a loader or of a job.
    pub(crate) moves_positions: bool,
    /// True if it took rows away that others may have been given.
    pub(crate) takes_rows: bool,
    /// True if it counted partitions that went.
    pub(crate) expires: bool,
    /// True if it changed columns, properties or the protocol.
    pub(crate) changes_table: bool,
}

impl Entry {
    /// True if readers of the log get rows of it.
    pub(crate) fn brings_rows(&self) -> bool {
        self.adds.iter().any(|add| add.data_change)
    }
}

/// A file that a version added.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Added {
    /// As the log has it: percent-encoded.
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) partition_values: HashMap<String, Option<String>>,
    /// False if its rows stood in the table before.
    pub(crate) data_change: bool,
    #[serde(default)]
    pub(crate) size: u64,
}

impl Added {
    /// Days since the epoch of the file's partition.
    pub(crate) fn day(&self, table: Table) -> Option<i32> {
        let text = self.partition_values.get(table.partition_column())?;
        day_of(text.as_deref()?)
    }
}

/// Days since the epoch of a date as the log has it.
pub(crate) fn day_of(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let days = (date - DateTime::UNIX_EPOCH.date_naive()).num_days();
    i32::try_from(days).ok()
}

/// What positions begin with that count partitions that went.
pub(crate) const EXPIRED: &str = "expired:";

/// The position that says before which day, counted from the epoch, everything went.
pub(crate) const KEPT_FROM: &str = "expired:before";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Moved {
    app_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Removed {
    data_change: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    add: Option<Added>,
    remove: Option<Removed>,
    txn: Option<Moved>,
    meta_data: Option<IgnoredAny>,
    protocol: Option<IgnoredAny>,
}

/// Reads the entry of a version; `None` if it is not in the log.
pub(crate) async fn entry(
    table: Table,
    delta: &DeltaTable,
    version: u64,
) -> Result<Option<Entry>, LakeError> {
    let doing = || format!("read version {version} of the table {}", table.name());
    let store = delta.object_store();
    let bytes = match store.get(&commit_uri_from_version(Some(version))).await {
        Ok(entry) => entry.bytes().await,
        Err(object_store_lake::Error::NotFound { .. }) => return Ok(None),
        Err(source) => Err(source),
    }
    .map_err(|source| LakeError::new(ErrorKind::Unavailable, doing(), source))?;
    let mut entry = Entry::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        let line: Line = serde_json::from_slice(line)
            .map_err(|source| LakeError::new(ErrorKind::Damaged, doing(), source))?;
        entry.adds.extend(line.add);
        entry.takes_rows |= line.remove.is_some_and(|remove| remove.data_change);
        let expires = |moved: &Moved| moved.app_id.starts_with(EXPIRED);
        entry.expires |= line.txn.as_ref().is_some_and(expires);
        entry.moves_positions |= line.txn.is_some_and(|moved| !expires(&moved));
        entry.changes_table |= line.meta_data.is_some() || line.protocol.is_some();
    }
    Ok(Some(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_from_the_text_of_a_partition() {
        assert_eq!(day_of("1970-01-03"), Some(2));
        assert_eq!(day_of("__HIVE_DEFAULT_PARTITION__"), None);
    }
}
