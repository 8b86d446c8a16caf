//! Rows of one key.

use std::collections::{BTreeMap, HashSet};

use futures::TryStreamExt as _;
use postlake_event::key::Key;
use postlake_event::schema::Table;
use postlake_lake::LakeTable;

use super::Window;
use super::finding::{FindingKind, Findings};
use crate::error::LoadError;
use crate::index::{Shelf, keys_of, query};

/// Keys that are held at a time, about 20 bytes each. A day with more of them is read several times.
const MOST_KEYS: u64 = 2_000_000;

/// Looks for keys that several rows have, day by day.
pub(super) async fn check(
    lake: &LakeTable,
    window: Window,
    findings: &mut Findings,
) -> Result<(), LoadError> {
    if !matches!(lake.table(), Table::Events | Table::Alerts) {
        return Ok(());
    }
    let (mut days, mut undated) = (BTreeMap::<i32, u64>::new(), 0);
    for file in lake.data_files().map_err(LoadError::Lake)? {
        let rows = file.rows.unwrap_or(0);
        undated += file.flagged.unwrap_or(rows);
        if let Some(day) = file.day.filter(|day| is_wanted(*day, window)) {
            *days.entry(day).or_default() += rows;
        }
    }
    for (day, rows) in days {
        let doubled = doubled(lake, Shelf::Day(day), rows).await?;
        let place = format!("{} of {}", lake.table().name(), date(day));
        tell(findings, place, doubled);
    }
    let doubled = doubled(lake, Shelf::Undated, undated).await?;
    tell(
        findings,
        format!("{} without a time", lake.table().name()),
        doubled,
    );
    Ok(())
}

fn tell(findings: &mut Findings, place: String, doubled: u64) {
    if doubled > 0 {
        let reason = format!("{doubled} rows have a key that another row has");
        findings.add(FindingKind::DoubledKey, place, reason);
    }
}

/// An event may come days after its own time: the window bounds the days from below alone by much.
fn is_wanted(day: i32, window: Window) -> bool {
    let number = |at: chrono::DateTime<chrono::Utc>| at.timestamp().div_euclid(86_400);
    window
        .since
        .is_none_or(|since| number(since) <= i64::from(day))
        && window
            .until
            .is_none_or(|until| i64::from(day) <= number(until))
}

fn date(day: i32) -> String {
    let at = chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0);
    at.map_or_else(|| day.to_string(), |at| at.date_naive().to_string())
}

async fn doubled(lake: &LakeTable, shelf: Shelf, rows: u64) -> Result<u64, LoadError> {
    let rounds = rows.div_ceil(MOST_KEYS);
    let sql = query(lake.table(), &[shelf], None);
    let mut doubled = 0;
    for round in 0..u128::from(rounds) {
        let mut keys = HashSet::<Key>::new();
        let mut answer = lake.select(&sql).await.map_err(LoadError::Lake)?;
        while let Some(batch) = answer.try_next().await.map_err(LoadError::Lake)? {
            let found = keys_of(lake.table(), &batch, shelf == Shelf::Undated);
            for (_, key) in found.filter(|(_, key)| key.0 % u128::from(rounds) == round) {
                doubled += u64::from(!keys.insert(key));
            }
        }
    }
    Ok(doubled)
}
