//! Group commit: everything that waits when a commit starts becomes one segment.
//!
//! One commit is in flight at a time, so a stream's segments are landed one after the other. When
//! idle a batch is committed at once; under load a commit starts every `commit_interval`, or sooner when
//! enough batches or bytes for a good segment wait.
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
//! When the disk is full, room is made for them from a reserve, if there is one.
//!
//! **One group ahead.** While a group is encoded and landed, the next one is encoded as soon as enough wait
//! for it, under the number that will follow. It is landed after the one before, never at the same time; when
//! that one fails, it goes back into the queue behind it. What was encoded ahead is given up as well when much
//! more has come to wait during a slow put: a slow store is given few large segments.
//!
//! **How long a put is waited for.** `put_patience` at first, twice as long after each put that was
//! not answered, up to `put_timeout`, and the groups become smaller: a slow store is given what it can
//! take. A put that was given up may go on; there are never more than a few of those.
//!
//! **How many may wait.** As many as become durable within about a second, at the rate at which they do.
//!
//! **When it ends.** When the receiver is closed; and when the device has failed in every landing for
//! `device_patience`: then a process that holds on to it helps nobody.

mod ahead;
mod landing;
mod lanes;
mod rate;
mod stream;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use postlake_raw::clock::Clock;
use postlake_raw::{LandCause, RawStore, SegmentKey};
use tokio::time::{Instant, sleep};
use tracing::field::Empty;
use tracing::{Instrument as _, error, info, info_span};

use crate::config::Config;
use crate::counters::Tally;
use crate::inflight::Inflight;
use crate::receipt::{MakeRoom, OnLanded, Receipt};
use crate::refusal::Refusal;

use ahead::{Encoded, Encoding};
use landing::{Lander, Mishap};
use lanes::{Enough, Group};
pub(crate) use lanes::{Lanes, Waiting};
use rate::{Landed, Rate};
use stream::OpenStream;

/// Tries before an event is refused, and before a closing receiver gives alerts up.
const MAX_TRIES: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(2);
/// Groups are not made smaller than this, in bytes of bodies.
const LEAST_GROUP_BYTES: u64 = 1024 * 1024;

/// A group that was encoded ahead is given up when so many times as many wait by the time it could be
/// landed, after a put that took so long.
const SMALL_SHARE: usize = 2;
const SLOW_PUT: Duration = Duration::from_millis(20);

/// Why the committer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing more can come.
    Closed,
    /// The device fails and fails.
    DeviceFailed,
}

/// The one task that writes the stream.
pub(crate) struct Committer {
    config: Config,
    lander: Arc<Lander>,
    clock: Arc<dyn Clock>,
    tally: Arc<Tally>,
    on_landed: OnLanded,
    make_room: Arc<OnceLock<MakeRoom>>,
    lanes: Lanes,
    inflight: Arc<Inflight>,
    rate: Rate,
    stream: Option<OpenStream>,
    last_start: Option<Instant>,
    row: Row,
}

/// The failures since the last success.
#[derive(Debug, Default)]
struct Row {
    failures: u32,
    /// Puts that were not answered in time, one after the other.
    timeouts: u32,
    /// Since when the device fails, and nothing else happened.
    device_since: Option<Instant>,
    /// Room was made: no pause.
    at_once: bool,
}

/// Why a group was not landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Nothing is stored under the key, nothing will be.
    Refused,
    /// The key must not be used again.
    Spoilt,
    /// These batches can never be a segment; a defect.
    Unfit,
}

impl Failure {
    fn name(self) -> &'static str {
        match self {
            Failure::Refused => "refused",
            Failure::Spoilt => "outcome_unknown",
            Failure::Unfit => "unfit",
        }
    }
}

/// What came of a group.
enum Written {
    /// With how long its put took.
    Landed(Group, Duration),
    /// With the mishap and the segment's size, if it came so far.
    Failed(Failure, Group, Option<(Mishap, u64)>),
    /// The runtime is going; so are its batches.
    Cancelled,
}

/// Encodes and lands.
async fn write(
    encoding: Encoding,
    lander: Arc<Lander>,
    tally: Arc<Tally>,
    patience: Duration,
) -> Written {
    let key = encoding.key;
    let Some((encoded, group)) = encoding.finish().await else {
        error!(segment.key = %key, "encoding a segment was cancelled, its batches are refused");
        return Written::Cancelled;
    };
    let bytes = match encoded {
        Encoded::Bytes(bytes) => bytes,
        Encoded::Unfit(cause) => {
            error!(segment.key = %key, error = &cause as &dyn Error, "batches do not make a segment");
            return Written::Failed(Failure::Unfit, group, None);
        }
        Encoded::Panicked => {
            error!(segment.key = %key, "encoding a segment panicked, its batches are refused");
            return Written::Failed(Failure::Unfit, group, None);
        }
    };
    let size = bytes.len() as u64;
    tally.measures.segment_bytes.add(size);
    let started = Instant::now();
    let put = info_span!(
        "put",
        postlake.segment.key = %key,
        postlake.segment.bytes = size,
        error.type = Empty,
    );
    let landing = lander.land(&key, bytes, patience);
    let landed = landing.instrument(put.clone()).await;
    let took = started.elapsed();
    tally.measures.put.add_time(took);
    match landed {
        Ok(()) => Written::Landed(group, took),
        Err(mishap) => {
            put.record("error.type", mishap.cause.code());
            Written::Failed(mishap.failure, group, Some((mishap, size)))
        }
    }
}

impl Committer {
    pub(crate) fn new(
        config: Config,
        store: RawStore,
        clock: Arc<dyn Clock>,
        tally: Arc<Tally>,
        on_landed: OnLanded,
        lanes: Lanes,
        inflight: Arc<Inflight>,
    ) -> Self {
        Self {
            config,
            lander: Arc::new(Lander::new(store)),
            clock,
            tally,
            on_landed,
            make_room: Arc::default(),
            lanes,
            inflight,
            rate: Rate::default(),
            stream: None,
            last_start: None,
            row: Row::default(),
        }
    }

    /// Where to put who makes room on a full disk.
    pub(crate) fn make_room(&self) -> Arc<OnceLock<MakeRoom>> {
        Arc::clone(&self.make_room)
    }

    /// Commits until nothing more can come, or the device is given up.
    pub(crate) async fn run(mut self) -> End {
        let mut ahead = None;
        while ahead.is_some() || self.lanes.wait().await {
            let (encoding, alerts_only) = match ahead.take() {
                Some(encoding) => {
                    self.last_start = Some(Instant::now());
                    (encoding, false)
                }
                None => {
                    self.pace().await;
                    let alerts_only = self.row.failures > 0 && self.lanes.has_alerts();
                    let group = self.gather(alerts_only);
                    if group.is_empty() {
                        continue;
                    }
                    (Encoding::start(self.next_key(), group), alerts_only)
                }
            };
            ahead = self.commit(encoding).await;
            if alerts_only && self.row.failures >= MAX_TRIES {
                // Their own tries would have come to the same, and they would wait for them in vain.
                let events = self.lanes.take_events();
                events
                    .into_waiting()
                    .for_each(|waiting| self.give_up(waiting));
            }
            if self.device_is_hopeless() {
                self.give_up_all();
                return End::DeviceFailed;
            }
        }
        End::Closed
    }

    /// Waits for the next start: the interval since the last one, or until enough wait to be worth a
    /// commit of their own; after failures, longer each time.
    async fn pace(&mut self) {
        if std::mem::take(&mut self.row.at_once) {
            // Somebody else would take the room.
        } else if let Some(exponent) = self.row.failures.checked_sub(1) {
            let backoff = FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(exponent));
            sleep(backoff.min(LAST_BACKOFF)).await;
        } else if let Some(last_start) = self.last_start {
            let next_start = last_start + self.config.commit_interval;
            let enough = self.enough();
            self.lanes.wait_for(enough, next_start).await;
        }
        self.last_start = Some(Instant::now());
    }

    fn enough(&self) -> Enough {
        Enough {
            batches: self.config.commit_batches,
            bytes: self.config.commit_bytes,
        }
    }

    /// How large a group may be: half as large after each put that was not answered in time.
    fn group_bytes(&self) -> u64 {
        let most = self.config.max_segment_bytes;
        let shrunk = most.checked_shr(self.row.timeouts).unwrap_or(0);
        shrunk.max(LEAST_GROUP_BYTES.min(most))
    }

    /// What waits now, without what nobody waits for any more.
    fn gather(&mut self, alerts_only: bool) -> Group {
        let (group, withdrawn) = self.lanes.gather(self.group_bytes(), alerts_only);
        Tally::add(&self.tally.withdrawn, withdrawn);
        group
    }

    fn patience(&self) -> Duration {
        let grown = 2_u32.saturating_pow(self.row.timeouts);
        let patience = self.config.put_patience.saturating_mul(grown);
        patience.min(self.config.put_timeout)
    }

    /// Encodes and lands a group. Returns the next one, if it is being encoded already; there is none
    /// after a failure.
    async fn commit(&mut self, encoding: Encoding) -> Option<Encoding> {
        let (key, began, span) = (encoding.key, encoding.began, encoding.span.clone());
        let written = write(
            encoding,
            Arc::clone(&self.lander),
            Arc::clone(&self.tally),
            self.patience(),
        );
        let written = written.instrument(span.clone());
        let (written, ahead) = self.look_ahead(written).await;
        match written {
            Written::Landed(group, took) => {
                self.let_in(began, &group);
                self.succeed(&key, group);
                match ahead {
                    Some(ahead) if took >= SLOW_PUT && self.is_small_by_now(&ahead) => {
                        self.take_back(ahead).await;
                    }
                    ahead => return ahead,
                }
            }
            Written::Failed(failure, group, mishap) => {
                span.record("error.type", failure.name());
                if let Some(ahead) = ahead {
                    self.take_back(ahead).await;
                }
                if let Some(mishap) = mishap {
                    self.take_note(&mishap.0);
                    if mishap.0.cause == LandCause::StorageFull && group.has_alerts() {
                        self.row.at_once = self.make_room_for(mishap.1).await;
                    }
                }
                self.fail(failure, group);
            }
            Written::Cancelled => {}
        }
        None
    }

    /// Lets in as many events as become durable soon enough, now that a group has.
    fn let_in(&mut self, began: Instant, group: &Group) {
        let limit = self.rate.landed(Landed {
            began,
            ended: Instant::now(),
            bytes: group.held_bytes(),
            waiting: self.inflight.whole(),
        });
        self.inflight.limit_events(limit);
    }

    /// Waits for `written`, and begins with the next group meanwhile when enough wait for it.
    async fn look_ahead(
        &mut self,
        written: impl Future<Output = Written>,
    ) -> (Written, Option<Encoding>) {
        let mut written = pin!(written);
        let mut ahead = None;
        // After a failure each group is tried by itself.
        let mut may_begin = self.row.failures == 0;
        let enough = self.enough();
        loop {
            tokio::select! {
                biased;
                written = &mut written => return (written, ahead),
                () = self.lanes.wait_for_many(enough), if may_begin => {
                    may_begin = false;
                    let today = self.clock.now().date_naive();
                    let stream = self.stream.as_ref().filter(|stream| !stream.is_over(today));
                    let Some(key) = stream.and_then(OpenStream::key_after) else {
                        continue;
                    };
                    let group = self.gather(false);
                    ahead = (!group.is_empty()).then(|| Encoding::start(key, group));
                }
            }
        }
    }

    /// Whether so much more waits that the group would be a waste of a put.
    fn is_small_by_now(&self, ahead: &Encoding) -> bool {
        ahead.batches.saturating_mul(SMALL_SHARE) <= self.lanes.waiting()
    }

    /// Puts a group that was encoded ahead back in front of the queue.
    async fn take_back(&mut self, ahead: Encoding) {
        ahead.span.record("otel.discard", true);
        if let Some((_, group)) = ahead.finish().await {
            self.lanes.put_back(group.into_waiting().collect());
        }
    }

    fn take_note(&mut self, mishap: &Mishap) {
        self.tally.count_failed_landing(mishap.cause);
        Tally::add(&self.tally.abandoned_puts, u64::from(mishap.abandoned));
        self.row.timeouts = match mishap.abandoned {
            true => self.row.timeouts.saturating_add(1),
            false => 0,
        };
        self.row.device_since = match mishap.cause {
            LandCause::Device => self.row.device_since.or_else(|| Some(Instant::now())),
            _ => None,
        };
    }

    /// Whether the reserve has given up enough for another try.
    async fn make_room_for(&self, bytes: u64) -> bool {
        let Some(make_room) = self.make_room.get().cloned() else {
            return false;
        };
        let made = tokio::task::spawn_blocking(move || make_room(bytes)).await;
        let made = made.unwrap_or(false);
        if made {
            info!("space of the reserve is given up for alerts");
            Tally::add(&self.tally.reserve_given, 1);
        }
        made
    }

    fn device_is_hopeless(&self) -> bool {
        let since = self.row.device_since;
        self.row.failures >= MAX_TRIES
            && since.is_some_and(|since| since.elapsed() >= self.config.device_patience)
    }

    fn give_up_all(&mut self) {
        error!("the device has failed in every landing for too long, the receiver ends");
        loop {
            let (group, withdrawn) = self.lanes.gather(u64::MAX, false);
            Tally::add(&self.tally.withdrawn, withdrawn);
            if group.is_empty() {
                return;
            }
            group
                .into_waiting()
                .for_each(|waiting| self.give_up(waiting));
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

    fn succeed(&mut self, key: &SegmentKey, group: Group) {
        self.row = Row::default();
        self.stream = self.stream.take().and_then(OpenStream::advanced);
        Tally::add(&self.tally.segments, 1);
        self.tally
            .measures
            .segment_batches
            .add(group.batches.len() as u64);
        for (batch_index, waiting) in group.into_waiting().enumerate() {
            let body_bytes = waiting.body_bytes();
            Tally::add(
                &self.tally.rewritten_batches,
                u64::from(waiting.failed_before()),
            );
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

    fn fail(&mut self, failure: Failure, group: Group) {
        self.row.failures = self.row.failures.saturating_add(1);
        if failure == Failure::Spoilt {
            Tally::add(&self.tally.spoilt_streams, 1);
            self.stream = None;
        }
        let closed_in_vain = self.lanes.closed() && self.row.failures >= MAX_TRIES;
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
