//! Sinks: readers of the lake's log.
//!
//! Each keeps its position inside what it writes, so that a crash anywhere repeats work and never
//! repeats effect. A sink that is down falls behind alone. They know rows and versions and nothing of
//! webhooks, segments or decoding.
//!
//! Start at [`CsvSink`].
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "tests may panic"
    )
)]

mod csv;

pub use csv::CsvSink;
