//! What the integration tests share: the real program as a child, a client's own ledger, and the
//! oracle that holds every sink against it.
//!
//! * [`Place`]: where one test's data lies, a temporary directory or an S3 prefix, and the program's
//!   commands on it.
//! * [`Server`], [`Running`]: children with their output captured, ended by their ids.
//! * [`Client`], [`ClientLedger`]: seeded traffic, and what was sent and answered 200.
//! * [`oracle`]: everything answered 200 is in each sink once, nothing was invented, the books balance.
//! * [`strace`], [`power_cut`]: faults in the calls of a real program, and the disks that power cuts
//!   leave behind it.
//! * [`faulty_s3`]: an S3 server that fails on command.
//! * [`fuzzing`]: functions that any bytes may be given to.
//! * [`lambda`]: the runtime of AWS Lambda beside a function's process.
//! * [`peers`]: other programs that read our results; a test without its peer says so and passes over.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "this crate is for tests, which may panic and talk"
)]

mod deadline;

pub mod http;

mod running;

mod place;
mod server;

pub mod power_cut;
pub mod strace;

mod client;
mod ledger;

pub mod csv;
pub mod faulty_s3;
pub mod fuzzing;
pub mod lambda;
pub mod oracle;
pub mod peers;
pub mod seed;

pub use client::{Client, Target, play};
pub use deadline::{PATIENCE, until};
pub use ledger::{Account, ClientLedger, Post};
pub use place::Place;
pub use running::{Outcome, Running};
pub use server::Server;
