//! Which segments are new: listings and numbers are the truth, hints only wake the loader up.

use std::collections::HashSet;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use postlake_event::schema::Table;
use postlake_raw::{ListError, RawStore, SegmentKey};

use crate::error::LoadError;
use crate::positions::Tables;

/// Days that every pass looks at: a stream of yesterday may still be written around midnight, and
/// the clock of another receiver may be behind.
const OPEN_DAYS: u64 = 2;

/// How long a past day is believed to hold nothing new: folders are copied in, and clocks are set.
const BELIEF: TimeDelta = TimeDelta::minutes(10);

/// Remembers which past days have nothing left to load.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    settled: HashSet<NaiveDate>,
    settled_at: Option<DateTime<Utc>>,
}

/// What a look at the raw store found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// New segments, in the order of day, stream and number.
    pub(crate) segments: Vec<SegmentKey>,
    /// Streams that cannot be listed at present, or that have a hole.
    pub(crate) blocked: Vec<ListError>,
}

impl Discovery {
    /// Up to `limit` segments beyond the position of `batches`, the table that a pass commits last.
    /// Past days are looked at until they hold nothing new, then not again for a while. A stream that
    /// cannot be read holds up no other.
    pub(crate) async fn new_segments(
        &mut self,
        raw: &RawStore,
        tables: &mut Tables,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Found, LoadError> {
        let today = now.date_naive();
        if self.settled_at.is_none_or(|at| (now - at).abs() > BELIEF) {
            self.settled.clear();
            self.settled_at = Some(now);
        }
        let open_since = today
            .checked_sub_days(Days::new(OPEN_DAYS))
            .unwrap_or(today);
        let mut found = Found::default();
        let mut dates = raw.dates().await.map_err(LoadError::List)?;
        dates.sort_unstable();
        dates.retain(|date| !self.settled.contains(date));
        for date in dates {
            let before = found.segments.len() + found.blocked.len();
            of_day(raw, tables, date, &mut found).await?;
            let nothing = found.segments.len() + found.blocked.len() == before;
            if nothing && date < open_since {
                self.settled.insert(date);
            }
            if found.segments.len() >= limit {
                break;
            }
        }
        found.segments.truncate(limit);
        Ok(found)
    }
}

async fn of_day(
    raw: &RawStore,
    tables: &mut Tables,
    date: NaiveDate,
    found: &mut Found,
) -> Result<(), LoadError> {
    let mut streams = raw.streams(date).await.map_err(LoadError::List)?;
    streams.sort_unstable();
    for stream in streams {
        let position = tables
            .position(Table::Batches, &stream)
            .await
            .map_err(LoadError::Lake)?;
        let after = u64::try_from(position).unwrap_or(0);
        let new = match raw.segments_after(date, stream, after).await {
            Ok(new) => new,
            Err(fault) => {
                found.blocked.push(fault);
                continue;
            }
        };
        if !new.is_empty() {
            for table in [Table::Events, Table::Alerts, Table::Quarantine] {
                tables
                    .position(table, &stream)
                    .await
                    .map_err(LoadError::Lake)?;
            }
        }
        found.segments.extend(new);
    }
    Ok(())
}
