//! SparkPost itself, played by us: its payloads as a seeded generator, and a sender that posts them.
//!
//! The generator does no I/O and reads no clock: the same seed, start and calls give the same bytes.
//! It writes JSON by hand into one buffer, since load runs and benchmarks wait for it. The facts about
//! SparkPost (classes, types, fields, headers, retries) are its public documentation and captures.
//!
//! * [`catalog`]: the 27 event types and their classes; [`fields`]: the documented fields of each.
//! * [`Traffic`]: batches of events in which messages live (injection, delivery, bounce, open, ...).
//! * [`AlertFeed`]: Health Score alerts of ten subaccounts, and the other metrics.
//! * [`Bad`]: bodies that are broken, with the count of rejects they must give.
//! * [`Story`]: the script of the demo as an iterator of [`Step`]s; [`Ledger`]: what was sent, to
//!   compare with what was loaded.
//! * [`Sender`]: posts with SparkPost's headers, timeout and retries.
//!
//! Recipients are at `example.com`, `.org` and `.net`, addresses from the documentation ranges: nothing
//! in here can reach a person. This crate does not know the lake, nor how postlake receives.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "tests may panic"
    )
)]

pub mod catalog;

mod dice;
mod json;

pub mod population;

mod message;

pub mod fields;

mod batch;
mod traffic;

mod alerts;
mod bad;
mod request;

mod ledger;
mod story;

mod sender;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod loader_rules;

pub use alerts::{AlertFeed, AlertPost, Shape};
pub use bad::{Bad, UnknownBad, huge_field, mixed};
pub use batch::{Batch, EventId, EventKey};
pub use catalog::{EventClass, EventType, UnknownType};
pub use json::Style;
pub use ledger::Ledger;
pub use request::{ALERTS_PATH, EVENTS_PATH, Request, TOKEN_PATH};
pub use sender::{Answer, Credential, Delivered, RetryPolicy, SendError, Sender};
pub use story::{Step, StepKind, Story};
pub use traffic::Traffic;
