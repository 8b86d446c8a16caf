//! Waiting for conditions, never for time.

use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take; the machines of tests are slow and shared.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks at a condition that costs something, and at one that does not.
const PAUSE: Duration = Duration::from_millis(50);
const SHORT_PAUSE: Duration = Duration::from_millis(2);

/// The value that `probe` gives in the end; panics, naming `what`, when it gives none in time.
#[track_caller]
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    match look(PATIENCE, PAUSE, &mut probe) {
        Some(value) => value,
        None => panic!("after {} s still not: {what}", PATIENCE.as_secs()),
    }
}

/// The value that the cheap `probe` gives within `limit`.
pub(crate) fn within<T>(limit: Duration, probe: &mut dyn FnMut() -> Option<T>) -> Option<T> {
    look(limit, SHORT_PAUSE, probe)
}

fn look<T>(limit: Duration, pause: Duration, probe: &mut dyn FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if start.elapsed() >= limit {
            return None;
        }
        thread::sleep(pause);
    }
}
