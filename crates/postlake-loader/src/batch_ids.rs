//! Ids of the batches that came lately, to flag an id that comes with other bytes.

use std::collections::HashMap;

use arrow::array::AsArray;
use futures::TryStreamExt as _;
use postlake_event::key::Key;
use postlake_event::schema::Table;
use postlake_raw::Envelope;

use crate::error::LoadError;
use crate::positions::Tables;

/// Ids that are held at most, about 50 bytes each. Beyond that the newest of them are read again.
const ID_LIMIT: usize = 300_000;

/// Ids of the batches of the last days with a hash of their bodies. The sender gives up after 8
/// hours, so two days are plenty; a sender of more batches than the limit is watched for as long as
/// the newer half of them reaches back.
#[derive(Debug, Default)]
pub(crate) struct BatchIds {
    /// Digests of both.
    seen: Option<HashMap<Key, Key>>,
}

impl BatchIds {
    pub(crate) async fn prepare(&mut self, tables: &Tables) -> Result<(), LoadError> {
        if self.seen.as_ref().is_some_and(|seen| seen.len() < ID_LIMIT) {
            return Ok(());
        }
        // Not beside the old ones.
        self.seen = None;
        let mut seen = HashMap::new();
        if let Some(lake) = tables.get(Table::Batches) {
            let sql = format!(
                "SELECT arrow_cast(batch_id, 'Utf8'), arrow_cast(sha256, 'Utf8') FROM batches \
                 WHERE batch_id IS NOT NULL \
                 AND received_date >= (SELECT max(received_date) FROM batches) - INTERVAL '1 day' \
                 ORDER BY received_at DESC LIMIT {}",
                ID_LIMIT / 2
            );
            let mut rows = lake.select(&sql).await.map_err(LoadError::Lake)?;
            while let Some(batch) = rows.try_next().await.map_err(LoadError::Lake)? {
                let ids = batch.column(0).as_string::<i32>().iter().flatten();
                let hashes = batch.column(1).as_string::<i32>().iter().flatten();
                for (id, hash) in ids.zip(hashes) {
                    // The newest come first; what stands is what the id stood for at first.
                    seen.insert(Key::of_hash(id), Key::of_hash(hash));
                }
            }
        }
        self.seen = Some(seen);
        Ok(())
    }

    /// True if the batch's id stood for other bytes before; remembers it either way.
    pub(crate) fn is_reused(&mut self, envelope: &Envelope) -> bool {
        let (Some(seen), Some(id)) = (&mut self.seen, &envelope.batch_id) else {
            return false;
        };
        let hash = Key::of_hash(&hex::encode(envelope.sha256));
        *seen.entry(Key::of_hash(id)).or_insert(hash) != hash
    }
}
