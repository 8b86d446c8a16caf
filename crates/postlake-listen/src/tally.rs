//! What a listener has done.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one listener, shared with whoever shows them.
#[derive(Debug, Default)]
pub struct Tally {
    pub(crate) accepted: AtomicU64,
    pub(crate) ended: AtomicU64,
    pub(crate) accept_failures: AtomicU64,
    pub(crate) handshake_failures: AtomicU64,
    pub(crate) handshake_timeouts: AtomicU64,
    pub(crate) broken_requests: AtomicU64,
    pub(crate) header_timeouts: AtomicU64,
    pub(crate) write_timeouts: AtomicU64,
    pub(crate) made_room: AtomicU64,
}

/// A reading of a [`Tally`]. All but `open` only grow; they are read one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Connections taken.
    pub accepted: u64,
    /// Connections that are open now.
    pub open: u64,
    /// Times that the system gave no connection, for want of file descriptors as a rule.
    pub accept_failures: u64,
    /// TLS handshakes that failed, without those that took too long.
    pub handshake_failures: u64,
    /// TLS handshakes that took too long.
    pub handshake_timeouts: u64,
    /// Connections ended because of broken HTTP.
    pub broken_requests: u64,
    /// Connections closed because headers did not come in time, or nothing came between requests.
    pub header_timeouts: u64,
    /// Connections closed because the other side took nothing of an answer.
    pub write_timeouts: u64,
    /// Idle connections closed to make room for new ones.
    pub made_room: u64,
}

impl Tally {
    /// What was done so far.
    pub fn read(&self) -> Connections {
        // `ended` first: a connection that comes and goes meanwhile must not make `open` negative.
        let ended = self.ended.load(Relaxed);
        let accepted = self.accepted.load(Relaxed);
        Connections {
            accepted,
            open: accepted.saturating_sub(ended),
            accept_failures: self.accept_failures.load(Relaxed),
            handshake_failures: self.handshake_failures.load(Relaxed),
            handshake_timeouts: self.handshake_timeouts.load(Relaxed),
            broken_requests: self.broken_requests.load(Relaxed),
            header_timeouts: self.header_timeouts.load(Relaxed),
            write_timeouts: self.write_timeouts.load(Relaxed),
            made_room: self.made_room.load(Relaxed),
        }
    }

    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }
}
