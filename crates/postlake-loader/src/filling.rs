//! What a sink's checkpoint says while it is filled from one version of a table.

use postlake_event::sink::Checkpoint;

/// What a checkpoint says of the table while it is filled.
const MARK: &str = " backfill of version ";

/// The version that a sink is being filled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filling {
    table_id: String,
    version: u64,
}

impl Filling {
    /// True for the checkpoint of a backfill that has not come to its end.
    pub(crate) fn is_of(checkpoint: &Checkpoint) -> bool {
        checkpoint.table_id.contains(MARK)
    }

    /// The backfill that a checkpoint speaks of, if it does.
    pub(crate) fn read(checkpoint: &Checkpoint) -> Option<Filling> {
        let (table_id, version) = checkpoint.table_id.split_once(MARK)?;
        Some(Filling {
            table_id: table_id.to_owned(),
            version: version.parse().ok()?,
        })
    }

    /// The checkpoint after a piece.
    pub(crate) fn at(&self, piece: u64) -> Checkpoint {
        Checkpoint {
            table_id: format!("{}{MARK}{}", self.table_id, self.version),
            version: piece,
        }
    }
    /// A backfill with that version.
    pub(crate) fn new(table_id: String, version: u64) -> Filling {
        Filling { table_id, version }
    }

    pub(crate) fn table_id(&self) -> &str {
        &self.table_id
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The checkpoint after all pieces: the log is followed from there.
    pub(crate) fn whole(&self) -> Checkpoint {
        Checkpoint {
            table_id: self.table_id.clone(),
            version: self.version,
        }
    }
}
