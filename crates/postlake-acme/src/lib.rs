//! A certificate from an authority: ordered, cached, renewed (ACME, RFC 8555).
//!
//! **What it promises.** A certificate and its account outlive the process, and a restart asks for
//! nothing that is there. A certificate is renewed at two thirds of its life; while that fails the old
//! one stays. No authority is asked more often than it wants, over restarts and crashes too. Everything
//! has an end in time, and stopping waits for nothing.
//!
//! **What it deliberately does not know:** sockets, connections, configuration files. The listener is
//! handed a certificate and the answers to challenges ([`postlake_listen::Tls`]).
//!
//! Start at [`Keeper`].

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "tests may panic"
    )
)]

mod keeper;

mod order;

mod authority;
mod challenge;
mod directory;

mod cache;
mod schedule;
mod settings;

pub use authority::ClientError;
pub use cache::{Cache, CacheError, Kept, Ordered};
pub use challenge::CannotMake;
pub use directory::{Directory, DirectoryError, directory};
pub use keeper::{AcmeError, Keeper, Progress};
pub use order::OrderError;
pub use settings::{ExternalAccount, Settings};
