//! Sends what has ended, in batches, to the collector.
//!
//! An attempt that may succeed later (429, 502, 503, 504, no answer) is repeated with growing pauses, or when
//! the collector says so, until the batch's time is over; the queue fills meanwhile and spans are dropped
//! from it. That the collector is away is told once, and once that it is back.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::span::Span;
use super::{FAILED, Order, SENT, encode};
use crate::config::{BatchSettings, Protocol, TraceSettings};

/// Pauses between two attempts, doubling from the first to the second, each a little different.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// How much of an answer is looked at.
const MOST_ANSWER_BYTES: usize = 64 * 1024;

/// What stands between the queue and the collector.
pub(super) struct Sender {
    settings: TraceSettings,
    resource: BTreeMap<String, String>,
    client: Client,
    spans: mpsc::Receiver<Span>,
    orders: mpsc::Receiver<Order>,
    end: CancellationToken,
    /// The last batch could not be sent, and that was told.
    away: bool,
}

/// What came of an attempt.
enum Attempt {
    /// All but so many spans were kept.
    Taken(u64),
    /// Later it may be taken; the collector may say when.
    NotNow(String, Option<Duration>),
    Refused(String),
}

impl Sender {
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub(super) fn new(
        settings: &TraceSettings,
        spans: mpsc::Receiver<Span>,
        orders: mpsc::Receiver<Order>,
        end: CancellationToken,
    ) -> reqwest::Result<Sender> {
        let client = Client::builder()
            .redirect(Policy::none())
            .user_agent(concat!("postlake/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Sender {
            resource: resource(settings),
            settings: settings.clone(),
            client,
            spans,
            orders,
            end,
            away: false,
        })
    }

    /// Sends until the order to end comes, and then what is there.
    pub(super) async fn run(mut self) {
        let end = self.end.clone();
        let mut batch = Vec::new();
        while !end.is_cancelled() {
            tokio::select! {
                () = gather(&mut self.spans, &mut batch, self.settings.batches) => {
                    self.send(std::mem::take(&mut batch)).await;
                }
                Some(order) = self.orders.recv() => {
                    self.send_all(std::mem::take(&mut batch)).await;
                    drop(order);
                }
                () = end.cancelled() => break,
            }
        }
        self.spans.close();
        self.send_all(batch).await;
    }

    /// The batch and what is in the queue.
    async fn send_all(&mut self, mut batch: Vec<Span>) {
        loop {
            while batch.len() < self.settings.batches.batch_spans
                && let Ok(span) = self.spans.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            self.send(std::mem::take(&mut batch)).await;
        }
    }

    async fn send(&mut self, batch: Vec<Span>) {
        let spans = batch.len() as u64;
        let body = self.body(&batch);
        drop(batch);
        let over = Instant::now() + self.settings.batches.patience;
        let mut pause = PAUSES.0;
        loop {
            let left = over.saturating_duration_since(Instant::now());
            let limit = self.settings.timeout.min(left);
            let attempt = match timeout(limit, self.attempt(&body)).await {
                Ok(attempt) => attempt,
                Err(_elapsed) => Attempt::NotNow("no answer in time".to_owned(), None),
            };
            let (reason, asked) = match attempt {
                Attempt::Taken(rejected) => return self.taken(spans, rejected),
                Attempt::Refused(reason) => return self.failed(spans, &reason),
                Attempt::NotNow(reason, asked) => (reason, asked),
            };
            self.tell(&reason);
            let next = Instant::now() + asked.unwrap_or_else(|| scattered(pause));
            pause = (pause * 2).min(PAUSES.1);
            if next >= over || self.end.is_cancelled() {
                return self.failed(spans, &reason);
            }
            tokio::select! {
                () = sleep_until(next) => {}
                // One last attempt: there is no later.
                () = self.end.cancelled() => {}
            }
        }
    }

    fn body(&self, batch: &[Span]) -> Vec<u8> {
        let plain = match self.settings.protocol {
            Protocol::Protobuf => encode::protobuf(&self.resource, batch),
            Protocol::Json => encode::json(&self.resource, batch),
        };
        if !self.settings.gzip {
            return plain;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let written = encoder.write_all(&plain).and_then(|()| encoder.finish());
        // Memory takes everything.
        written.unwrap_or_default()
    }

    async fn attempt(&self, body: &[u8]) -> Attempt {
        let media_type = match self.settings.protocol {
            Protocol::Protobuf => "application/x-protobuf",
            Protocol::Json => "application/json",
        };
        let mut request = self
            .client
            .post(self.settings.endpoint.clone())
            .headers(self.settings.headers.clone())
            .header(CONTENT_TYPE, media_type)
            .body(body.to_vec());
        if self.settings.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        match request.send().await {
            Ok(answer) => self.judged(answer).await,
            // Without the URL, whose parameters may be secret.
            Err(error) if error.is_connect() => Attempt::NotNow("no connection".to_owned(), None),
            Err(_) => Attempt::NotNow("the connection broke".to_owned(), None),
        }
    }

    async fn judged(&self, answer: Response) -> Attempt {
        let status = answer.status();
        if status.is_success() {
            return Attempt::Taken(self.rejected(answer).await);
        }
        let reason = format!("status {}", status.as_u16());
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Attempt::NotNow(reason, retry_after(&answer)),
            _ => Attempt::Refused(reason),
        }
    }

    /// Spans that the collector says it has not kept.
    async fn rejected(&self, mut answer: Response) -> u64 {
        let mut text = Vec::new();
        while let Ok(Some(piece)) = answer.chunk().await {
            if text.len() + piece.len() > MOST_ANSWER_BYTES {
                break;
            }
            text.extend_from_slice(&piece);
        }
        match self.settings.protocol {
            Protocol::Protobuf => encode::rejected_in_protobuf(&text),
            Protocol::Json => encode::rejected_in_json(&text),
        }
    }

    fn taken(&mut self, spans: u64, rejected: u64) {
        let rejected = rejected.min(spans);
        SENT.fetch_add(spans - rejected, Relaxed);
        FAILED.fetch_add(rejected, Relaxed);
        if rejected > 0 {
            tracing::warn!(
                spans = rejected,
                "the collector of traces has not kept all spans"
            );
        }
        if std::mem::take(&mut self.away) {
            tracing::warn!("the collector takes traces again");
        }
    }

    fn failed(&mut self, spans: u64, reason: &str) {
        FAILED.fetch_add(spans, Relaxed);
        self.tell(reason);
    }

    fn tell(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.away, true) {
            tracing::warn!(
                reason,
                "the collector does not take traces; what it does not take in time is dropped, nothing else waits for it"
            );
        }
    }
}

/// Returns with a full batch, or with what has come until `delay` after the first span.
async fn gather(spans: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>, settings: BatchSettings) {
    let room = settings.batch_spans;
    if batch.is_empty() && spans.recv_many(batch, room).await == 0 {
        // The layer is gone: only the order to end comes now.
        return std::future::pending().await;
    }
    let waited = sleep(settings.delay);
    let mut waited = std::pin::pin!(waited);
    while batch.len() < room {
        tokio::select! {
            () = &mut waited => return,
            more = spans.recv_many(batch, room - batch.len()) => if more == 0 { return },
        }
    }
}

/// Half of it to the whole, so that many programs do not come back at once.
fn scattered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

/// Seconds; the form with a date is rare and left to the usual pause.
fn retry_after(answer: &Response) -> Option<Duration> {
    let value = answer.headers().get(RETRY_AFTER)?;
    value.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// Who sends, with what the standard wants to know of every sender.
fn resource(settings: &TraceSettings) -> BTreeMap<String, String> {
    let ours = [
        ("process.pid", std::process::id().to_string()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("telemetry.sdk.language", "rust".to_owned()),
        ("telemetry.sdk.name", "postlake".to_owned()),
        (
            "telemetry.sdk.version",
            env!("CARGO_PKG_VERSION").to_owned(),
        ),
    ];
    let mut resource = settings.resource.clone();
    for (key, value) in ours {
        resource.entry(key.to_owned()).or_insert(value);
    }
    resource
}
