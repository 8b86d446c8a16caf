//! The lake to its sinks: each reads the log from its own checkpoint on, and falls behind alone.

use postlake_event::sink::{Delivery, Sink};
use postlake_lake::Lake;

use crate::error::LoadError;

/// What a round of deliveries moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Versions with rows that were delivered.
    pub versions: u64,
    /// Rows in them.
    pub rows: u64,
}

/// Delivers every version that the sink does not hold yet, table by table, in order.
///
/// On `Ok` the sink holds all that the lake held when each table was opened. On `Err` it holds a
/// beginning of it and the next call goes on from there.
///
/// # Errors
/// When the lake cannot be read or the sink does not take a version.
pub async fn deliver_pending(lake: &Lake, sink: &dyn Sink) -> Result<Delivered, LoadError> {
    let failed = |source| LoadError::Sink {
        name: sink.name().to_owned(),
        source,
    };
    let mut delivered = Delivered::default();
    for table in sink.tables() {
        let Some(open) = lake.table(*table).await.map_err(LoadError::Lake)? else {
            continue;
        };
        let checkpoint = sink.checkpoint(*table).await.map_err(failed)?;
        let first = checkpoint.map_or(0, |version| version + 1);
        for version in first..=open.version() {
            let change = open.change(version).await.map_err(LoadError::Lake)?;
            let rows: usize = change.batches.iter().map(|batch| batch.num_rows()).sum();
            if rows == 0 {
                continue;
            }
            let delivery = Delivery {
                table: *table,
                version,
                rows: &change.batches,
            };
            sink.deliver(delivery).await.map_err(failed)?;
            delivered.versions += 1;
            delivered.rows += rows as u64;
        }
    }
    Ok(delivered)
}
