//! Traces for an OpenTelemetry collector, when the variables of OpenTelemetry name one: a span for each
//! request, group commit, put, pass, append, delivery and question, sent over OTLP (HTTP).
//!
//! Spans are those of the library `tracing`. Without a collector the layer of this module is not there, and
//! no span is built for it. With one, [`collect`] notes spans as they open and close and puts those that
//! have ended into a queue that never waits: one that is full drops them and counts. [`send`] empties the
//! queue on a thread of its own, so that a collector that is away, slow or refuses touches nothing else.
//!
//! Only attributes on the list of [`collect`] leave: a field that somebody adds to a span is not sent before
//! somebody has thought about what it holds.

mod collect;
mod context;
mod encode;
mod send;
mod span;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use postlake_raw::clock::Clock;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{Filtered, Targets};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::TraceSettings;
use crate::exit::{Exit, Failure};
use collect::Collect;
use context::Sampling;
use send::Sender;

/// The parts whose spans are sent. Those of libraries may hold values of rows.
const PARTS: [&str; 4] = [
    "postlake",
    "postlake_receiver",
    "postlake_loader",
    "postlake_serve",
];

static SENT: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);

/// Spans that the collector has taken, that found the queue full, and that could not be sent.
pub(crate) fn counts() -> (u64, u64, u64) {
    (
        SENT.load(Relaxed),
        DROPPED.load(Relaxed),
        FAILED.load(Relaxed),
    )
}

/// One for the process, as the log is.
static SENDING: OnceLock<Sending> = OnceLock::new();

struct Sending {
    end: CancellationToken,
    ended: Mutex<Receiver<()>>,
    orders: mpsc::Sender<Order>,
}

/// An order to send at once; whoever gave it hears of the end by its being dropped.
type Order = oneshot::Sender<()>;

/// Sends what has ended so far and nothing after that. Returns when it is sent or given up, or after
/// `limit`; at once without traces and the second time.
pub(crate) fn flush(limit: Duration) {
    let Some(sending) = SENDING.get() else {
        return;
    };
    sending.end.cancel();
    let ended = sending.ended.lock().unwrap_or_else(PoisonError::into_inner);
    // The thread drops its end when it is done; an error means that or that the time is over.
    if ended.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        tracing::warn!("the collector of traces did not take the last of them in time");
    }
}

/// Sends what has ended so far. Returns when it is sent or given up, or after `limit`; at once without
/// traces. For a process that stands still after this.
pub(crate) async fn send(limit: Duration) {
    let Some(sending) = SENDING.get() else {
        return;
    };
    let (order, done) = oneshot::channel();
    let sent = async {
        if sending.orders.send(order).await.is_ok() {
            // It is dropped, never answered.
            done.await.unwrap_or_default();
        }
    };
    if tokio::time::timeout(limit, sent).await.is_err() {
        tracing::debug!("the collector of traces takes its time");
    }
}

/// What notes spans for the collector.
pub(super) type Traces<S> = Filtered<Collect, Targets, S>;

/// Starts the thread that sends.
///
/// # Errors
/// When the HTTP client cannot be set up or there is no thread to be had.
pub(super) fn start<S>(
    settings: &TraceSettings,
    clock: Arc<dyn Clock>,
) -> Result<Traces<S>, Failure>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let failed = |source| Failure::caused(Exit::Failure, "start sending traces", source);
    let (queue, spans) = mpsc::channel(settings.batches.queue_spans);
    let end = CancellationToken::new();
    let (ending, ended) = sync_channel::<()>(1);
    let (orders, given) = mpsc::channel(1);
    let sender = Sender::new(settings, spans, given, end.clone())
        .map_err(|source| Failure::caused(Exit::Failure, "set up sending traces", source))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    std::thread::Builder::new()
        .name("traces".to_owned())
        .spawn(move || {
            let _until_the_end = ending;
            runtime.block_on(sender.run());
        })
        .map_err(failed)?;
    SENDING.get_or_init(|| Sending {
        end,
        ended: Mutex::new(ended),
        orders,
    });
    let sampling = Sampling::new(settings.sampler, settings.honours_parent);
    let parts = PARTS.map(|part| (part, Level::INFO));
    let collect = Collect::new(queue, clock, sampling);
    Ok(collect.with_filter(Targets::new().with_targets(parts)))
}
