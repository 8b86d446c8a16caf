//! The lake: four Delta tables under one root, on a local directory or on S3.
//!
//! Promises:
//!
//! * [`LakeTable::commit`] commits rows together with the positions that they bring the table to, or
//!   commits nothing; it refuses to commit over rows and positions that it has not read ([`ErrorKind::Conflict`]);
//! * [`LakeTable::commit_rewrite`] replaces files by others in one commit, and readers of the log are
//!   told of new rows alone;
//! * on a local directory each data file, then the log entry that names it, is on the disk, with its
//!   directory, before `commit` returns: a power cut cannot leave a log entry without its data;
//! * [`Lake::create_missing`] gives a table the columns that an older release did not know; a table that a newer
//!   one has given columns is read and not written ([`ErrorKind::Newer`]);
//! * what is written needs no table feature: any engine that reads Delta reads it.
//!
//! It knows the tables of `postlake-event` and nothing of raw segments or of sinks. Only this crate
//! names the Delta library and the object store version that the library speaks.
//! Start at [`Lake`].
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "tests may panic"
    )
)]

mod append;
mod changes;
mod compact;
mod error;
mod expire;
mod files;
#[cfg(test)]
mod fixture;
mod history;
mod lake;
mod location;
mod log;
mod rewrite;
mod rows;
mod survey;
mod synced;
mod table;
mod vacuum;

pub use append::Append;
pub use changes::{Change, MissingVersion};
pub use compact::{Group, TARGET_BYTES, sorted_by};
pub use error::{ErrorKind, LakeError};
pub use expire::Expired;
pub use files::{DataFile, StoredFile};
pub use lake::Lake;
pub use postlake_location::{DataUrl, DataUrlError};
pub use rewrite::{Amounts, Job, Onto, Passed, Rewrite, RowFunction, Sorting};
pub use survey::{FileFault, FileSurvey, Unnamed};
pub use table::{LakeTable, NewerColumns};
pub use vacuum::{LONGEST as LONGEST_VACUUM, Vacuum, Vacuumed};
