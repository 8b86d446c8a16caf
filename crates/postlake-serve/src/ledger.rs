//! The books by the hour, from the lake alone: what the loader says it did, and the rows that are there.
//!
//! Whether raw holds what `batches` says is for `postlake verify`, which reads the segments.

use arrow::array::RecordBatch;
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::common::ScalarValue;
use serde::{Deserialize, Serialize};

use crate::scores::instant;
use crate::sql::{Reader, SqlEngine, SqlError, rows};
use crate::summary::{RETAKE_PAUSE, RETAKES};

/// How far the ledger goes back when nobody says it.
const USUAL: TimeDelta = TimeDelta::days(7);

/// The books of the batches that were received in one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerHour {
    /// Its begin.
    pub hour: DateTime<Utc>,
    /// Rows of `batches`.
    pub batches: i64,
    /// Bytes of their bodies.
    pub bytes: i64,
    /// Items in them.
    pub items: i64,
    /// Items that became rows of `events`.
    pub events: i64,
    /// Items that became rows of `alerts`.
    pub alerts: i64,
    /// Items that were there already.
    pub duplicates: i64,
    /// Items that went to `quarantine`.
    pub rejects: i64,
    /// Raw segments that cannot be read: their batches are unknown, so no account holds them.
    pub damaged_segments: i64,
    /// Items minus (events + alerts + duplicates + rejects).
    pub unaccounted_items: i64,
    /// Rows of `events` minus the events of `batches`.
    pub events_difference: i64,
    /// Rows of `alerts` minus the alerts of `batches`.
    pub alerts_difference: i64,
    /// Rows of `quarantine` minus the rejects of `batches`.
    pub quarantine_difference: i64,
    /// All differences are zero.
    pub balanced: bool,
}

/// Which hours: those of batches received from `since` on and before `until`, the newest `limit`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Without it, a week before `until` or before the newest batch.
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) until: Option<DateTime<Utc>>,
    pub(crate) limit: usize,
}

/// The hours, newest first, as a record batch. A lake in the middle of a load pass is looked at again for
/// up to 1.5 s before books that do not balance are reported.
pub(crate) async fn ledger(
    engine: &SqlEngine,
    asked: Asked,
) -> Result<(Reader, RecordBatch), SqlError> {
    let mut tables = engine.tables().await?;
    let mut retakes = 0;
    loop {
        let reader = engine.reader(&tables).await?;
        let batch = ledger_batch(&reader, asked).await?;
        let hours: Vec<LedgerHour> = rows(&batch)?;
        if retakes >= RETAKES || hours.iter().all(|hour| hour.balanced) {
            return Ok((reader, batch));
        }
        retakes += 1;
        tokio::time::sleep(RETAKE_PAUSE).await;
        let versions = tables.versions();
        tables = engine.tables().await?;
        if tables.versions() == versions {
            // Nobody is in the middle of anything: it is as it is.
            return Ok((reader, batch));
        }
    }
}

/// The hours of the tables that the reader reads.
pub(crate) async fn ledger_batch(reader: &Reader, asked: Asked) -> Result<RecordBatch, SqlError> {
    let mut values = Vec::new();
    let mut condition = "true".to_owned();
    let mut bound = |comparison: &str, at: DateTime<Utc>| {
        values.push(instant(at));
        condition += &format!(" and received_at {comparison} ${}", values.len());
    };
    if let Some(until) = asked.until {
        bound("<", until);
    }
    match (asked.since, asked.until) {
        (Some(since), _) => bound(">=", since),
        (None, Some(until)) => bound(">=", until - USUAL),
        (None, None) => {
            condition += " and received_at >= coalesce((select max(received_at) from batches), to_timestamp_micros(0)) \
                 - interval '7 days'";
        }
    }
    values.push(ScalarValue::from(
        i64::try_from(asked.limit).unwrap_or(i64::MAX),
    ));
    let limit = values.len();
    reader.batch(&statement(&condition, limit), values).await
}

fn statement(condition: &str, limit: usize) -> String {
    let hour = "date_trunc('hour', received_at) as \"hour\"";
    let counted = |table: &str, column: &str, of: &str| {
        let columns = [
            "event_rows",
            "alert_rows",
            "reject_rows",
            "damaged_segments",
        ];
        let columns = columns.map(|each| if each == column { "count(*)" } else { "0" });
        format!(
            " union all select {hour}, 0, 0, 0, 0, 0, 0, 0, {} from {table} where {condition} and {of} group by 1",
            columns.join(", ")
        )
    };
    let parts = [
        counted("events", "event_rows", "true"),
        counted("alerts", "alert_rows", "true"),
        counted("quarantine", "reject_rows", "code <> 'segment'"),
        counted("quarantine", "damaged_segments", "code = 'segment'"),
    ];
    format!(
        "select \"hour\", batches, bytes, items, events, alerts, duplicates, rejects, damaged_segments, \
             items - events - alerts - duplicates - rejects as unaccounted_items, \
             event_rows - events as events_difference, alert_rows - alerts as alerts_difference, \
             reject_rows - rejects as quarantine_difference, \
             items = events + alerts + duplicates + rejects and event_rows = events \
                 and alert_rows = alerts and reject_rows = rejects as balanced \
         from (select \"hour\", sum(batches) as batches, sum(bytes) as bytes, sum(items) as items, \
                   sum(events) as events, sum(alerts) as alerts, sum(duplicates) as duplicates, \
                   sum(rejects) as rejects, sum(event_rows) as event_rows, sum(alert_rows) as alert_rows, \
                   sum(reject_rows) as reject_rows, sum(damaged_segments) as damaged_segments \
               from (select {hour}, count(*) as batches, sum(bytes) as bytes, sum(items) as items, \
                         sum(events) as events, sum(alerts) as alerts, sum(duplicates) as duplicates, \
                         sum(rejects) as rejects, 0 as event_rows, 0 as alert_rows, 0 as reject_rows, \
                         0 as damaged_segments \
                     from batches where {condition} group by 1{}) as parts \
               group by \"hour\") as hours \
         order by \"hour\" desc limit ${limit}",
        parts.concat()
    )
}

#[cfg(test)]
mod tests {
    use postlake_event::schema::Table;
    use serde_json::json;

    use super::*;
    use crate::fixture::{at, small_lake};
    use crate::sql::SqlLimits;

    async fn hours(lake: &std::sync::Arc<crate::fixture::Memory>, asked: Asked) -> Vec<LedgerHour> {
        let engine = lake.engine(SqlLimits::remote());
        let (_, batch) = ledger(&engine, asked).await.unwrap();
        rows(&batch).unwrap()
    }

    const ALL: Asked = Asked {
        since: None,
        until: None,
        limit: 100,
    };

    #[tokio::test]
    async fn the_hours_of_a_small_lake_balance() {
        let found = hours(&small_lake(), ALL).await;
        let [hour] = found[..] else {
            panic!("{found:?}");
        };
        assert!(hour.balanced, "{hour:?}");
        assert_eq!(hour.hour, at("2026-03-02T08:00:00Z"));
        let counts = [hour.batches, hour.items, hour.events, hour.alerts];
        assert_eq!(counts, [2, 14, 8, 4]);
        assert_eq!((hour.duplicates, hour.rejects), (1, 1));
    }

    #[tokio::test]
    async fn a_row_too_much_and_one_too_few_show_in_their_hours() {
        let lake = small_lake();
        let event = |hour: u32| json!({"received_at": format!("2026-03-02T{hour:02}:10:00Z")});
        lake.add(Table::Events, &[event(9), event(9)]);
        let batch = json!({"received_at": "2026-03-02T10:00:00Z", "items": 3, "events": 2});
        lake.add(Table::Batches, &[batch]);
        let segment = json!({"received_at": "2026-03-02T08:00:00Z", "code": "segment"});
        lake.add(Table::Quarantine, &[segment]);
        let found = hours(&lake, ALL).await;
        let found: Vec<_> = found
            .iter()
            .map(|hour| {
                (
                    hour.events_difference,
                    hour.unaccounted_items,
                    hour.balanced,
                )
            })
            .collect();
        assert_eq!(found, [(-2, 1, false), (2, 0, false), (0, 0, true)]);
        let damaged = hours(&lake, ALL).await.last().unwrap().damaged_segments;
        assert_eq!(damaged, 1);
    }

    #[tokio::test]
    async fn hours_are_chosen_by_time_and_number() {
        let lake = small_lake();
        let batch = |at: &str| json!({ "received_at": at });
        let days = ["2026-02-20T01:00:00Z", "2026-02-27T01:00:00Z"];
        lake.add(Table::Batches, &days.map(batch));
        let begins = async |since: Option<&str>, until: Option<&str>, limit| {
            let asked = Asked {
                since: since.map(at),
                until: until.map(at),
                limit,
            };
            let found = hours(&lake, asked).await;
            found
                .iter()
                .map(|hour| hour.hour.to_rfc3339())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let (newest, week, oldest) = (
            "2026-03-02T08:00:00+00:00",
            "2026-02-27T01:00:00+00:00",
            "2026-02-20T01:00:00+00:00",
        );
        assert_eq!(begins(None, None, 9).await, format!("{newest} {week}"));
        let old = Some("2026-01-01T00:00:00Z");
        assert_eq!(
            begins(old, None, 9).await,
            format!("{newest} {week} {oldest}")
        );
        assert_eq!(begins(old, None, 1).await, newest);
        let until = Some("2026-02-27T01:00:00Z");
        assert_eq!(begins(None, until, 9).await, oldest);
    }
}
