//! What can go wrong in a pass.

use postlake_event::sink::SinkError;
use postlake_lake::{ErrorKind, LakeError};
use postlake_raw::segment::SegmentError;
use postlake_raw::{LandError, ListError, MergeError, ReadError, SegmentKey};

use crate::clock_fault::ClockFault;

/// Why a pass or a delivery did not complete. Nothing is lost by any of these: what was committed
/// stands, and the next pass goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The raw store cannot be listed.
    #[error("list the raw segments")]
    List(#[source] ListError),
    /// A segment that was listed cannot be read at present.
    #[error("read a raw segment")]
    Read(#[source] ReadError),
    /// A segment was written by a newer release. It is left where it is.
    #[error("read {key} with this release; use the one that wrote it or a later one")]
    Newer {
        /// The segment.
        key: SegmentKey,
        /// What its header says.
        #[source]
        source: SegmentError,
    },
    /// A copy of a segment, or a note in the audit log, cannot be written.
    #[error("write into the raw store")]
    Land(#[source] LandError),
    /// What was saved of a segment does not fit into one.
    #[error("make a segment of what was saved")]
    Copy(#[source] SegmentError),
    /// The lake refused or does not answer.
    #[error("load into the lake")]
    Lake(#[source] LakeError),
    /// Keys that do not fit in memory cannot be put on the disk or read from it again.
    #[error("keep the keys of loaded rows on the disk")]
    Keys(#[source] std::io::Error),
    /// The clock cannot be right, so nothing is let go.
    #[error("let go what is older than its rule")]
    Clock(#[source] ClockFault),
    /// Raw segments cannot be merged.
    #[error("merge raw segments")]
    Merge(#[source] MergeError),
    /// The mark that raw days are retired cannot be written.
    #[error("mark raw days as retired")]
    Mark(#[source] LandError),
    /// Decoding was stopped, since the process ends.
    #[error("decode segments while the process ends")]
    Stopped,
    /// Columns could not be built: a defect.
    #[error("build the rows of a pass")]
    Rows(#[source] arrow::error::ArrowError),
    /// A sink holds the rows of another lake than this one.
    #[error(
        "the sink {name} has read the table {table} of another lake; \
         the lake was made anew, so empty the sink and it is filled again"
    )]
    OtherLake {
        /// The sink's name.
        name: String,
        /// The table's name.
        table: &'static str,
    },
    /// The log no longer tells a new sink everything.
    #[error(
        "the sink {name} has nothing of the table {table}, and its log no longer tells everything; \
         fill it with `postlake backfill --sink {name}`"
    )]
    NeedsBackfill {
        /// The sink's name.
        name: String,
        /// The table's name.
        table: &'static str,
    },
    /// A backfill was begun and has not come to its end.
    #[error(
        "the sink {name} is being filled with the table {table}; if nobody is at it, go on with \
         `postlake backfill --sink {name}`"
    )]
    HalfFilled {
        /// The sink's name.
        name: String,
        /// The table's name.
        table: &'static str,
    },
    /// A sink is being filled by two at once.
    #[error(
        "the sink {name} is being filled with the table {table} by somebody else; when that has ended, \
         run `postlake backfill --sink {name}` again"
    )]
    FilledByOthers {
        /// The sink's name.
        name: String,
        /// The table's name.
        table: &'static str,
    },
    /// A sink refused or does not answer.
    #[error("deliver to the sink {name}")]
    Sink {
        /// The sink's name.
        name: String,
        /// What it said.
        #[source]
        source: SinkError,
    },
}

impl LoadError {
    /// True if somebody else was faster: the next attempt starts from what they wrote.
    pub fn is_conflict(&self) -> bool {
        match self {
            LoadError::Lake(error) => error.kind() == ErrorKind::Conflict,
            LoadError::FilledByOthers { .. } => true,
            _ => false,
        }
    }
}
