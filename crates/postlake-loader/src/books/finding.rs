//! What a verification has to say: where, and what.

/// Most findings that are kept one by one.
const MOST_KEPT: usize = 1_000;

/// What kind of thing was found; the names are part of the outside contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// A raw segment that is there and cannot be decoded.
    DamagedSegment,
    /// A raw segment that cannot be read at present.
    UnreadSegment,
    /// Numbers that are missing in a stream.
    MissingSegment,
    /// A name in the raw store that is not one of ours.
    StrayObject,
    /// A batch in raw that is loaded and has no row in `batches`.
    MissingBatch,
    /// A batch with several rows in `batches`.
    DoubledBatch,
    /// A row of `batches` that says other bytes than raw has.
    OtherBytes,
    /// A row of `batches` that counts other items than the body has.
    OtherItems,
    /// A row of `batches` whose items are not events + alerts + duplicates + rejects.
    UnbalancedBatch,
    /// Other rows in a table than the account of their batch says.
    OtherRows,
    /// An item that stands in the lake twice.
    DoubledItem,
    /// Rows of the lake that come from no batch in raw.
    RowsFromNowhere,
    /// A data file that the log names and that is not there.
    MissingDataFile,
    /// A data file that is not as the log says, or cannot be read.
    DamagedDataFile,
    /// Rows with other values than raw says.
    OtherValues,
    /// Rows of one key.
    DoubledKey,
    /// An hour whose books do not balance.
    UnbalancedHour,
    /// Worth knowing, and no fault.
    Note,
}

impl FindingKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            FindingKind::DamagedSegment => "damaged-segment",
            FindingKind::UnreadSegment => "unread-segment",
            FindingKind::MissingSegment => "missing-segment",
            FindingKind::StrayObject => "stray-object",
            FindingKind::MissingBatch => "missing-batch",
            FindingKind::DoubledBatch => "doubled-batch",
            FindingKind::OtherBytes => "other-bytes",
            FindingKind::OtherItems => "other-items",
            FindingKind::UnbalancedBatch => "unbalanced-batch",
            FindingKind::OtherRows => "other-rows",
            FindingKind::DoubledItem => "doubled-item",
            FindingKind::RowsFromNowhere => "rows-from-nowhere",
            FindingKind::MissingDataFile => "missing-data-file",
            FindingKind::DamagedDataFile => "damaged-data-file",
            FindingKind::OtherValues => "other-values",
            FindingKind::DoubledKey => "doubled-key",
            FindingKind::UnbalancedHour => "unbalanced-hour",
            FindingKind::Note => "note",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// Where: an object, a batch, a table.
    pub place: String,
    /// What is wrong there.
    pub reason: String,
}

/// The findings of a verification; the first thousand are kept, all are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    kept: Vec<Finding>,
    faults: u64,
}

impl Findings {
    /// Those that are kept.
    pub fn kept(&self) -> &[Finding] {
        &self.kept
    }

    /// How many faults there are, notes left out.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    pub(crate) fn add(
        &mut self,
        kind: FindingKind,
        place: impl Into<String>,
        reason: impl Into<String>,
    ) {
        self.faults += u64::from(kind != FindingKind::Note);
        if self.kept.len() < MOST_KEPT {
            self.kept.push(Finding {
                kind,
                place: place.into(),
                reason: reason.into(),
            });
        }
    }
}
