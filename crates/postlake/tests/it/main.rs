//! The integration tests, one binary: the real program as a child, real clients, real readers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests may panic and talk"
)]

mod bad_bodies;
mod conservation;
mod crash;
mod fixtures;
mod samples;

mod sent;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_postlake");
