//! The lake to its sinks: each reads the log from its own checkpoint on, and falls behind alone.

use postlake_event::schema::Table;
use postlake_event::sink::{Checkpoint, Delivery, Sink};
use postlake_lake::Lake;
use tracing::Instrument as _;

use crate::error::LoadError;
use crate::filling::Filling;
use crate::trace;

/// What a round of deliveries moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Versions with rows that were delivered.
    pub versions: u64,
    /// Rows in them.
    pub rows: u64,
    /// Of these, rows that the sink's destination never takes; the sink has logged each.
    pub refused: u64,
    /// How far the sink has come with each table that could be looked at.
    pub reached: Vec<Reached>,
}

/// How far a sink has come with a table, in versions counted from the first, which is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The table.
    pub table: Table,
    /// Versions that the lake has.
    pub lake_versions: u64,
    /// Versions that the sink holds.
    pub sink_versions: u64,
}

/// Delivers every version that the sink does not hold yet, table by table, in order, and notes in
/// `delivered` what was moved, also when it fails.
///
/// On `Ok` the sink holds all that the lake held when each table was opened. On `Err` it holds a
/// beginning of it and the next call goes on from there.
///
/// # Errors
/// When the lake cannot be read or the sink does not take a version.
pub async fn deliver_pending(
    lake: &Lake,
    sink: &dyn Sink,
    delivered: &mut Delivered,
) -> Result<(), LoadError> {
    let span = trace::deliver(sink.name());
    let (rows, versions) = (delivered.rows, delivered.versions);
    let ended = deliver_tables(lake, sink, delivered);
    let ended = ended.instrument(span.clone()).await;
    let moved = (delivered.rows - rows, delivered.versions - versions);
    trace::delivered(&span, moved, ended.as_ref().err());
    ended
}

async fn deliver_tables(
    lake: &Lake,
    sink: &dyn Sink,
    delivered: &mut Delivered,
) -> Result<(), LoadError> {
    let mut first_fault = None;
    for table in sink.tables() {
        // A table that cannot be delivered does not hold up the others.
        if let Err(fault) = deliver_table(lake, sink, *table, delivered).await {
            first_fault.get_or_insert(fault);
        }
    }
    match first_fault {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

pub(crate) async fn deliver_table(
    lake: &Lake,
    sink: &dyn Sink,
    table: Table,
    delivered: &mut Delivered,
) -> Result<(), LoadError> {
    let failed = |source| LoadError::Sink {
        name: sink.name().to_owned(),
        source,
    };
    let Some(open) = lake.table(table).await.map_err(LoadError::Lake)? else {
        return Ok(());
    };
    // A sink would never get the columns that this release does not know.
    open.refuse_newer().map_err(LoadError::Lake)?;
    let table_id = open.id().map_err(LoadError::Lake)?;
    let held = sink.checkpoint(table).await.map_err(failed)?;
    if held.as_ref().is_some_and(Filling::is_of) {
        return Err(LoadError::HalfFilled {
            name: sink.name().to_owned(),
            table: table.name(),
        });
    }
    if held.is_none() && !open.has_whole_history().await.map_err(LoadError::Lake)? {
        return Err(LoadError::NeedsBackfill {
            name: sink.name().to_owned(),
            table: table.name(),
        });
    }
    if held
        .as_ref()
        .is_some_and(|held| held.table_id != table_id || held.version > open.version())
    {
        return Err(LoadError::OtherLake {
            name: sink.name().to_owned(),
            table: table.name(),
        });
    }
    let at = |version| Checkpoint {
        table_id: table_id.clone(),
        version,
    };
    let mut reached = held.map(|held| held.version);
    let place = delivered.reached.len();
    delivered.reached.push(Reached {
        table,
        lake_versions: open.version() + 1,
        sink_versions: reached.map_or(0, |version| version + 1),
    });
    for version in reached.map_or(0, |version| version + 1)..=open.version() {
        let change = open.change(version).await.map_err(LoadError::Lake)?;
        let rows: usize = change.batches.iter().map(|batch| batch.num_rows()).sum();
        if rows == 0 {
            continue;
        }
        let delivery = Delivery {
            table,
            checkpoint: &at(version),
            rows: &change.batches,
        };
        let taken = sink.deliver(delivery).await.map_err(failed)?;
        reached = Some(version);
        delivered.versions += 1;
        delivered.rows += rows as u64;
        delivered.refused += taken.refused;
        delivered.note(place, version);
    }
    if reached != Some(open.version()) {
        let newest = at(open.version());
        sink.advance(table, &newest).await.map_err(failed)?;
        delivered.note(place, open.version());
    }
    Ok(())
}

impl Delivered {
    fn note(&mut self, place: usize, version: u64) {
        if let Some(reached) = self.reached.get_mut(place) {
            reached.sink_versions = version + 1;
        }
    }
}
