//! Who did what to the data on purpose, and when: one small object for each deed, written once.
//!
//! Nothing here is read when webhooks are taken or loaded. A deed is noted before it is done, so that none
//! is ever without its note; the note of one that was broken off stays.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use object_store::GetOptions;
use serde::{Deserialize, Serialize};

use crate::key;
use crate::store::{LandError, ListError, RawStore, unavailable};

/// Most bytes of an entry.
pub const MAX_ENTRY_BYTES: usize = 1 << 20;

/// Most entries that one call of [`RawStore::audit`] returns, the oldest first.
pub const MAX_ENTRIES: usize = 100_000;

/// A deed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When it was begun.
    pub at: DateTime<Utc>,
    /// Who did it, as the system says.
    pub who: String,
    /// What was done: `quarantine-drop`, `replay`, ...
    pub what: String,
    /// To what, in the words of the command.
    pub to: Vec<String>,
    /// Why, if somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl RawStore {
    /// Notes a deed. On `Ok` the note is durable.
    ///
    /// # Errors
    /// When the store refuses or does not say; the deed should be left undone then.
    pub async fn note(&self, entry: &AuditEntry) -> Result<(), LandError> {
        // The entry is plain text and numbers: it has a form in JSON.
        let mut text = serde_json::to_vec(entry).unwrap_or_default();
        text.push(b'\n');
        let path = key::audit_path(entry.at);
        self.put_new(&path, Bytes::from(text)).await
    }

    /// The deeds so far, oldest first. What is no entry of ours is passed over.
    ///
    /// # Errors
    /// When the store cannot be listed or read.
    pub async fn audit(&self) -> Result<Vec<AuditEntry>, ListError> {
        let prefix = key::audit_prefix();
        let mut names = self.objects().list(Some(&prefix));
        let mut paths = Vec::new();
        while let Some(object) = names.try_next().await.map_err(unavailable(&prefix))? {
            if object.size <= MAX_ENTRY_BYTES as u64 && paths.len() < MAX_ENTRIES {
                paths.push(object.location);
            }
        }
        paths.sort_unstable();
        let mut entries = Vec::new();
        for path in paths {
            let whole = self.objects().get_opts(&path, GetOptions::new()).await;
            let bytes = whole.map_err(unavailable(&prefix))?.bytes().await;
            let bytes = bytes.map_err(unavailable(&prefix))?;
            entries.extend(serde_json::from_slice::<AuditEntry>(&bytes));
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn deeds_are_kept_in_the_order_of_time_and_never_replaced() {
        let raw = RawStore::new(Arc::new(InMemory::new()));
        assert_eq!(raw.audit().await.unwrap(), []);
        let entry = |second: i64, why: Option<&str>| AuditEntry {
            at: DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap(),
            who: "root".to_owned(),
            what: "quarantine-drop".to_owned(),
            to: vec![format!("s/{second}")],
            why: why.map(str::to_owned),
        };
        for each in [
            entry(9, None),
            entry(1, Some("junk")),
            entry(1, Some("junk")),
        ] {
            raw.note(&each).await.unwrap();
        }
        let expected = [
            entry(1, Some("junk")),
            entry(1, Some("junk")),
            entry(9, None),
        ];
        assert_eq!(raw.audit().await.unwrap(), expected);
        assert_eq!(raw.dates().await.unwrap(), []);
    }
}
