//! The stream that is being written.

use chrono::{NaiveDate, TimeDelta};
use postlake_raw::clock::Clock;
use postlake_raw::{SegmentKey, SegmentNumber, StreamName};

/// How far the day of a stream may be ahead of the clock: around midnight a corrected clock may go
/// back into the day before.
const MOST_AHEAD: TimeDelta = TimeDelta::days(1);

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

    /// Whether its UTC day has passed. A clock that was set back a little does not end it; one that
    /// had jumped ahead and is right again does, or the stream would stand in the future for good.
    pub(super) fn is_over(&self, today: NaiveDate) -> bool {
        let ahead = self.name.date().signed_duration_since(today);
        ahead < TimeDelta::zero() || ahead > MOST_AHEAD
    }

    /// Where the next segment goes.
    pub(super) fn next_key(&self) -> SegmentKey {
        SegmentKey::new(self.name, self.next)
    }

    /// Where the segment goes that follows the next one; none when the numbers are used up.
    pub(super) fn key_after(&self) -> Option<SegmentKey> {
        Some(SegmentKey::new(self.name, self.next.next()?))
    }

    /// The stream after its next segment was landed; none when the numbers are used up.
    pub(super) fn advanced(self) -> Option<Self> {
        Some(Self {
            name: self.name,
            next: self.next.next()?,
        })
    }
}
