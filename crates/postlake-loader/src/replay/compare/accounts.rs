//! The rows of `batches` that a group should have.

use std::collections::HashMap;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt as _;
use postlake_event::schema::Table;
use postlake_lake::LakeTable;
use postlake_raw::StreamName;

use super::super::flags::flagged;
use super::super::group::{Decoded, Rows};
use super::super::{Open, Replay};
use super::{Standing, lineages, stands};
use crate::books::micros;
use crate::error::LoadError;
use crate::ledger::{Account, Ledger};
use crate::positions::number_of;

/// A batch, by its place.
type Place = (StreamName, i64, i64);

/// Rows of a batch, of `events`, `alerts` and `quarantine`.
#[derive(Clone, Copy, Default)]
struct Counts {
    /// Those that the tables hold, or will.
    there: [u64; 3],
    /// Those that they would, had retention not let go of their days.
    left: [u64; 3],
}

impl Replay {
    /// The rows of `batches` as they should be, and what has to be done to have them so.
    pub(super) async fn accounts(
        &self,
        open: &Open,
        decoded: &Decoded,
        standing: &[Standing],
    ) -> Result<(Rows, Standing), LoadError> {
        let counts = counts(decoded, standing);
        let lake = open.tables.get(Table::Batches);
        let said = match lake {
            Some(lake) if counts.values().any(|counts| counts.left != [0; 3]) => {
                said(lake, decoded).await?
            }
            _ => HashMap::new(),
        };
        let mut ledger = Ledger::default();
        let batches = decoded.envelopes.iter().zip(&decoded.places);
        for ((envelope, place), decoded) in batches.zip(&decoded.counts) {
            let key = &place.segment;
            let key = (key.stream(), number_of(key), place.batch_index);
            let counts = counts.get(&key).copied().unwrap_or_default();
            let said = said.get(&key);
            let said = said.filter(|said| counts.may_be(said, decoded.items));
            let account = match said {
                Some(said) => *said,
                None => counts.account(decoded.items),
            };
            ledger.push(envelope, place, &account, self.now, [None, None]);
        }
        let rows = Rows::new(Table::Batches, ledger.finish()?, decoded.batches());
        let mut table = stands(lake, &rows, decoded).await?;
        let lineages = rows.lineages.iter().enumerate();
        let missing = lineages.filter(|(_, lineage)| !table.seen.contains(lineage));
        table.acts.add = missing.map(|(row, _)| row).collect();
        let rows = flagged(lake, decoded, rows, &table.acts.add).await?;
        Ok((rows, table))
    }
}

impl Counts {
    /// What is not told by an account: rows that went count as rows.
    fn account(&self, items: u64) -> Account {
        let rows = |place: usize| {
            let of = |counts: &[u64; 3]| counts.get(place).copied().unwrap_or(0);
            of(&self.there) + of(&self.left)
        };
        let (events, alerts, rejects) = (rows(0), rows(1), rows(2));
        Account {
            items,
            events,
            alerts,
            duplicates: items.saturating_sub(events + alerts + rejects),
            rejects,
            expired: false,
        }
    }

    /// Whether an account can be right: nobody can tell any more which of the rows that went were the
    /// first of their key.
    fn may_be(&self, said: &Account, items: u64) -> bool {
        let rows = [said.events, said.alerts, said.rejects];
        let within =
            |((said, there), left): ((&u64, &u64), &u64)| (*there..=*there + *left).contains(said);
        self.left != [0; 3]
            && said.items == items
            && rows.iter().sum::<u64>() + said.duplicates == items
            && rows.iter().zip(&self.there).zip(&self.left).all(within)
    }
}

fn counts(decoded: &Decoded, standing: &[Standing]) -> HashMap<Place, Counts> {
    let mut counts = HashMap::<Place, Counts>::new();
    for (place, (rows, table)) in decoded.rows.iter().zip(standing).enumerate() {
        let lineages = |of: &[usize]| {
            let lineages = of.iter().filter_map(|row| rows.lineages.get(*row));
            lineages.copied().collect::<Vec<_>>()
        };
        let there = table.seen.iter().copied();
        for (stream, segment, batch, _) in there.chain(lineages(&table.acts.add)) {
            let counts = counts.entry((stream, segment, batch)).or_default();
            counts
                .there
                .iter_mut()
                .skip(place)
                .take(1)
                .for_each(|count| *count += 1);
        }
        for (stream, segment, batch, _) in lineages(&table.acts.left) {
            let counts = counts.entry((stream, segment, batch)).or_default();
            counts
                .left
                .iter_mut()
                .skip(place)
                .take(1)
                .for_each(|count| *count += 1);
        }
    }
    counts
}

/// What `batches` says of the group.
async fn said(lake: &LakeTable, decoded: &Decoded) -> Result<HashMap<Place, Account>, LoadError> {
    let mut said = HashMap::new();
    let (Some((first, last)), Some((since, until))) = (decoded.streams(), decoded.received())
    else {
        return Ok(said);
    };
    let sql = format!(
        "SELECT stream, segment, batch_index, items, events, alerts, duplicates, rejects \
         FROM batches WHERE received_at >= {} AND received_at <= {} \
         AND stream >= '{first}' AND stream <= '{last}'",
        micros(since),
        micros(until),
    );
    let mut answer = lake.select(&sql).await.map_err(LoadError::Lake)?;
    while let Some(batch) = answer.try_next().await.map_err(LoadError::Lake)? {
        let places = lineages(&batch).map_err(LoadError::Rows)?;
        for (row, place) in places.into_iter().enumerate() {
            if let Some((stream, segment, index, _)) = place {
                said.insert((stream, segment, index), account_of(&batch, row));
            }
        }
    }
    Ok(said)
}

fn account_of(batch: &RecordBatch, row: usize) -> Account {
    let number = |column: usize| {
        let column = batch.column(column).as_primitive::<Int64Type>();
        u64::try_from(column.value(row)).unwrap_or(0)
    };
    Account {
        items: number(3),
        events: number(4),
        alerts: number(5),
        duplicates: number(6),
        rejects: number(7),
        expired: false,
    }
}
