//! Reads a request's body into memory: all of it or nothing, within size, time and budget.

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::{Duration, Instant, timeout_at};

use crate::config::Config;
use crate::inflight::Hold;
use crate::refusal::Refusal;

/// How long room is kept for what a request has announced, if a good part has come by the first look.
const PROMISED: Duration = Duration::from_secs(1);
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// One part in so many is a good one.
const GOOD_PART: u64 = 8;

/// The whole body, its bytes added to `hold`. Each byte is copied once.
///
/// A body that is longer than allowed by its own word is refused before any of it is read; a body
/// that ends before its length or its last chunk is refused, whatever came.
pub(crate) async fn collect(
    config: &Config,
    body: Body,
    hold: &mut Hold,
) -> Result<Bytes, Refusal> {
    let expected = body.size_hint().lower();
    if expected > config.max_body_bytes {
        return Err(Refusal::BodyTooLarge);
    }
    let pace = Pace::start(config);
    let mut body = body;
    let mut collected = BytesMut::with_capacity(usize::try_from(expected).unwrap_or(0));
    loop {
        let received = collected.len() as u64;
        let deadline = pace.deadline(received);
        let until = match hold.waits() {
            true => pace.promised_until(received, expected).min(deadline),
            false => deadline,
        };
        let Ok(frame) = timeout_at(until, body.frame()).await else {
            if until < deadline {
                // A slow body takes room as it comes, or a few of them would lock everybody out.
                hold.break_promise();
                continue;
            }
            return Err(Refusal::BodyTooSlow);
        };
        let Some(frame) = frame else {
            return Ok(collected.freeze());
        };
        let frame = frame.map_err(|_broken| Refusal::BodyIncomplete)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let added = data.len() as u64;
        if received.saturating_add(added) > config.max_body_bytes {
            return Err(Refusal::BodyTooLarge);
        }
        if !hold.grow(added) {
            return Err(Refusal::Overloaded);
        }
        collected.extend_from_slice(&data);
    }
}

/// How long a body may take.
struct Pace {
    started: Instant,
    grace: Duration,
    total: Duration,
    min_bytes_per_sec: u64,
}

impl Pace {
    fn start(config: &Config) -> Self {
        Self {
            started: Instant::now(),
            grace: config.body_grace,
            total: config.body_timeout,
            min_bytes_per_sec: config.min_body_bytes_per_sec.max(1),
        }
    }

    /// Until then the room for the whole body is kept.
    fn promised_until(&self, received_bytes: u64, expected_bytes: u64) -> Instant {
        let is_coming = received_bytes.saturating_mul(GOOD_PART) >= expected_bytes;
        self.started + if is_coming { PROMISED } else { FIRST_LOOK }
    }

    /// When a body with so many bytes becomes too slow: after the grace, as soon as its mean rate
    /// falls below the least, and at the end of the total time in any case.
    fn deadline(&self, received_bytes: u64) -> Instant {
        let lasts_ms = received_bytes.saturating_mul(1000) / self.min_bytes_per_sec;
        let lasts = Duration::from_millis(lasts_ms);
        self.started + lasts.max(self.grace).min(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_must_keep_its_rate_after_the_grace() {
        let pace = Pace::start(&Config::default());
        let secs = |received| (pace.deadline(received) - pace.started).as_secs();
        assert_eq!(secs(0), 10);
        assert_eq!(secs(10 * 1024), 10);
        assert_eq!(secs(20 * 1024), 20);
        assert_eq!(secs(u64::MAX), 30);
    }

    #[test]
    fn room_is_kept_for_a_body_that_comes() {
        let pace = Pace::start(&Config::default());
        let millis = |received| (pace.promised_until(received, 105_000) - pace.started).as_millis();
        assert_eq!((millis(0), millis(13_124)), (250, 250));
        assert_eq!((millis(13_125), millis(105_000)), (1000, 1000));
    }
}
