//! Files that nobody needs, deleted; never one that a sink has still to read.

use chrono::{DateTime, TimeDelta, Utc};
use postlake_event::schema::Table;
use postlake_event::sink::Sink;
use postlake_lake::{Lake, Vacuum, Vacuumed};

use super::{open, unread_from};
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

/// Deletes what was replaced longer ago than `keep`, of all tables.
///
/// # Errors
/// When a table cannot be read, or a sink does not say how far it is: nothing of that table goes then.
pub async fn vacuum(
    lake: &Lake,
    sinks: &[Box<dyn Sink>],
    now: DateTime<Utc>,
    keep: TimeDelta,
    dry_run: bool,
) -> Result<Vec<VacuumedTable>, LoadError> {
    let mut done = Vec::new();
    for table in Table::ALL {
        let Some(open) = open(lake, table).await? else {
            continue;
        };
        let unread_from = unread_from(sinks, &open).await?;
        let vacuum = Vacuum {
            now,
            keep,
            unread_from,
        };
        let vacuumed = match dry_run {
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
