//! Raw segments to the lake, and the lake to its sinks.
//!
//! One [`Loader::pass`] lists new segments, decodes them, quarantines what cannot be decoded, drops
//! what the lake already holds, and commits rows together with the positions they came from.
//!
//! Promises:
//!
//! * **effectively once**: no two rows of one key are ever visible in the lake, whatever is resent,
//!   restarted or loaded by two loaders at a time;
//! * **the books balance**: for each row of `batches`, items = events + alerts + duplicates + rejects,
//!   and the sums over `batches` equal the row counts of the other tables, once a pass is complete;
//! * a pass that is cut off anywhere leaves a state from which the next pass goes on.
//!
//! How: see [`pass`] for the order of the commits, [`index`] for what is a duplicate.
//! The loader knows nothing of HTTP and nothing of what a sink is made of.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "tests may panic"
    )
)]

pub mod backfill;
mod backlog;
mod batch_ids;
mod batch_input;
pub mod books;
mod clock_fault;
mod deep;
pub mod deliver;
mod discover;
mod error;
mod filling;
pub mod index;
mod ledger;
#[cfg(test)]
mod moody;
pub mod pass;
mod place;
mod positions;
pub mod repair;
pub mod replay;
mod settle;
mod trace;
pub mod upkeep;

pub use backlog::Backlog;
pub use books::{Verification, verify};
pub use clock_fault::ClockFault;
pub use deep::verify_deep;
pub use deliver::{Delivered, Reached, deliver_pending};
pub use error::LoadError;
pub use index::KeyLimits;
pub use pass::{Loader, PassLimits, PassReport};
pub use place::{ItemPlace, PlaceError};
pub use replay::{Choice, Replay, ReplayReport};
