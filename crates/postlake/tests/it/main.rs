//! The integration tests, one binary: the real program as a child, real clients, real readers.
//!
//! Tests that hold our results against another program pass over, with a line that says so, where
//! that program is missing; `cargo xtask test` brings all of them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests may panic and talk"
)]

mod acme;
mod auth;
mod bad_bodies;
mod books;
mod cli;
mod connections;
mod conservation;
mod convert;
mod crash;
mod deploy;
mod disk;
mod faulty_store;
mod fixtures;
mod functions;
mod import;
mod loaders;
mod memory;
mod open_lake;
mod operating;
mod oracle_itself;
mod page;
mod postgres;
mod power_cut;
mod quarantine;
mod reading;
mod replay;
mod samples;
mod schema;
mod setting_up;
mod traces;
mod trigger;
mod upkeep;

mod sent;
mod traffic;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_postlake");

/// The program that receives as a function, and nothing else.
const RECEIVE_PROGRAM: &str = env!("CARGO_BIN_EXE_postlake-receive");
