use postlake_event::schema::Table;
use serde_json::json;

use super::*;
use crate::fixture::{Memory, at as moment, small_lake};
use crate::sql::SqlLimits;

#[tokio::test]
async fn the_books_of_a_small_lake_balance() {
    let summary = summary(&small_lake().engine(SqlLimits::remote()))
        .await
        .unwrap();
    assert_eq!(
        summary.totals,
        Totals {
            batches: 2,
            bytes: 3_500,
            items: 14,
            events: 8,
            alerts: 4,
            duplicates: 1,
            rejects: 1,
        }
    );
    assert_eq!(
        summary.rows,
        Rows {
            events: 8,
            alerts: 4,
            quarantine: 1,
            damaged_segments: 0,
        }
    );
    assert!(summary.books.balanced);
    assert_eq!(
        summary.newest,
        Newest {
            received_at: Some(moment("2026-03-02T08:59:50Z")),
            loaded_at: Some(moment("2026-03-02T08:59:52Z")),
            load_lag_ms: Some(2_000),
        }
    );
    insta::assert_snapshot!(serde_json::to_string_pretty(&summary).unwrap());
}

#[tokio::test]
async fn a_lost_row_shows_in_the_books() {
    let lake = small_lake();
    lake.add(
        Table::Batches,
        &[json!({"source": "events", "items": 3, "events": 2, "stream": "t"})],
    );
    let engine = lake.engine(SqlLimits::remote());
    let tables = engine.tables().await.unwrap();
    let (_, summary) = at(&engine, &tables).await.unwrap();
    assert_eq!(
        summary.books,
        Books {
            balanced: false,
            unaccounted_items: 1,
            events_difference: -2,
            alerts_difference: 0,
            quarantine_difference: 0,
        }
    );
}

#[tokio::test]
async fn an_empty_lake_balances_at_zero() {
    let summary = summary(&Memory::empty().engine(SqlLimits::remote()))
        .await
        .unwrap();
    assert_eq!(summary.totals, Totals::default());
    assert!(summary.books.balanced);
    assert_eq!(summary.newest, Newest::default());
    assert_eq!(summary.versions, Versions::default());
}
