use postlake_event::schema::Table;

use super::*;
use crate::fixture::{Memory, at, score};
use crate::sql::SqlLimits;

async fn latest_of(rows: &[serde_json::Value]) -> Vec<ScoreRow> {
    let lake = Memory::empty();
    lake.add(Table::Alerts, rows);
    latest(&lake.engine(SqlLimits::remote())).await.unwrap()
}

#[tokio::test]
async fn worst_first_with_subjects_in_words() {
    let day = "2026-03-02T08:00:00Z";
    let rows = latest_of(&[
        score(Some(101), day, 91.5),
        score(None, day, 79.9),
        score(Some(0), day, 55.0),
        score(Some(7), day, 54.9),
    ])
    .await;
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (row.subject.as_str(), row.score, row.verdict.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("subaccount 7", 54.9, "bad"),
            ("primary account", 55.0, "needs improvement"),
            ("whole account", 79.9, "needs improvement"),
            ("subaccount 101", 91.5, "good"),
        ]
    );
    for row in rows {
        assert_eq!(row.band, row.band().name());
        assert_eq!(
            row.subject,
            Subaccount::from_column(row.subaccount_id).to_string()
        );
    }
}

#[tokio::test]
async fn the_change_is_against_the_utc_day_before() {
    let change_of = async |rows: &[serde_json::Value]| {
        let latest = latest_of(rows).await;
        assert_eq!(latest.len(), 1);
        (latest[0].change, latest[0].previous_score)
    };
    let newest = score(Some(1), "2026-03-03T07:20:00Z", 70.0);
    let before = |triggered_at: &str, value: f64| score(Some(1), triggered_at, value);

    let alone = change_of(std::slice::from_ref(&newest)).await;
    assert_eq!(alone, (None, None), "the first score has no change");

    let day_before = [newest.clone(), before("2026-03-02T08:31:00Z", 74.5)];
    assert_eq!(change_of(&day_before).await, (Some(-4.5), Some(74.5)));

    let twice_the_day_before = [
        newest.clone(),
        before("2026-03-02T07:00:00Z", 60.0),
        before("2026-03-02T23:59:59Z", 65.0),
    ];
    assert_eq!(
        change_of(&twice_the_day_before).await,
        (Some(5.0), Some(65.0))
    );

    let twice_today = [
        newest.clone(),
        before("2026-03-03T00:00:00Z", 10.0),
        before("2026-03-02T08:00:00Z", 68.0),
    ];
    assert_eq!(change_of(&twice_today).await, (Some(2.0), Some(68.0)));

    let gap = [newest, before("2026-03-01T23:59:59Z", 60.0)];
    assert_eq!(change_of(&gap).await, (None, None), "a gap is no change");
}

#[tokio::test]
async fn facets_have_scores_and_changes_of_their_own() {
    let facet = |triggered_at: &str, pool: &str, value: f64| {
        let mut row = score(Some(1), triggered_at, value);
        row["facet_name"] = "ip_pool".into();
        row["facet_value"] = pool.into();
        row
    };
    let rows = latest_of(&[
        score(Some(1), "2026-03-02T08:00:00Z", 90.0),
        facet("2026-03-01T08:00:00Z", "a", 50.0),
        facet("2026-03-02T08:00:00Z", "a", 40.0),
        facet("2026-03-02T08:00:00Z", "b", 60.0),
    ])
    .await;
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (row.facet_value.as_deref(), row.score, row.change))
        .collect();
    assert_eq!(
        shown,
        [
            (Some("a"), 40.0, Some(-10.0)),
            (Some("b"), 60.0, None),
            (None, 90.0, None),
        ]
    );
}

#[tokio::test]
async fn the_age_is_never_negative() {
    let rows = latest_of(&[score(None, "2026-03-02T08:00:00Z", 1.0)]).await;
    assert_eq!(
        rows[0].age(at("2026-03-02T09:30:00Z")),
        TimeDelta::minutes(90)
    );
    assert_eq!(rows[0].age(at("2026-03-02T07:00:00Z")), TimeDelta::zero());
}

#[tokio::test]
async fn an_empty_lake_has_no_scores() {
    let engine = Memory::empty().engine(SqlLimits::remote());
    assert_eq!(latest(&engine).await.unwrap(), []);
}

#[test]
fn scores_are_cut_and_not_rounded_into_another_band() {
    for (value, words) in [
        (79.96, "79.9"),
        (54.999, "54.9"),
        (64.1, "64.1"),
        (100.0, "100.0"),
        (0.0, "0.0"),
    ] {
        assert_eq!(shown(value), words);
    }
}
