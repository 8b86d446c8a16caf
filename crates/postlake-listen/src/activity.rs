//! What one connection is doing, as its task and its requests see it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// A connection that has been idle for less is not closed to make room: its request may be on its way.
const SPARE_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<State>,
    begun: Notify,
    /// The request whose end could be understood in two ways, counted from 1; 0 for none.
    doubtful: AtomicU64,
}

#[derive(Debug)]
struct State {
    requests: u64,
    in_flight: bool,
    since: Instant,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                requests: 0,
                in_flight: false,
                since: Instant::now(),
            }),
            begun: Notify::new(),
            doubtful: AtomicU64::new(0),
        })
    }

    /// A request has come; it is over when the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        let number = self.change(|state| {
            state.requests += 1;
            state.in_flight = true;
            state.requests
        });
        self.begun.notify_waiters();
        InFlight {
            activity: Arc::clone(self),
            is_doubtful: self.is_doubtful(number),
        }
    }

    /// Says that the end of that request, counted from 1, could be understood in two ways.
    pub(crate) fn doubt(&self, number: u64) {
        self.doubtful.store(number, Relaxed);
    }

    pub(crate) fn is_doubtful(&self, number: u64) -> bool {
        self.doubtful.load(Relaxed) == number
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.read(|state| state.requests > 0)
    }

    /// Ready as soon as a request has come.
    pub(crate) async fn first_request(&self) {
        loop {
            let begun = self.begun.notified();
            if self.has_begun() {
                return;
            }
            begun.await;
        }
    }

    /// Ready when places are wanted and this connection has done nothing with its own.
    pub(crate) async fn is_spare(&self, wanted: &mut watch::Receiver<u64>) {
        loop {
            if wanted.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if self.read(|state| !state.in_flight && state.since.elapsed() >= SPARE_AFTER) {
                return;
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let changed = change(&mut state);
        state.since = Instant::now();
        changed
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        let state = self.state.lock();
        read(&state.unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct InFlight {
    activity: Arc<Activity>,
    pub(crate) is_doubtful: bool,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.change(|state| state.in_flight = false);
    }
}
