//! HTTP in: credentials, limits, group commit, the durable 200.
//!
//! **What it promises.** 200 is answered only when the batch is durable in the raw store, byte for
//! byte, and it is answered for whatever the body says: malformed, empty, ping and resent bodies
//! too. Every other answer means "not acknowledged, send it again"; the bytes may have been landed
//! all the same, and the resend is then a duplicate that the loader takes out. A body that ends
//! early is never landed. Every request is answered, within `answer_timeout` of its last byte.
//!
//! **What it deliberately does not know:** JSON, events, alerts' content, the lake, which object
//! store it writes to. A restart needs nothing from it: the next process opens a stream of its own.
//!
//! Read in the order a batch moves: [`serve`] (the listener), [`router`] (paths and answers), then
//! [`Receiver`] (one free road for HTTP and Lambda), then the committer behind it.

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

mod answer;
mod auth;
mod body;
mod kept_headers;
mod router;
mod token_endpoint;
mod trace;

mod config;
mod inflight;
mod receipt;
mod receiver;
mod refusal;

mod commit;
mod counters;
mod measures;

#[cfg(test)]
mod gate;
#[cfg(test)]
mod over_s3;

pub use auth::{
    AllowSettings, AuthSettings, BasicLogin, HeaderFault, HeaderSecret, OAuthClient, Resolver,
    Secret, SecretFault, SystemResolver, Unresolved,
};
pub use config::{Config, ConfigError};
pub use counters::Counters;
pub use measures::{Distribution, Measurements};
pub use receipt::{MakeRoom, OnLanded, Receipt};
pub use receiver::{Death, Receiver};
pub use refusal::Refusal;
pub use router::router;
pub use serve::serve;
