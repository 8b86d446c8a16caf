//! One landing: bounded in time, and in how many may be left behind unfinished.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use postlake_raw::{LandCause, LandError, LandErrorKind, RawStore, SegmentKey};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::warn;

use super::Failure;

/// Puts that were given up but hold their bytes still, at most, with the one that is waited for. A
/// put to a disk cannot be called back: it ends when the disk lets it.
const MOST_PUTS: usize = 3;
/// How long a landing waits for one of them to end before it counts as failed.
const WAIT_FOR_A_PLACE: Duration = Duration::from_secs(1);

/// Lands segments, one at a time.
#[derive(Debug)]
pub(super) struct Lander {
    store: RawStore,
    places: Arc<Semaphore>,
}

/// How a landing ended that was no success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mishap {
    pub(super) failure: Failure,
    pub(super) cause: LandCause,
    /// The put goes on without us.
    pub(super) abandoned: bool,
}

impl Lander {
    pub(super) fn new(store: RawStore) -> Self {
        Self {
            store,
            places: Arc::new(Semaphore::new(MOST_PUTS)),
        }
    }

    /// Lands the segment; waits at most `patience`, and a little for a place.
    pub(super) async fn land(
        &self,
        key: &SegmentKey,
        bytes: Bytes,
        patience: Duration,
    ) -> Result<(), Mishap> {
        let mishap = |failure, cause, abandoned| Mishap {
            failure,
            cause,
            abandoned,
        };
        let place = timeout(WAIT_FOR_A_PLACE, Arc::clone(&self.places).acquire_owned());
        let Ok(Ok(place)) = place.await else {
            warn!(segment.key = %key, "earlier puts hang, the store is not asked for more");
            return Err(mishap(Failure::Refused, LandCause::TimedOut, false));
        };
        let held = Arc::new(Held {
            bytes,
            place: Mutex::new(Some(place)),
        });
        let bytes = Bytes::from_owner(Lent(Arc::clone(&held)));
        let Ok(landed) = timeout(patience, self.store.land(key, bytes)).await else {
            warn!(segment.key = %key, "the store did not answer in time");
            return Err(mishap(Failure::Spoilt, LandCause::TimedOut, true));
        };
        held.free_the_place();
        landed.map_err(|error| {
            warn!(segment.key = %key, error = &error as &dyn std::error::Error, "segment was not landed");
            mishap(failure(&error), error.cause(), false)
        })
    }
}

fn failure(error: &LandError) -> Failure {
    match error.kind() {
        LandErrorKind::Refused => Failure::Refused,
        LandErrorKind::Conflict | LandErrorKind::Unknown => Failure::Spoilt,
    }
}

/// A segment's bytes and its place among the puts under way. The place is free when the landing has
/// ended, or else when the store has let go of the bytes.
struct Held {
    bytes: Bytes,
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Held {
    fn free_the_place(&self) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        drop(place.take());
    }
}

/// What the store gets.
struct Lent(Arc<Held>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}
