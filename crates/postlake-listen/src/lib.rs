//! Connections: sockets, TLS, limits, drain. What every listener of the program has in common.
//!
//! **What it promises.** A connection that shows no progress is closed: handshake, headers, silence
//! between requests and answers that nobody reads have a time each. The number of connections is
//! bounded, and idle ones make room for new ones. A drain lets requests in flight end, answers
//! those whose connection stands already, and has an end. A certificate is replaced while
//! connections run, and a bad one is refused while the old one stays. A request whose end could be
//! understood in two ways is refused.
//!
//! **What it deliberately does not know:** paths, bodies, credentials, what a batch is. A body's
//! size and pace are the business of whoever reads it.
//!
//! Start at [`serve`]; a request carries its peer as `axum::extract::ConnectInfo<SocketAddr>`.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::string_slice,
        reason = "tests may panic"
    )
)]

mod serve;

mod connection;

mod activity;
mod framing;
mod heads;
mod stalling;

mod tls;

mod limits;
mod tally;

mod visible;

/// Spans of requests.
pub mod trace;

#[cfg(test)]
mod rig;

pub use limits::Limits;
pub use serve::{Listener, ServeError, serve};
pub use tally::{Connections, Tally};
pub use tls::{
    CertificateFiles, ChallengeAnswer, Now, Reload, Tls, TlsError, TlsStatus, Validity, read_capped,
};
pub use visible::visible;
