//! Days whose time is over, let go: raw segments and the tables, each by a rule of its own.

use chrono::{DateTime, Days, NaiveDate, Utc};
use postlake_event::schema::Table;
use postlake_lake::{Amounts, Lake, LakeTable};
use postlake_raw::{RawStore, Retired, StoredDay};

use super::{CONFLICTS, clock, is_conflict, open};
use crate::error::LoadError;
use crate::positions::Tables;

/// How many days are kept besides today; none is for ever. Days are those of UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Raw segments, by the day of their stream.
    pub raw: Option<u32>,
    /// Events, by the day on which they happened.
    pub events: Option<u32>,
    /// Alerts, by the day on which they fired.
    pub alerts: Option<u32>,
    /// Quarantined items, by the day on which they were received.
    pub quarantine: Option<u32>,
    /// Accounts of batches, by the day on which they were received.
    pub batches: Option<u32>,
}

impl Rules {
    /// The rule of a table.
    pub fn of(&self, table: Table) -> Option<u32> {
        match table {
            Table::Events => self.events,
            Table::Alerts => self.alerts,
            Table::Quarantine => self.quarantine,
            Table::Batches => self.batches,
        }
    }

    /// True if everything is kept for ever.
    pub fn are_none(&self) -> bool {
        *self == Rules::default()
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// The rules.
    pub rules: Rules,
    /// The present time.
    pub now: DateTime<Utc>,
    /// Somebody has looked at the clock: it is not held against what was received.
    pub clock_is_right: bool,
    /// Nothing is deleted.
    pub dry_run: bool,
}

/// What went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetainReport {
    /// Of the raw store.
    pub raw: Option<RetainedRaw>,
    /// Of the tables that have a rule.
    pub tables: Vec<RetainedTable>,
}

/// What went of the raw store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedRaw {
    /// Days before this one went.
    pub before: NaiveDate,
    /// The days.
    pub days: Vec<NaiveDate>,
    /// Their segments.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first day that the rule would let go and that has segments which are not loaded: it stays,
    /// and every later one.
    pub waits_for: Option<NaiveDate>,
}

/// What went of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainedTable {
    /// The table.
    pub table: Table,
    /// Days before this one went.
    pub before: NaiveDate,
    /// Files, with their bytes.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
}

/// Lets go what is older than its rule. Each part may be broken off anywhere; the next call goes on.
///
/// # Errors
/// [`LoadError::Clock`] when the clock cannot be right: nothing is deleted then. Otherwise when a store
/// does not answer; what went before has gone.
pub async fn retain(
    raw: &RawStore,
    lake: &Lake,
    retention: &Retention,
) -> Result<RetainReport, LoadError> {
    let mut report = RetainReport::default();
    if retention.rules.are_none() {
        return Ok(report);
    }
    if !retention.clock_is_right {
        clock::check(raw, lake, retention.now).await?;
    }
    if let Some(days) = retention.rules.raw {
        report.raw = Some(retain_raw(raw, lake, retention, days).await?);
    }
    for table in Table::ALL {
        let days = retention.rules.of(table);
        let before = days.and_then(|days| first_kept(retention.now, days));
        let Some((before, open)) = before.zip(open(lake, table).await?) else {
            continue;
        };
        let retained = retain_table(open, before, retention.dry_run).await?;
        report.tables.push(retained);
    }
    Ok(report)
}

/// The first day that is kept; none before the calendar's begin.
pub(crate) fn first_kept(now: DateTime<Utc>, days: u32) -> Option<NaiveDate> {
    now.date_naive()
        .checked_sub_days(Days::new(u64::from(days)))
}

async fn retain_table(
    mut table: LakeTable,
    before: NaiveDate,
    dry_run: bool,
) -> Result<RetainedTable, LoadError> {
    let days = (before - DateTime::UNIX_EPOCH.date_naive()).num_days();
    let day = i32::try_from(days).unwrap_or(i32::MIN);
    let mut conflicts = 0;
    loop {
        let files = table.files_before(day).map_err(LoadError::Lake)?;
        let rows = files.iter().filter_map(|file| file.about.rows).sum();
        let expired = match dry_run {
            true => Ok(Amounts {
                files_removed: files.len() as u64,
                bytes_removed: files.iter().map(|file| file.bytes).sum(),
                ..Amounts::default()
            }),
            false => table.expire_before(day).await,
        };
        match expired {
            Ok(amounts) => {
                return Ok(RetainedTable {
                    table: table.table(),
                    before,
                    files: amounts.files_removed,
                    bytes: amounts.bytes_removed,
                    rows,
                });
            }
            Err(error) if is_conflict(&error) && conflicts < CONFLICTS => conflicts += 1,
            Err(error) => return Err(LoadError::Lake(error)),
        }
        table.refresh().await.map_err(LoadError::Lake)?;
    }
}

async fn retain_raw(
    raw: &RawStore,
    lake: &Lake,
    retention: &Retention,
    days: u32,
) -> Result<RetainedRaw, LoadError> {
    let before = first_kept(retention.now, days).unwrap_or(NaiveDate::MIN);
    let mut retained = RetainedRaw {
        before,
        days: Vec::new(),
        segments: 0,
        bytes: 0,
        waits_for: None,
    };
    let mut tables = Tables::new(open(lake, Table::Batches).await?);
    let mut dates = raw.dates().await.map_err(LoadError::List)?;
    dates.retain(|date| *date < before);
    dates.sort_unstable();
    let mut judged = Vec::new();
    for date in dates {
        let stored = raw.stored_day(date).await.map_err(LoadError::List)?;
        if !is_loaded(&mut tables, &stored).await? {
            retained.before = date;
            retained.waits_for = Some(date);
            break;
        }
        retained.days.push(date);
        retained.segments += stored.segments;
        retained.bytes += stored.bytes;
        judged.push(stored);
    }
    if !retention.dry_run && !retained.days.is_empty() {
        let mark = Retired {
            before: retained.before,
            at: retention.now,
            rule: format!("raw = {days}d"),
        };
        raw.retire(&mark).await.map_err(LoadError::Mark)?;
        for (date, seen) in retained.days.iter().zip(&judged) {
            let deleted = raw.delete_day(*date, seen).await;
            deleted.map_err(LoadError::List)?;
            if let Some(directory) = lake.url().directory() {
                RawStore::remove_empty_folders(directory, *date);
            }
        }
    }
    Ok(retained)
}

async fn is_loaded(tables: &mut Tables, day: &StoredDay) -> Result<bool, LoadError> {
    for (stream, last) in &day.streams {
        let position = tables.position(Table::Batches, stream).await;
        let position = position.map_err(LoadError::Lake)?;
        if u64::try_from(position).unwrap_or(0) < *last {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
