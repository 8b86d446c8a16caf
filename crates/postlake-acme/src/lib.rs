//! A certificate from an authority: ordered, cached, renewed (ACME, RFC 8555).
//!
//! **What it promises.** Nothing here waits without an end, and an authority is not asked again before
//! the time that it has named.
//!
//! **What it deliberately does not know:** sockets, connections, configuration files. The listener is
//! handed a certificate and the answers to challenges ([`postlake_listen::Tls`]).

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "tests may panic"
    )
)]

mod challenge;

pub use challenge::{Answer, CannotMake, answer};
