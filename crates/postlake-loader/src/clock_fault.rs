//! Why nothing is let go: the clock is not believed.

use chrono::{DateTime, NaiveDate, Utc};

/// Why the clock is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// Everything that was received is long ago.
    #[error(
        "the clock says {now}, but the newest batch was received at {newest}: either the clock has \
         jumped or nothing came for more than 24 hours; if the clock is right, say --clock-is-right"
    )]
    Ahead {
        /// What the clock says.
        now: DateTime<Utc>,
        /// The newest thing.
        newest: DateTime<Utc>,
    },
    /// Something was received in the future.
    #[error(
        "the clock says {now}, but a batch was received at {newest}, more than 24 hours later: the \
         clock was wrong then or is wrong now; if it is right now, say --clock-is-right"
    )]
    Behind {
        /// What the clock says.
        now: DateTime<Utc>,
        /// The newest thing.
        newest: DateTime<Utc>,
    },
    /// There is nothing left that was received.
    #[error(
        "the clock says {now}, and no batch is left to hold it against: if it is right, say --clock-is-right"
    )]
    Unknown {
        /// What the clock says.
        now: DateTime<Utc>,
    },
    /// Nothing came for long, and then something.
    #[error(
        "nothing was received between {last} and {next}: if the clock has jumped, everything would be \
         let go too early; a week of batches after {next} or --clock-is-right says that it has not"
    )]
    Gap {
        /// The last day before.
        last: NaiveDate,
        /// The first day after.
        next: NaiveDate,
    },
}
