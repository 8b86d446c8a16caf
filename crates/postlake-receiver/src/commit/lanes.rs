//! The queue in front of the committer: a lane for alerts, a lane for events.

use std::collections::VecDeque;
use std::pin::pin;

use chrono::{DateTime, Utc};
use postlake_raw::{Batch, SourceKind};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::inflight::Hold;
use crate::receipt::Receipt;
use crate::refusal::Refusal;

/// Most batches in a segment.
const MAX_BATCHES: usize = 10_000;
/// At most what an envelope's line takes besides the texts of the sender, and how many bytes one
/// byte of those can become in JSON (a control character: `\u0000`).
const ENVELOPE_BYTES: u64 = 512;
const ESCAPED_BYTES: u64 = 6;

/// A batch that is to become durable, and the request that waits for it.
#[derive(Debug)]
pub(crate) struct Waiting {
    batch: Batch,
    waiter: Waiter,
}

#[derive(Debug)]
struct Waiter {
    hold: Hold,
    reply: oneshot::Sender<Result<Receipt, Refusal>>,
    failed_landings: u32,
    /// The request's.
    span: Span,
}

impl Waiting {
    pub(crate) fn new(
        batch: Batch,
        hold: Hold,
        reply: oneshot::Sender<Result<Receipt, Refusal>>,
    ) -> Self {
        debug_assert!(
            hold.bytes() >= batch.body.len() as u64,
            "a body in flight is held"
        );
        Self {
            batch,
            waiter: Waiter {
                hold,
                reply,
                failed_landings: 0,
                span: Span::current(),
            },
        }
    }

    pub(super) fn is_alert(&self) -> bool {
        self.batch.envelope.source == SourceKind::Alert
    }

    pub(super) fn body_bytes(&self) -> u64 {
        self.batch.envelope.body_bytes
    }

    pub(super) fn received_at(&self) -> DateTime<Utc> {
        self.batch.envelope.received_at
    }

    /// Notes that a landing failed with it; how many did so far.
    pub(super) fn count_failed_landing(&mut self) -> u32 {
        self.waiter.failed_landings = self.waiter.failed_landings.saturating_add(1);
        self.waiter.failed_landings
    }

    /// Whether a landing with it has failed before.
    pub(super) fn failed_before(&self) -> bool {
        self.waiter.failed_landings > 0
    }

    /// Answers the request; false when nobody waits for it any more.
    pub(super) fn answer(self, answer: Result<Receipt, Refusal>) -> bool {
        drop(self.waiter.hold);
        self.waiter.reply.send(answer).is_ok()
    }

    /// An event whose sender has been told to send it again, or has gone and will do so unasked.
    fn is_withdrawn(&self) -> bool {
        !self.is_alert() && self.waiter.reply.is_closed()
    }

    /// What it takes in a segment, at most.
    fn segment_bytes(&self) -> u64 {
        let envelope = &self.batch.envelope;
        let id = envelope.batch_id.as_ref().map_or(0, String::len);
        let headers = envelope
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 8);
        let texts = (id + headers.sum::<usize>()) as u64;
        ENVELOPE_BYTES + texts * ESCAPED_BYTES + envelope.body_bytes
    }
}

/// The batches of one commit, apart from who waits for them.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) batches: Vec<Batch>,
    waiters: Vec<Waiter>,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// What its requests hold of the budget.
    pub(super) fn held_bytes(&self) -> u64 {
        self.waiters.iter().map(|waiter| waiter.hold.bytes()).sum()
    }

    /// Bytes of the bodies.
    pub(super) fn body_bytes(&self) -> u64 {
        let bytes = |batch: &Batch| batch.envelope.body_bytes;
        self.batches.iter().map(bytes).sum()
    }

    /// A span of the work that all of its requests wait for.
    pub(super) fn joined(&self, span: Span) -> Span {
        if !span.is_disabled() {
            for waiter in &self.waiters {
                span.follows_from(&waiter.span);
            }
        }
        span
    }

    pub(super) fn has_alerts(&self) -> bool {
        let mut batches = self.batches.iter();
        batches.any(|batch| batch.envelope.source == SourceKind::Alert)
    }

    pub(super) fn into_waiting(self) -> impl Iterator<Item = Waiting> {
        let pairs = self.batches.into_iter().zip(self.waiters);
        pairs.map(|(batch, waiter)| Waiting { batch, waiter })
    }

    fn push(&mut self, waiting: Waiting) {
        self.batches.push(waiting.batch);
        self.waiters.push(waiting.waiter);
    }
}

/// What is worth a commit of its own: either of the two.
#[derive(Debug, Clone, Copy)]
pub(super) struct Enough {
    pub(super) batches: usize,
    /// Of bodies.
    pub(super) bytes: u64,
}

#[derive(Debug)]
struct Lane {
    queue: mpsc::Receiver<Waiting>,
    front: VecDeque<Waiting>,
    /// Bytes of the bodies in `front`.
    front_bytes: u64,
    ended: bool,
}

impl Lane {
    fn new(queue: mpsc::Receiver<Waiting>) -> Self {
        Self {
            queue,
            front: VecDeque::new(),
            front_bytes: 0,
            ended: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.front.is_empty() && self.queue.is_empty()
    }

    fn waiting(&self) -> usize {
        self.front.len() + self.queue.len()
    }

    fn pop(&mut self) -> Option<Waiting> {
        let Some(waiting) = self.front.pop_front() else {
            return self.queue.try_recv().ok();
        };
        self.front_bytes = self.front_bytes.saturating_sub(waiting.body_bytes());
        Some(waiting)
    }

    fn push_front(&mut self, waiting: Waiting) {
        self.front_bytes += waiting.body_bytes();
        self.front.push_front(waiting);
    }

    /// Waits for a batch, or for the end of all batches. Loses nothing when dropped.
    async fn arrival(&mut self) {
        match self.queue.recv().await {
            Some(waiting) => {
                self.front_bytes += waiting.body_bytes();
                self.front.push_back(waiting);
            }
            None => self.ended = true,
        }
    }
}

/// Both lanes. Alerts are taken first.
#[derive(Debug)]
pub(crate) struct Lanes {
    alerts: Lane,
    events: Lane,
    closing: CancellationToken,
    closed: bool,
}

impl Lanes {
    pub(crate) fn new(
        alerts: mpsc::Receiver<Waiting>,
        events: mpsc::Receiver<Waiting>,
        closing: CancellationToken,
    ) -> Self {
        Self {
            alerts: Lane::new(alerts),
            events: Lane::new(events),
            closing,
            closed: false,
        }
    }

    /// True when a batch waits, false when none will ever come.
    pub(super) async fn wait(&mut self) -> bool {
        loop {
            if self.closing.is_cancelled() && !self.closed {
                self.close();
            }
            if !self.alerts.is_empty() || !self.events.is_empty() {
                return true;
            }
            if self.alerts.ended && self.events.ended {
                return false;
            }
            tokio::select! {
                () = self.closing.cancelled(), if !self.closed => {}
                () = self.alerts.arrival(), if !self.alerts.ended => {}
                () = self.events.arrival(), if !self.events.ended => {}
            }
        }
    }

    /// Returns when enough wait, or at `latest`, or when nothing new is let in.
    pub(super) async fn wait_for(&mut self, enough: Enough, latest: Instant) {
        let mut latest = pin!(sleep_until(latest));
        while !self.has(enough) && !self.closed {
            tokio::select! {
                biased;
                () = &mut latest => return,
                () = self.closing.cancelled() => return,
                () = self.alerts.arrival(), if !self.alerts.ended => {}
                () = self.events.arrival(), if !self.events.ended => {}
            }
        }
    }

    /// Returns when enough wait; never when nothing new is let in. Loses nothing when dropped.
    pub(super) async fn wait_for_many(&mut self, enough: Enough) {
        while !self.has(enough) {
            tokio::select! {
                () = self.alerts.arrival(), if !self.alerts.ended => {}
                () = self.events.arrival(), if !self.events.ended => {}
                else => std::future::pending().await,
            }
        }
    }

    /// Whether enough wait, as far as their bytes are known: those of the queues are when they arrive.
    fn has(&self, enough: Enough) -> bool {
        self.waiting() >= enough.batches
            || self.alerts.front_bytes + self.events.front_bytes >= enough.bytes
    }

    /// How many batches wait.
    pub(super) fn waiting(&self) -> usize {
        self.alerts.waiting() + self.events.waiting()
    }

    /// Whether nothing new is let in.
    pub(super) fn closed(&self) -> bool {
        self.closed
    }

    pub(super) fn has_alerts(&self) -> bool {
        !self.alerts.is_empty()
    }

    /// What waits now, up to `max_bytes` (a single batch may be larger), and how many events were
    /// taken out because nobody waits for them.
    pub(super) fn gather(&mut self, max_bytes: u64, alerts_only: bool) -> (Group, u64) {
        let mut gathering = Gathering {
            group: Group::default(),
            bytes: 0,
            max_bytes,
            withdrawn: 0,
        };
        let full = gathering.take_from(&mut self.alerts);
        if !full && !alerts_only {
            gathering.take_from(&mut self.events);
        }
        (gathering.group, gathering.withdrawn)
    }

    /// Every event that waits.
    pub(super) fn take_events(&mut self) -> Group {
        let mut events = Group::default();
        while let Some(waiting) = self.events.pop() {
            events.push(waiting);
        }
        events
    }

    /// Puts batches back in front, in their order.
    pub(super) fn put_back(&mut self, batches: Vec<Waiting>) {
        for waiting in batches.into_iter().rev() {
            let lane = if waiting.is_alert() {
                &mut self.alerts
            } else {
                &mut self.events
            };
            lane.push_front(waiting);
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.alerts.queue.close();
        self.events.queue.close();
    }
}

struct Gathering {
    group: Group,
    bytes: u64,
    max_bytes: u64,
    withdrawn: u64,
}

impl Gathering {
    /// True when the group is full.
    fn take_from(&mut self, lane: &mut Lane) -> bool {
        while let Some(waiting) = lane.pop() {
            if waiting.is_withdrawn() {
                self.withdrawn += 1;
                continue;
            }
            let bytes = self.bytes.saturating_add(waiting.segment_bytes());
            let fits = bytes <= self.max_bytes && self.group.batches.len() < MAX_BATCHES;
            if !fits && !self.group.is_empty() {
                lane.push_front(waiting);
                return true;
            }
            self.bytes = bytes;
            self.group.push(waiting);
        }
        false
    }
}
