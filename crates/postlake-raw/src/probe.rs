//! How fast a store makes small objects durable, for whoever looks at a machine before it is used.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::debug;

use crate::store::{LandError, RawStore};

/// What was measured. All times are those of one put, answered when it was durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncSpeed {
    /// Half of the puts took at most this long.
    pub median: Duration,
    /// None took longer.
    pub longest: Duration,
    /// Bytes of each object.
    pub object_bytes: u64,
    /// How many puts were measured.
    pub puts: usize,
}

impl RawStore {
    /// Puts `puts` objects of `object_bytes` one after the other and takes them away again. On a
    /// directory each costs what a segment costs: a file and a folder are synced.
    ///
    /// # Errors
    /// When a put fails; what was put before is taken away.
    pub async fn probe_sync_speed(
        &self,
        puts: usize,
        object_bytes: usize,
    ) -> Result<SyncSpeed, LandError> {
        let bytes = Bytes::from(vec![0x5a; object_bytes]);
        let mut times = Vec::with_capacity(puts.max(1));
        for _ in 0..puts.max(1) {
            let start = Instant::now();
            let path = self.put_probe(bytes.clone()).await?;
            times.push(start.elapsed());
            if let Err(error) = self.delete_probe(&path).await {
                debug!(object.path = %path, error = &error as &dyn Error, "probe object stays behind");
            }
        }
        times.sort_unstable();
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        Ok(SyncSpeed {
            median: at((times.len() - 1) / 2),
            longest: at(times.len() - 1),
            object_bytes: object_bytes as u64,
            puts: times.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::TryStreamExt as _;
    use object_store::ObjectStore;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn the_speed_is_measured_and_nothing_stays() {
        let store = Arc::new(InMemory::new());
        let raw = RawStore::new(Arc::clone(&store) as Arc<dyn ObjectStore>);
        let speed = raw.probe_sync_speed(5, 1000).await.unwrap();
        assert_eq!((speed.puts, speed.object_bytes), (5, 1000));
        assert!(speed.median <= speed.longest && speed.longest > Duration::ZERO);
        let left: Vec<_> = store.list(None).try_collect().await.unwrap();
        assert_eq!(left, []);
    }
}
