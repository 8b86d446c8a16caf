//! When requests begin.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::{Mutex, mpsc};

/// Most requests that are due and have no connection yet.
const MOST_DUE: usize = 1 << 20;

/// Hands out the requests of a run, to whichever connection is free.
pub(super) enum Arrivals {
    /// The next one begins when somebody asks for it.
    Closed {
        next: AtomicU64,
        most: u64,
        end: Instant,
    },
    /// Each is due at its own time.
    Open(Mutex<mpsc::Receiver<(u64, Instant)>>),
}

impl Arrivals {
    /// Begins now. With a rate, a thread sleeps from one due time to the next, because the timers of the
    /// runtime are right to a millisecond only.
    pub(super) fn start(rate: Option<f64>, lasts: Duration, most: u64) -> Result<Self> {
        let start = Instant::now();
        let end = start + lasts;
        let Some(rate) = rate else {
            let next = AtomicU64::new(0);
            return Ok(Self::Closed { next, most, end });
        };
        let (due, queue) = mpsc::channel(MOST_DUE);
        let announce = move || {
            for number in 0..most {
                let at = start + Duration::from_secs_f64(number as f64 / rate);
                if at >= end {
                    return;
                }
                thread::sleep(at.saturating_duration_since(Instant::now()));
                if due.blocking_send((number, at)).is_err() {
                    return;
                }
            }
        };
        let clock = thread::Builder::new().name("arrivals".to_owned());
        clock.spawn(announce).context("start the clock")?;
        Ok(Self::Open(Mutex::new(queue)))
    }

    /// The number of the next request and when it was due; none when the run is over.
    pub(super) async fn next(&self) -> Option<(u64, Instant)> {
        match self {
            Self::Closed { next, most, end } => {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let now = Instant::now();
                (now < *end && number < *most).then_some((number, now))
            }
            Self::Open(queue) => queue.lock().await.recv().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_loop_is_on_time_and_ends() {
        let lasts = Duration::from_millis(100);
        let arrivals = Arrivals::start(Some(200.0), lasts, u64::MAX).unwrap();
        let (first, began) = arrivals.next().await.unwrap();
        assert_eq!(first, 0);
        let mut last = (first, began);
        while let Some(next) = arrivals.next().await {
            assert!(Instant::now() >= next.1, "not before it is due");
            assert_eq!(next.0, last.0 + 1);
            last = next;
        }
        assert_eq!(last, (19, began + Duration::from_millis(95)));
    }

    #[tokio::test]
    async fn there_are_no_more_than_the_most() {
        for rate in [None, Some(1e6)] {
            let arrivals = Arrivals::start(rate, Duration::from_secs(60), 3).unwrap();
            let mut numbers = Vec::new();
            while let Some((number, _)) = arrivals.next().await {
                numbers.push(number);
            }
            assert_eq!(numbers, [0, 1, 2]);
        }
    }
}
