//! What an event, an alert and a batch are, and how webhook bodies become Arrow columns.
//!
//! Promises:
//!
//! * decoding never fails as a whole: each item of a body becomes a row or a [`reject`](decode::RejectCode),
//!   and `rows + rejects = items` always holds;
//! * ids stay text, numbers keep their value, unknown fields, types and classes are kept;
//! * the identity of a row ([`key`]) and its partition depend on what was sent alone, so that a resend is
//!   recognised whenever it comes.
//!
//! It deliberately knows no I/O, no clock and no async runtime: bytes in, columns out.
//! Start at [`decode::Decoder`]; the columns are spelled in [`schema`].
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::string_slice,
        reason = "tests may panic"
    )
)]

mod body;
mod canonical;
pub mod csv;
pub mod decode;
pub mod health;
mod index;
pub mod key;
pub mod schema;
pub mod sink;
mod split;
mod time;

pub use body::{BodyError, MAX_DECOMPRESSED_BYTES};
