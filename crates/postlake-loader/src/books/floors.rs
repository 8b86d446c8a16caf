//! What retention has let go of each table: rows of these days are missing for a reason.

use postlake_event::decode::{Decoded, Identity};
use postlake_event::schema::Table;

use super::segment::Received;
use crate::error::LoadError;
use crate::positions::Tables;

/// For each table the first day that was not let go, counted from the epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Floors([Option<i32>; Table::ALL.len()]);

impl Floors {
    pub(super) async fn read(tables: &Tables) -> Result<Floors, LoadError> {
        let mut floors = Floors::default();
        for (floor, table) in floors.0.iter_mut().zip(Table::ALL) {
            if let Some(open) = tables.get(table) {
                *floor = open.kept_from().await.map_err(LoadError::Lake)?;
            }
        }
        Ok(floors)
    }

    /// True if rows of this day have gone.
    pub(super) fn has_gone(&self, table: Table, day: i32) -> bool {
        let floors = self.0.iter().zip(Table::ALL);
        let mut floor = floors.filter_map(|(floor, each)| (*floor).filter(|_| each == table));
        floor.next().is_some_and(|first| day < first)
    }

    /// True if rows of events or alerts have gone, so that their days have to be known.
    pub(super) fn of_rows(&self) -> bool {
        let floors = self.0.iter().zip(Table::ALL);
        let mut floors = floors.filter(|(_, table)| matches!(table, Table::Events | Table::Alerts));
        floors.any(|(floor, _)| floor.is_some())
    }

    /// The rejects of a batch that was received on this day, if their rows have gone.
    pub(super) fn rejects_gone(&self, day: i32, rejects: u64) -> u64 {
        match self.has_gone(Table::Quarantine, day) {
            true => rejects,
            false => 0,
        }
    }

    /// Counts the rows of decoded batches that have gone.
    pub(super) fn note(&self, decoded: &Decoded, batches: &mut [Received]) {
        let mut count = |table, place: usize, identities: &[Identity]| {
            for identity in identities {
                let batch = batches.get_mut(identity.batch);
                let count = batch.and_then(|batch| batch.gone.get_mut(place));
                if let Some(count) = count.filter(|_| self.has_gone(table, identity.day)) {
                    *count += 1;
                }
            }
        };
        count(Table::Events, 0, &decoded.event_identities);
        count(Table::Alerts, 1, &decoded.alert_identities);
    }
}
