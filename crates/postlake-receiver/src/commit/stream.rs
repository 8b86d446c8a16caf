//! The stream that is being written.

use chrono::NaiveDate;
use postlake_raw::clock::Clock;
use postlake_raw::{SegmentKey, SegmentNumber, StreamName};

/// A stream and the number that comes next in it.
#[derive(Debug)]
pub(super) struct OpenStream {
    name: StreamName,
    next: SegmentNumber,
}

impl OpenStream {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self {
            name: StreamName::new(clock),
            next: SegmentNumber::FIRST,
        }
    }

    /// Whether its UTC day has passed. A clock that was set back does not end it.
    pub(super) fn is_over(&self, today: NaiveDate) -> bool {
        today > self.name.date()
    }

    /// Where the next segment goes.
    pub(super) fn next_key(&self) -> SegmentKey {
        SegmentKey::new(self.name, self.next)
    }

    /// The stream after its next segment was landed; none when the numbers are used up.
    pub(super) fn advanced(self) -> Option<Self> {
        Some(Self {
            name: self.name,
            next: self.next.next()?,
        })
    }
}
