//! The receiver: takes a batch, waits until it is durable, gives a receipt or says why not.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use axum::body::{Body, HttpBody};
use axum::http::HeaderMap;
use bytes::Bytes;
use postlake_raw::clock::Clock;
use postlake_raw::{Batch, RawStore, SourceKind};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::body;
use crate::commit::{Committer, End, Lanes, Waiting};
use crate::config::{Config, ConfigError};
use crate::counters::{Counters, Tally};
use crate::inflight::{BATCH_OVERHEAD_BYTES, Hold, Inflight};
use crate::kept_headers;
use crate::measures::Measurements;
use crate::receipt::{MakeRoom, OnLanded, Receipt};
use crate::refusal::Refusal;

/// A body above this is hashed on a blocking thread.
const HASH_INLINE_BYTES: usize = 1024 * 1024;
/// Most bytes that are kept for one body that is announced.
const MOST_PROMISED_BYTES: u64 = 4 * 1024 * 1024;
/// Most batches that wait, for each of the two webhooks.
const QUEUE_BATCHES: usize = 8192;

/// Why a committer ended that nobody closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// It panicked: a defect.
    Defect,
    /// The device has failed in every landing for `device_patience`.
    DeviceFailed,
}

/// Takes batches and makes them durable, many in one segment. Made once, shared by all requests.
///
/// Holds no state that a restart needs. Dropping the last handle lets the committer land what
/// waits and end; [`Receiver::close`] waits for that.
pub struct Receiver {
    config: Config,
    auth: Auth,
    clock: Arc<dyn Clock>,
    inflight: Arc<Inflight>,
    events: mpsc::Sender<Waiting>,
    alerts: mpsc::Sender<Waiting>,
    tally: Arc<Tally>,
    draining: AtomicBool,
    events_held: AtomicBool,
    store_away: AtomicBool,
    device_failed: Arc<AtomicBool>,
    make_room: OnceLock<Arc<OnceLock<MakeRoom>>>,
    closing: CancellationToken,
    ended: CancellationToken,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Receiver {
    /// Starts the committer on the current tokio runtime. Writes nothing until a batch comes.
    ///
    /// # Errors
    /// Every limit of `config` that cannot work.
    pub fn start(
        config: Config,
        store: RawStore,
        clock: Arc<dyn Clock>,
        on_landed: OnLanded,
    ) -> Result<Arc<Self>, Vec<ConfigError>> {
        let faults = config.faults();
        if !faults.is_empty() {
            return Err(faults);
        }
        let (events, events_queue) = mpsc::channel(QUEUE_BATCHES);
        let (alerts, alerts_queue) = mpsc::channel(QUEUE_BATCHES);
        let receiver = Arc::new(Self {
            auth: Auth::new(&config.auth, Arc::clone(&clock)),
            inflight: Inflight::new(config.max_inflight_bytes, config.alert_reserve_bytes),
            config,
            clock,
            events,
            alerts,
            tally: Arc::default(),
            draining: AtomicBool::new(false),
            events_held: AtomicBool::new(false),
            store_away: AtomicBool::new(false),
            device_failed: Arc::default(),
            make_room: OnceLock::new(),
            closing: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        receiver.auth.keep_fresh(receiver.closing.clone());
        let lanes = Lanes::new(alerts_queue, events_queue, receiver.closing.clone());
        let committer = receiver.committer(store, on_landed, lanes);
        receiver.make_room.get_or_init(|| committer.make_room());
        let device_failed = Arc::clone(&receiver.device_failed);
        let ended = receiver.ended.clone().drop_guard();
        drop(tokio::spawn(async move {
            let _ended_even_by_panic = ended;
            let end = committer.run().await;
            device_failed.store(end == End::DeviceFailed, Relaxed);
        }));
        Ok(receiver)
    }

    /// Makes a whole body durable; the one road for HTTP, Lambda and tests.
    ///
    /// On `Ok` the batch is durable in the raw store. On `Err` it is not acknowledged: it may be
    /// durable all the same, or become so (an alert whose request was answered 503 still is landed
    /// as soon as the store allows, since its sender does not retry). Dropping the future does not
    /// withdraw an alert; an event that waits is withdrawn.
    pub async fn accept(
        &self,
        source: SourceKind,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Receipt, Refusal> {
        let accepted = async {
            let mut hold = self.admit(source, body.len() as u64)?;
            if hold.grow(body.len() as u64) {
                self.make_durable(source, headers, body, hold).await
            } else {
                Err(Refusal::Overloaded)
            }
        };
        self.counted(source, accepted).await
    }

    /// As [`Receiver::accept`], reading the body first, within the limits.
    pub(crate) async fn accept_stream(
        &self,
        source: SourceKind,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Receipt, Refusal> {
        let accepted = async {
            let mut hold = self.admit(source, body.size_hint().lower())?;
            let body = body::collect(&self.config, body, &mut hold).await?;
            self.make_durable(source, headers, body, hold).await
        };
        self.counted(source, accepted).await
    }

    /// Who may post.
    pub(crate) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Counts a batch that was refused before the receiver was asked.
    pub(crate) fn count_refusal(&self, refusal: Refusal) {
        self.tally.count_refusal(refusal);
    }

    /// The limits that this receiver was started with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.tally.read()
    }

    /// How long it took and how large it was.
    pub fn measurements(&self) -> Measurements {
        self.tally.measures.read()
    }

    /// From now on `readyz` says 503, so that a load balancer sends new requests elsewhere. Batches
    /// that come all the same are taken.
    pub fn begin_drain(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Holds events back (503) or lets them in again; alerts always go in. For the watch over free
    /// disk space: what is left when it holds events back is the alerts' reserve.
    pub fn hold_events(&self, held: bool) {
        self.events_held.store(held, Relaxed);
    }

    /// Says who makes room when alerts cannot be landed on a full disk. The first word counts.
    pub fn on_full(&self, make_room: MakeRoom) {
        if let Some(place) = self.make_room.get() {
            place.get_or_init(|| make_room);
        }
    }

    /// Says that the store is not there (a data directory that was taken away), or is there again:
    /// `readyz` follows. For the watch over the data directory, which sees it return by itself.
    pub fn store_away(&self, away: bool) {
        self.store_away.store(away, Relaxed);
    }

    /// Whether events are held back now (see [`Receiver::hold_events`]).
    pub fn events_are_held(&self) -> bool {
        self.events_held.load(Relaxed)
    }

    /// Bytes in flight now: bodies that are being read or wait to be durable.
    pub fn inflight_bytes(&self) -> u64 {
        self.inflight.used()
    }

    /// Alerts in flight now: their requests are being read, or they wait to be durable.
    pub fn alerts_in_flight(&self) -> u64 {
        self.inflight.alerts()
    }

    /// Takes no more batches, lands those that wait, and returns when that is done. Batches that the
    /// store does not take in a few tries are refused. May be called more than once.
    pub async fn close(&self) {
        self.begin_drain();
        self.closing.cancel();
        self.ended.cancelled().await;
    }

    /// Returns when the committer has ended although nobody closed the receiver. The process should
    /// be restarted: from then on every batch is refused. Never returns otherwise.
    pub async fn committer_died(&self) -> Death {
        self.ended.cancelled().await;
        if self.device_failed.load(Relaxed) {
            return Death::DeviceFailed;
        }
        if self.closing.is_cancelled() {
            std::future::pending::<()>().await;
        }
        Death::Defect
    }

    /// Why `readyz` says 503, if it does. A store that fails is no reason: only a request can find
    /// out that it works again. Nor is a full disk: alerts are still taken. A data directory that is
    /// away is one, since whoever watches it sees it return.
    pub fn unready_reason(&self) -> Option<&'static str> {
        if self.ended.is_cancelled() && !self.closing.is_cancelled() {
            Some("the committer has stopped")
        } else if self.draining.load(Relaxed) {
            Some("draining")
        } else if self.store_away.load(Relaxed) {
            Some("the data directory is away")
        } else {
            None
        }
    }

    /// Notes that a request's handler panicked.
    pub(crate) fn count_panic(&self) {
        Tally::add(&self.tally.panics, 1);
    }

    fn committer(&self, store: RawStore, on_landed: OnLanded, lanes: Lanes) -> Committer {
        let (clock, tally) = (Arc::clone(&self.clock), Arc::clone(&self.tally));
        let inflight = Arc::clone(&self.inflight);
        let config = self.config.clone();
        Committer::new(config, store, clock, tally, on_landed, lanes, inflight)
    }

    async fn counted(
        &self,
        source: SourceKind,
        accepted: impl Future<Output = Result<Receipt, Refusal>>,
    ) -> Result<Receipt, Refusal> {
        let started = Instant::now();
        let accepted = accepted.await;
        let measures = &self.tally.measures;
        let times = match source {
            SourceKind::Event => &measures.event_answer,
            SourceKind::Alert => &measures.alert_answer,
        };
        times.add_time(started.elapsed());
        accepted.inspect_err(|refusal| self.tally.count_refusal(*refusal))
    }

    /// What can be said before the body is read. The hold covers the batch without its body.
    fn admit(&self, source: SourceKind, expected_bytes: u64) -> Result<Hold, Refusal> {
        if expected_bytes > self.config.max_body_bytes {
            return Err(Refusal::BodyTooLarge);
        }
        if self.closing.is_cancelled() {
            return Err(Refusal::Closing);
        }
        if self.ended.is_cancelled() {
            return Err(Refusal::Stopped);
        }
        if source == SourceKind::Event && self.events_held.load(Relaxed) {
            return Err(Refusal::EventsHeld);
        }
        let mut hold = self.inflight.hold(source);
        let room = self
            .inflight
            .has_room(source, BATCH_OVERHEAD_BYTES + expected_bytes);
        // Room is kept for a while for what is announced: a body that is let in is not turned back
        // halfway, and who finds no room hears it before sending.
        let promised = expected_bytes.min(MOST_PROMISED_BYTES);
        if room && hold.grow(BATCH_OVERHEAD_BYTES) && hold.promise(promised) {
            Ok(hold)
        } else {
            Err(Refusal::Overloaded)
        }
    }

    async fn make_durable(
        &self,
        source: SourceKind,
        headers: &HeaderMap,
        body: Bytes,
        mut hold: Hold,
    ) -> Result<Receipt, Refusal> {
        hold.complete();
        let answered = async {
            let batch = self.batch(source, headers, body).await?;
            let (reply, answer) = oneshot::channel();
            self.enqueue(source, Waiting::new(batch, hold, reply))
                .await?;
            answer.await.unwrap_or(Err(Refusal::Stopped))
        };
        let answer = timeout(self.config.answer_timeout, answered).await;
        answer.unwrap_or(Err(Refusal::NotDurableInTime))
    }

    /// Hashes the body here, so that many requests hash in parallel and the committer does not.
    async fn batch(
        &self,
        source: SourceKind,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Batch, Refusal> {
        let received_at = self.clock.now();
        let (id, kept) = (kept_headers::batch_id(headers), kept_headers::kept(headers));
        let large = body.len() > HASH_INLINE_BYTES;
        let hash = move || Batch::new(source, received_at, id, kept, body);
        if !large {
            return Ok(hash());
        }
        tokio::task::spawn_blocking(hash)
            .await
            .map_err(|_cancelled| Refusal::Stopped)
    }

    async fn enqueue(&self, source: SourceKind, waiting: Waiting) -> Result<(), Refusal> {
        use mpsc::error::TrySendError;
        let gone = || {
            if self.closing.is_cancelled() {
                Refusal::Closing
            } else {
                Refusal::Stopped
            }
        };
        match source {
            SourceKind::Alert => self.alerts.send(waiting).await.map_err(|_closed| gone()),
            SourceKind::Event => self.events.try_send(waiting).map_err(|error| match error {
                TrySendError::Full(_) => Refusal::Overloaded,
                TrySendError::Closed(_) => gone(),
            }),
        }
    }
}
