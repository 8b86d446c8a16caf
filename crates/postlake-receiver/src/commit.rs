//! Group commit: everything that waits when a commit starts becomes one segment.
//!
//! One commit is in flight at a time, so a stream's segments are landed one after the other. When
//! idle a batch is committed at once; under load a commit starts every `commit_interval`.
//!
//! **Numbers have no holes, and nothing is landed twice under one name.** A number is used up by a
//! landing that succeeded. After one that was refused (nothing stored, nothing will be) the same
//! number is tried again. After one whose outcome is unknown, or that met other bytes, the stream is
//! given up: nothing is ever put after that number, so the stream ends before it or with it, and the
//! waiting batches go into a new stream, into a new file in a new folder. That is also what a failed
//! sync of a disk demands: a second sync of the same file or folder may succeed without having
//! written anything, and finding one's own bytes under the name would not prove that the name is on
//! the disk. If the unknown landing has happened after all, its batches stand in the raw store
//! twice, and the loader takes the duplicates out.
//!
//! **Who is put off.** A failed group goes back to the front of the queue and is tried again, paced,
//! alerts first and by themselves. Events are refused when the store refuses or after a few tries.
//! Alerts stay, even when nobody waits for the answer any more, because nobody sends them again.

mod lanes;
mod stream;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postlake_raw::clock::Clock;
use postlake_raw::{LandErrorKind, RawStore, SegmentKey, segment};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{error, warn};

use crate::config::Config;
use crate::counters::Tally;
use crate::receipt::{OnLanded, Receipt};
use crate::refusal::Refusal;

use lanes::Group;
pub(crate) use lanes::{Lanes, Waiting};
use stream::OpenStream;

/// Tries before an event is refused, and before a closing receiver gives alerts up.
const MAX_TRIES: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(2);

/// The one task that writes the stream.
pub(crate) struct Committer {
    config: Config,
    store: RawStore,
    clock: Arc<dyn Clock>,
    tally: Arc<Tally>,
    on_landed: OnLanded,
    lanes: Lanes,
    stream: Option<OpenStream>,
    last_start: Option<Instant>,
    failures_in_a_row: u32,
}

/// Why a group was not landed.
enum Failure {
    /// Nothing is stored under the key, nothing will be.
    Refused,
    /// The key must not be used again.
    Spoilt,
    /// These batches can never be a segment; a defect.
    Unfit,
}

impl Committer {
    pub(crate) fn new(
        config: Config,
        store: RawStore,
        clock: Arc<dyn Clock>,
        tally: Arc<Tally>,
        on_landed: OnLanded,
        lanes: Lanes,
    ) -> Self {
        let (stream, last_start, failures_in_a_row) = (None, None, 0);
        Self {
            config,
            store,
            clock,
            tally,
            on_landed,
            lanes,
            stream,
            last_start,
            failures_in_a_row,
        }
    }

    /// Commits until nothing more can come: the receiver was closed or dropped.
    pub(crate) async fn run(mut self) {
        while self.lanes.wait().await {
            self.pace().await;
            let alerts_only = self.failures_in_a_row > 0 && self.lanes.has_alerts();
            let (group, withdrawn) = self
                .lanes
                .gather(self.config.max_segment_bytes, alerts_only);
            Tally::add(&self.tally.withdrawn, withdrawn);
            if !group.is_empty() {
                self.commit(group).await;
            }
        }
    }

    /// Waits for the next start: the interval since the last one; after failures, longer each time.
    async fn pace(&mut self) {
        if let Some(exponent) = self.failures_in_a_row.checked_sub(1) {
            let backoff = FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(exponent));
            sleep(backoff.min(LAST_BACKOFF)).await;
        } else if let Some(last_start) = self.last_start {
            let next_start = last_start + self.config.commit_interval;
            if Instant::now() < next_start {
                sleep_until(next_start).await;
            }
        }
        self.last_start = Some(Instant::now());
    }

    async fn commit(&mut self, group: Group) {
        let key = self.next_key();
        let encode = tokio::task::spawn_blocking(move || {
            let bytes = segment::encode(&key, &group.batches);
            (group, bytes)
        });
        // A panic in there takes the group with it: its requests see the reply dropped and get 503.
        let Ok((group, bytes)) = encode.await else {
            error!(segment.key = %key, "encoding a segment panicked, its batches are refused");
            return;
        };
        let landed = match bytes {
            Ok(bytes) => self.land(&key, bytes).await,
            Err(cause) => {
                error!(segment.key = %key, error = &cause as &dyn Error, "batches do not make a segment");
                Err(Failure::Unfit)
            }
        };
        match landed {
            Ok(()) => self.succeed(&key, group),
            Err(failure) => self.fail(&failure, group),
        }
    }

    fn next_key(&mut self) -> SegmentKey {
        let today = self.clock.now().date_naive();
        let usable = self.stream.take().filter(|stream| !stream.is_over(today));
        let stream = usable.unwrap_or_else(|| {
            Tally::add(&self.tally.streams, 1);
            OpenStream::new(self.clock.as_ref())
        });
        self.stream.insert(stream).next_key()
    }

    async fn land(&self, key: &SegmentKey, bytes: Bytes) -> Result<(), Failure> {
        let landed = timeout(self.config.put_timeout, self.store.land(key, bytes)).await;
        let error = match landed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_elapsed) => {
                warn!(segment.key = %key, "the store did not answer in time");
                return Err(Failure::Spoilt);
            }
        };
        warn!(segment.key = %key, error = &error as &dyn Error, "segment was not landed");
        match error.kind() {
            LandErrorKind::Refused => Err(Failure::Refused),
            LandErrorKind::Conflict | LandErrorKind::Unknown => Err(Failure::Spoilt),
        }
    }

    fn succeed(&mut self, key: &SegmentKey, group: Group) {
        self.failures_in_a_row = 0;
        self.stream = self.stream.take().and_then(OpenStream::advanced);
        Tally::add(&self.tally.segments, 1);
        for (batch_index, waiting) in group.into_waiting().enumerate() {
            let body_bytes = waiting.body_bytes();
            let received_at = waiting.received_at();
            let receipt = Receipt {
                key: *key,
                batch_index,
                body_bytes,
                received_at,
            };
            if waiting.answer(Ok(receipt)) {
                Tally::add(&self.tally.batches, 1);
                Tally::add(&self.tally.bytes, body_bytes);
            } else {
                Tally::add(&self.tally.late_batches, 1);
            }
        }
        (self.on_landed)(key);
    }

    fn fail(&mut self, failure: &Failure, group: Group) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        Tally::add(&self.tally.failed_landings, 1);
        if matches!(failure, Failure::Spoilt) {
            self.stream = None;
        }
        let closed_in_vain = self.lanes.closed() && self.failures_in_a_row >= MAX_TRIES;
        let mut again = Vec::new();
        for mut waiting in group.into_waiting() {
            let tries = waiting.count_failed_landing();
            let hopeless = match failure {
                Failure::Unfit => true,
                _ if waiting.is_alert() => closed_in_vain,
                Failure::Refused => true,
                Failure::Spoilt => tries >= MAX_TRIES,
            };
            if hopeless {
                self.give_up(waiting);
            } else {
                again.push(waiting);
            }
        }
        self.lanes.put_back(again);
    }

    fn give_up(&self, waiting: Waiting) {
        if waiting.is_alert() {
            error!("an alert was given up, its sender will not send it again");
            Tally::add(&self.tally.alerts_given_up, 1);
        }
        // False means that nobody waits any more, who was then counted when the answer was given.
        let _waited = waiting.answer(Err(Refusal::StoreFailed));
    }
}
