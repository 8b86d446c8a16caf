//! How much of a stream stands behind a position, as a listing says.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;

use super::{ListError, RawStore, unavailable};
use crate::key::{self, SegmentNumbers, StreamName};

/// Segments that wait for whoever asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub segments: u64,
    /// Bytes of the objects.
    pub bytes: u64,
    /// When the oldest of them was written, by the store's clock.
    pub oldest: Option<DateTime<Utc>>,
}

impl RawStore {
    /// What the stream holds above the number `after`. Reads no object.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn waiting_after(
        &self,
        stream: StreamName,
        after: u64,
    ) -> Result<Waiting, ListError> {
        let prefix = key::stream_prefix(stream);
        let offset = key::listing_offset(stream, after);
        let mut objects = self.store.list_with_offset(Some(&prefix), &offset);
        let mut waiting = Waiting::default();
        while let Some(object) = objects.try_next().await.map_err(unavailable(&prefix))? {
            let numbers = SegmentNumbers::of(object.location.as_ref());
            if let Some(numbers) = numbers.filter(|numbers| numbers.last().get() > after) {
                waiting.segments += numbers.segments();
                waiting.bytes += object.size;
                let written = object.last_modified;
                waiting.oldest = Some(waiting.oldest.map_or(written, |oldest| oldest.min(written)));
            }
        }
        Ok(waiting)
    }
}
