//! Which segments are new: listings and numbers are the truth, hints only wake the loader up.

use std::collections::HashSet;

use chrono::{Days, NaiveDate};
use postlake_event::schema::Table;
use postlake_raw::{RawStore, SegmentKey};

use crate::error::LoadError;
use crate::positions::Tables;

/// Days that every pass looks at: a stream of yesterday may still be written around midnight, and
/// the clock of another receiver may be behind.
const OPEN_DAYS: u64 = 2;

/// Remembers which past days have nothing left to load.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    settled: HashSet<NaiveDate>,
}

impl Discovery {
    /// Up to `limit` segments beyond the position of `batches`, the table that a pass commits last,
    /// in the order of day, stream and number. Past days are looked at until they hold nothing new,
    /// then not again by this process.
    pub(crate) async fn new_segments(
        &mut self,
        raw: &RawStore,
        tables: &mut Tables,
        today: NaiveDate,
        limit: usize,
    ) -> Result<Vec<SegmentKey>, LoadError> {
        let open_since = today
            .checked_sub_days(Days::new(OPEN_DAYS))
            .unwrap_or(today);
        let mut found = Vec::new();
        let mut dates = raw.dates().await.map_err(LoadError::List)?;
        dates.sort_unstable();
        dates.retain(|date| !self.settled.contains(date));
        for date in dates {
            let new = of_day(raw, tables, date).await?;
            if new.is_empty() && date < open_since {
                self.settled.insert(date);
            }
            found.extend(new);
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}

async fn of_day(
    raw: &RawStore,
    tables: &mut Tables,
    date: NaiveDate,
) -> Result<Vec<SegmentKey>, LoadError> {
    let mut found = Vec::new();
    let mut streams = raw.streams(date).await.map_err(LoadError::List)?;
    streams.sort_unstable();
    for stream in streams {
        let position = tables
            .position(Table::Batches, &stream)
            .await
            .map_err(LoadError::Lake)?;
        let after = u64::try_from(position).unwrap_or(0);
        let new = raw
            .segments_after(date, stream, after)
            .await
            .map_err(LoadError::List)?;
        if !new.is_empty() {
            for table in [Table::Events, Table::Alerts, Table::Quarantine] {
                tables
                    .position(table, &stream)
                    .await
                    .map_err(LoadError::Lake)?;
            }
        }
        found.extend(new);
    }
    Ok(found)
}
