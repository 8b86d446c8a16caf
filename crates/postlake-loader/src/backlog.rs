//! What is received and not loaded, as listings say.

use chrono::{DateTime, Utc};
use postlake_event::schema::Table;
use postlake_raw::RawStore;

use crate::error::LoadError;
use crate::positions::Tables;

/// Segments that no pass has loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Streams that have such segments.
    pub streams: u64,
    /// How many segments.
    pub segments: u64,
    /// Bytes of the objects.
    pub bytes: u64,
    /// When the oldest was written, by the store's clock.
    pub oldest: Option<DateTime<Utc>>,
}

/// Lists every stream of every day and reads no object.
pub(crate) async fn measure(raw: &RawStore, tables: &mut Tables) -> Result<Backlog, LoadError> {
    let mut backlog = Backlog::default();
    for date in raw.dates().await.map_err(LoadError::List)? {
        for stream in raw.streams(date).await.map_err(LoadError::List)? {
            let position = tables
                .position(Table::Batches, &stream)
                .await
                .map_err(LoadError::Lake)?;
            let after = u64::try_from(position).unwrap_or(0);
            let waiting = raw
                .waiting_after(stream, after)
                .await
                .map_err(LoadError::List)?;
            backlog.streams += u64::from(waiting.segments > 0);
            backlog.segments += waiting.segments;
            backlog.bytes += waiting.bytes;
            backlog.oldest = match (backlog.oldest, waiting.oldest) {
                (Some(one), Some(two)) => Some(one.min(two)),
                (one, two) => one.or(two),
            };
        }
    }
    Ok(backlog)
}
