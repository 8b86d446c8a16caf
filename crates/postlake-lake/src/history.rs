//! Whether the log still tells everything from the beginning.

use std::collections::HashSet;

use futures::TryStreamExt as _;
use object_store_lake::path::Path;

use crate::error::{ErrorKind, LakeError};
use crate::log;
use crate::table::LakeTable;

impl LakeTable {
    /// True if a reader of the log who starts at its first version gets the rows of this version and no
    /// others: every entry and every file is there, and no row was taken away or corrected since.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn has_whole_history(&self) -> Result<bool, LakeError> {
        let mut files: Option<HashSet<Path>> = None;
        for version in 0..=self.version() {
            let Some(entry) = log::entry(self.table(), self.delta(), version).await? else {
                return Ok(false);
            };
            if entry.takes_rows {
                return Ok(false);
            }
            for add in entry.adds.iter().filter(|add| add.data_change) {
                let there = match files.take() {
                    Some(files) => files,
                    None => self.files().await?,
                };
                let path = Path::from_url_path(&add.path);
                let is_there = path.is_ok_and(|path| there.contains(&path));
                files = Some(there);
                if !is_there {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The names of all objects of the table.
    async fn files(&self) -> Result<HashSet<Path>, LakeError> {
        let doing = || format!("list the data files of the table {}", self.table().name());
        let store = self.delta().object_store();
        let listing = store.list(None).map_ok(|object| object.location);
        let files = listing.try_collect().await;
        files.map_err(|source| LakeError::new(ErrorKind::Unavailable, doing(), source))
    }
}
