//! The sink port: a destination that reads the lake's log, version by version.

use std::error::Error;
use std::fmt;

use arrow::array::RecordBatch;
use async_trait::async_trait;

use crate::schema::Table;

/// A position in the log of a table, with the table's id: a lake that was made anew counts from zero
/// again, and must not be taken for the one that the sink has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The id of the table.
    pub table_id: String,
    /// The last version whose rows the sink holds.
    pub version: u64,
}

/// What one version of a table brought.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The table.
    pub table: Table,
    /// Where it brings the sink.
    pub checkpoint: &'a Checkpoint,
    /// The rows of that version, in the table's columns; never empty of rows.
    pub rows: &'a [RecordBatch],
}

/// What became of the rows of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Rows that the destination never takes, whoever asks how often. The sink has logged each with
    /// where it came from; the others of the delivery are there.
    pub refused: u64,
}

/// A destination for rows.
///
/// Versions arrive in order. A version may arrive again after a crash: delivering it twice has the
/// effect of delivering it once. Two writers may deliver at the same time; one may be behind the other.
#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync {
    /// The sink's name in configuration, logs and metrics.
    fn name(&self) -> &str;

    /// The tables that it wants.
    fn tables(&self) -> &[Table];

    /// How far it has come with `table`; `None` before the first version.
    ///
    /// # Errors
    /// When the destination does not answer.
    async fn checkpoint(&self, table: Table) -> Result<Option<Checkpoint>, SinkError>;

    /// Moves the checkpoint over versions that brought no rows.
    ///
    /// # Errors
    /// When the destination does not answer.
    async fn advance(&self, table: Table, checkpoint: &Checkpoint) -> Result<(), SinkError>;

    /// Writes the rows and moves the checkpoint. On `Ok` both are durable at the destination; on
    /// `Err` either may be there, and the same delivery comes again. A single row that the
    /// destination can never take is counted and holds up nothing.
    ///
    /// # Errors
    /// When the destination does not take them now.
    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Taken, SinkError>;
}

/// A destination did not take or give what was asked.
#[derive(Debug)]
pub struct SinkError {
    doing: String,
    source: Box<dyn Error + Send + Sync>,
}

impl SinkError {
    /// An error with what was being done and its cause.
    pub fn new(
        doing: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> SinkError {
        SinkError {
            doing: doing.into(),
            source: source.into(),
        }
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.doing)
    }
}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
