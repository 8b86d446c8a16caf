//! What can be made to fail, and the dice that decide.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

/// What fails. Shares are from 0 to 1; the default fails nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Share of requests answered 503 `SlowDown`.
    pub unavailable: f64,
    /// Share of requests answered 429.
    pub throttled: f64,
    /// Every request waits this long.
    pub delay: Option<Delay>,
    /// A share of the requests waits long.
    pub stall: Option<Stall>,
    /// Share of requests whose connection is reset while the body is read, or before the answer.
    pub reset: f64,
    /// Share of answers after which the connection is closed, and closed late.
    pub slow_close: f64,
    /// Bodies come in, and go out, no faster than this.
    pub bytes_per_sec: Option<u32>,
    /// Share of puts that are stored and then reset instead of answered.
    pub lost_answer: f64,
    /// Share of create-only puts that are answered 409 although nothing stands there.
    pub conflict_on_create: f64,
    /// Share of gets that break off in the middle of the body.
    pub truncated_get: f64,
    /// Listings lack the newest object of what they list.
    pub stale_listing: bool,
    /// Every request is refused for its credentials.
    pub credentials: Option<CredentialFault>,
}

impl Faults {
    /// Nothing answers at all, as long as a client waits.
    pub fn silent() -> Faults {
        Faults {
            stall: Some(Stall {
                share: 1.0,
                time: Duration::from_secs(3600),
            }),
            ..Faults::default()
        }
    }
}

/// A wait, evenly spread about its mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// The middle.
    pub mean: Duration,
    /// At most so much less or more.
    pub spread: Duration,
}

/// A long wait of some requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stall {
    /// How many of them.
    pub share: f64,
    /// How long.
    pub time: Duration,
}

/// Why no request is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialFault {
    /// The session has ended: 400 `ExpiredToken`, as S3 says it.
    Expired,
    /// The same with 403, as others say it.
    ExpiredForbidden,
    /// The client's clock is wrong: 403 `RequestTimeTooSkewed`.
    ClockSkew,
}

/// What one request meets.
#[derive(Debug)]
pub(super) struct Dice {
    pub(super) wait: Duration,
    pub(super) stored_wait: Duration,
    pub(super) unavailable: bool,
    pub(super) throttled: bool,
    pub(super) reset: bool,
    pub(super) slow_close: bool,
    pub(super) lost_answer: bool,
    pub(super) conflict: bool,
    pub(super) truncated: bool,
    pub(super) stale_listing: bool,
    pub(super) credentials: Option<CredentialFault>,
    pub(super) bytes_per_sec: Option<u32>,
}

impl Dice {
    pub(super) fn throw(faults: Faults, dice: &mut StdRng) -> Dice {
        let mut of = |share: f64| dice.random::<f64>() < share;
        let unavailable = of(faults.unavailable);
        let throttled = of(faults.throttled);
        let reset = of(faults.reset);
        let slow_close = of(faults.slow_close);
        let lost_answer = of(faults.lost_answer);
        let conflict = of(faults.conflict_on_create);
        let truncated = of(faults.truncated_get);
        let stalls = of(faults.stall.map_or(0.0, |stall| stall.share));
        let early = of(0.5);
        let mut wait = dice.random_range(-1.0..1.0_f64);
        wait = faults.delay.map_or(0.0, |delay| {
            delay.mean.as_secs_f64() + wait * delay.spread.as_secs_f64()
        });
        let mut wait = Duration::from_secs_f64(wait.max(0.0));
        if let Some(stall) = faults.stall.filter(|_| stalls) {
            wait += stall.time;
        }
        // A slow server may be slow before or after it has stored what it got.
        let (wait, stored_wait) = if early {
            (wait, Duration::ZERO)
        } else {
            (Duration::ZERO, wait)
        };
        Dice {
            wait,
            stored_wait,
            unavailable,
            throttled,
            reset,
            slow_close,
            lost_answer,
            conflict,
            truncated,
            stale_listing: faults.stale_listing,
            credentials: faults.credentials,
            bytes_per_sec: faults.bytes_per_sec,
        }
    }

    /// How long `bytes` take at the bandwidth.
    pub(super) fn transfer(&self, bytes: usize) -> Duration {
        self.bytes_per_sec.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(bytes as f64 / f64::from(rate.max(1)))
        })
    }
}
