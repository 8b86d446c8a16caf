//! What can go wrong with the lake, sorted by what a caller does about it.

use std::error::Error;
use std::fmt;

use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::TransactionError;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Somebody else committed since the table was read: read again and start over.
    Conflict,
    /// The store does not answer or refuses: try again later.
    Unavailable,
    /// A newer release has changed the table: use that one, or a later one.
    Newer,
    /// The table is not as this release expects it: a person has to look.
    Damaged,
}

/// An error of the lake.
#[derive(Debug)]
pub struct LakeError {
    kind: ErrorKind,
    doing: String,
    source: Box<dyn Error + Send + Sync>,
}

impl LakeError {
    pub(crate) fn new(
        kind: ErrorKind,
        doing: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> LakeError {
        LakeError {
            kind,
            doing: doing.into(),
            source: source.into(),
        }
    }

    pub(crate) fn delta(doing: impl Into<String>, source: DeltaTableError) -> LakeError {
        LakeError::new(kind_of(&source), doing, source)
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for LakeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.doing)
    }
}

impl Error for LakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

fn kind_of(error: &DeltaTableError) -> ErrorKind {
    match error {
        DeltaTableError::VersionAlreadyExists(_) => ErrorKind::Conflict,
        DeltaTableError::Transaction { source } => match source {
            TransactionError::VersionAlreadyExists(_)
            | TransactionError::CommitConflict(_)
            | TransactionError::MaxCommitAttempts(_) => ErrorKind::Conflict,
            TransactionError::UnsupportedTableFeatures(_) => ErrorKind::Newer,
            TransactionError::TableFeaturesRequired(_) | TransactionError::DeltaTableAppendOnly => {
                ErrorKind::Damaged
            }
            _ => ErrorKind::Unavailable,
        },
        DeltaTableError::InvalidJsonLog { .. } | DeltaTableError::SchemaMismatch { .. } => {
            ErrorKind::Damaged
        }
        _ => ErrorKind::Unavailable,
    }
}
