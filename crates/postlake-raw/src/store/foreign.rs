//! Names beside the days of the raw store.

use super::{ListError, MAX_FOREIGN_NAMES, RawStore, unavailable};
use crate::key;

impl RawStore {
    /// Up to [`MAX_FOREIGN_NAMES`] names directly below the root of the raw store that are no days: folders
    /// of another make, and objects, which a probe leaves behind when it is killed.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn foreign_at_root(&self) -> Result<Vec<String>, ListError> {
        let root = key::root_prefix();
        let listing = self.store.list_with_delimiter(Some(&root)).await;
        let listing = listing.map_err(unavailable(&root))?;
        let folders = listing.common_prefixes.iter();
        let folders = folders
            .filter(|prefix| key::parse_date_prefix(prefix).is_none())
            .map(ToString::to_string);
        let objects = listing.objects.iter().map(|object| &object.location);
        let names = folders.chain(objects.map(ToString::to_string));
        Ok(names.take(MAX_FOREIGN_NAMES).collect())
    }
}
