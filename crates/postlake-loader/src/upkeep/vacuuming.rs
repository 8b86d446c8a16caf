//! Files that nobody needs, deleted; never one that a sink has still to read.

use chrono::{DateTime, TimeDelta, Utc};
use postlake_event::schema::Table;
use postlake_event::sink::Sink;
use postlake_lake::{Lake, Vacuum, Vacuumed};
use postlake_raw::RawStore;

use super::{clock, open, unread};
use crate::error::LoadError;

/// What went of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VacuumedTable {
    /// The table.
    pub table: Table,
    /// What went, or would go; a dry run does not look at the log.
    pub vacuumed: Vacuumed,
    /// The first version that a sink has still to read: nothing from there on went.
    pub unread_from: Option<u64>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Vacuuming {
    /// The present time.
    pub now: DateTime<Utc>,
    /// How long what was replaced is kept.
    pub keep: TimeDelta,
    /// Somebody has looked at the clock: it is not held against what was received.
    pub clock_is_right: bool,
    /// Nothing is deleted.
    pub dry_run: bool,
}

/// Deletes what was replaced long enough ago, of all tables.
///
/// # Errors
/// [`LoadError::Clock`] when the clock cannot be right: nothing is deleted then. When a table cannot be
/// read, or a sink does not say how far it is, nothing of that table goes.
pub async fn vacuum(
    raw: &RawStore,
    lake: &Lake,
    sinks: &[Box<dyn Sink>],
    vacuuming: &Vacuuming,
) -> Result<Vec<VacuumedTable>, LoadError> {
    // A clock that runs ahead makes files old that a reader or a writer is at.
    if !vacuuming.clock_is_right {
        clock::check(raw, lake, vacuuming.now).await?;
    }
    let mut done = Vec::new();
    for table in Table::ALL {
        let Some(mut open) = open(lake, table).await? else {
            continue;
        };
        let unread = unread(lake, sinks, &open).await?;
        let unread_from = unread.from;
        let vacuum = Vacuum {
            now: vacuuming.now,
            keep: vacuuming.keep,
            unread_from,
            read: unread.filling,
        };
        let vacuumed = match vacuuming.dry_run {
            true => open.vacuumable(&vacuum).await,
            false => open.vacuum(&vacuum).await,
        };
        done.push(VacuumedTable {
            table,
            vacuumed: vacuumed.map_err(LoadError::Lake)?,
            unread_from,
        });
    }
    Ok(done)
}
