//! Limits of a listener's connections.

use std::time::Duration;

/// How many connections there may be and how long they may take. [`Limits::default`] is what the
/// product ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at a time. Further ones wait in the listener's queue until one ends; idle
    /// ones are closed to make room. 8,192.
    pub max_connections: usize,
    /// Longest time for a TLS handshake. 10 s.
    pub handshake_timeout: Duration,
    /// Longest time for the headers of a request, and for silence between two requests. 10 s.
    pub header_timeout: Duration,
    /// Most bytes of a request line with its headers; above, 431. 64 KiB. There may be 100 headers.
    pub max_header_bytes: usize,
    /// Longest time in which the other side takes nothing of an answer. 30 s.
    pub write_timeout: Duration,
    /// From the order to stop, connections are taken and answered for at least this long, so that a
    /// load balancer sees that the server is not ready any more. 0 s.
    pub drain_notice: Duration,
    /// Longest time from the order to stop until connections are cut. 8.5 s: an answer may take 8 s, and
    /// the sender waits for 10 s.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 8192,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            max_header_bytes: 64 * 1024,
            write_timeout: Duration::from_secs(30),
            drain_notice: Duration::ZERO,
            drain_timeout: Duration::from_millis(8500),
        }
    }
}
