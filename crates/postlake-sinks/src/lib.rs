//! Sinks: readers of the lake's log.
//!
//! Each keeps its position inside what it writes, so that a crash anywhere repeats work and never
//! repeats effect. A sink that is down falls behind alone. They know rows and versions and nothing of
//! webhooks, segments or decoding.
//!
//! [`CsvSink`] writes every table as files, [`ScoresSink`] a file for each Health Score,
//! [`DynamoDbSink`] alerts as items. All of them pass the same contract (`contract`, in the tests).
//! Start at [`CsvSink`].
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "tests may panic"
    )
)]

mod alert;
mod checkpoint_object;
mod csv;
mod dynamodb;
mod scores;

#[cfg(test)]
mod contract;

pub use csv::CsvSink;
pub use dynamodb::{DynamoDbEndpoint, DynamoDbSink, Now, Retention};
pub use scores::ScoresSink;
