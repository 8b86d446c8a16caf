use std::time::Duration;

use datafusion::common::ScalarValue;
use futures::TryStreamExt as _;
use postlake_event::schema::Table;

use super::*;
use crate::fixture::{Memory, score, small_lake};
use crate::format::{self, Format};

async fn answer(engine: &SqlEngine, sql: &str) -> QueryAnswer {
    engine
        .query(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

fn csv(answer: &QueryAnswer) -> String {
    let mut out = Vec::new();
    format::write(&answer.schema, &answer.batches, Format::Csv, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

async fn refusal(engine: &SqlEngine, sql: &str) -> SqlError {
    match engine.query(sql).await {
        Err(error) => error,
        Ok(answer) => panic!("{sql} was answered: {}", csv(&answer)),
    }
}

#[tokio::test]
async fn bands_change_at_their_thresholds() {
    let lake = Memory::empty();
    for (number, value) in [54.9, 54.9994, 54.9996, 55.0, 79.9, 80.0]
        .into_iter()
        .enumerate()
    {
        let subaccount = i64::try_from(number).unwrap();
        lake.add(
            Table::Alerts,
            &[score(Some(subaccount), "2026-03-01T08:00:00Z", value)],
        );
    }
    let engine = lake.engine(SqlLimits::remote());
    let rows = answer(
        &engine,
        "select triggered_value, score, band from health_scores order by subaccount_id",
    )
    .await;
    insta::assert_snapshot!(csv(&rows), @"
    triggered_value,score,band
    54.9,54.9,bad
    54.9994,54.999,bad
    54.9996,55.0,needs_improvement
    55.0,55.0,needs_improvement
    79.9,79.9,needs_improvement
    80.0,80.0,good
    ");
}

#[tokio::test]
async fn only_raw_health_scores_are_scores() {
    let lake = Memory::empty();
    let mut change = score(Some(1), "2026-03-03T08:00:00Z", -12.0);
    change["source"] = "week_over_week".into();
    let mut rate = score(Some(1), "2026-03-03T08:00:00Z", 3.0);
    rate["metric"] = "hard_bounce_rate".into();
    let mut upper = score(Some(1), "2026-03-02T08:00:00Z", 70.0);
    upper["source"] = "Raw".into();
    lake.add(Table::Alerts, &[change, rate, upper]);
    let engine = lake.engine(SqlLimits::remote());
    let rows = answer(&engine, "select score from latest_health_scores").await;
    assert_eq!(csv(&rows), "score\n70.0\n");
}

#[tokio::test]
async fn the_latest_score_is_per_subaccount_and_facet() {
    let lake = Memory::empty();
    let mut pool = score(Some(5), "2026-03-01T08:00:00Z", 40.0);
    pool["facet_name"] = "ip_pool".into();
    pool["facet_value"] = "shared".into();
    lake.add(
        Table::Alerts,
        &[
            pool,
            score(Some(5), "2026-03-02T08:00:00Z", 60.0),
            score(Some(5), "2026-03-01T08:00:00Z", 90.0),
            score(None, "2026-03-01T08:00:00Z", 70.0),
            score(Some(0), "2026-03-01T08:00:00Z", 71.0),
        ],
    );
    let engine = lake.engine(SqlLimits::remote());
    let rows = answer(
        &engine,
        "select subaccount_id, facet_value, score from latest_health_scores order by score",
    )
    .await;
    insta::assert_snapshot!(csv(&rows), @"
    subaccount_id,facet_value,score
    5,shared,40.0
    5,,60.0
    ,,70.0
    0,,71.0
    ");
}

#[tokio::test]
async fn an_empty_lake_answers_with_no_rows_and_a_notice() {
    let engine = Memory::empty().engine(SqlLimits::remote());
    for table in Table::ALL.map(Table::name).into_iter().chain(VIEWS) {
        let rows = answer(&engine, &format!("select * from {table}")).await;
        assert_eq!(rows.rows(), 0, "{table}");
        assert_eq!(
            rows.notices,
            [
                "nothing was loaded yet: events, alerts, quarantine, batches do not exist and read as empty"
            ]
        );
    }
    let engine = small_lake().engine(SqlLimits::remote());
    assert!(answer(&engine, "select 1").await.notices.is_empty());
}

#[tokio::test]
async fn everything_but_one_reading_statement_is_refused() {
    let engine = small_lake().engine(SqlLimits::remote());
    let statements = [
        "create table t as select 1",
        "create view v as select 1",
        "create external table t stored as csv location '/etc/passwd'",
        "create schema s",
        "drop table events",
        "insert into events select * from events",
        "delete from events",
        "update events set reason = 'x'",
        "copy events to '/tmp/x.csv'",
        "copy (select 1) to '/tmp/x.csv'",
        "set datafusion.execution.batch_size = 1",
        "reset datafusion.execution.batch_size",
        "show all",
        "show datafusion.execution.batch_size",
        "begin",
        "prepare p as select 1",
        "explain select 1",
        "explain analyze select * from events",
        "select 1; select 2",
        "select 1; drop table events",
    ];
    for sql in statements {
        assert_eq!(
            refusal(&engine, sql).await.kind(),
            SqlErrorKind::Forbidden,
            "{sql}"
        );
    }
    let local = small_lake().engine(SqlLimits::local());
    assert!(answer(&local, "explain select * from events").await.rows() > 0);
    assert_eq!(
        refusal(&local, "explain drop table events").await.kind(),
        SqlErrorKind::Forbidden
    );
}

#[tokio::test]
async fn describing_is_reading() {
    let engine = small_lake().engine(SqlLimits::remote());
    let tables = csv(&answer(&engine, "show tables").await);
    for name in Table::ALL.map(Table::name).into_iter().chain(VIEWS) {
        assert!(tables.contains(name), "{name} in {tables}");
    }
    for sql in [
        "describe events",
        "show columns from latest_health_scores",
        "values (1), (2)",
        "with a as (select 1 as x) select * from a",
    ] {
        assert!(answer(&engine, sql).await.rows() > 0, "{sql}");
    }
}

#[tokio::test]
async fn faults_of_the_writer_are_named_with_a_suggestion() {
    let engine = small_lake().engine(SqlLimits::remote());
    let cases = [
        ("selec 1", SqlErrorKind::Syntax, ""),
        ("", SqlErrorKind::Syntax, "no statement"),
        (
            "select subacount_id from events",
            SqlErrorKind::Unknown,
            "subaccount_id",
        ),
        (
            "select * from event",
            SqlErrorKind::Unknown,
            "Did you mean 'events'?",
        ),
        (
            "select * from '/etc/passwd'",
            SqlErrorKind::Unknown,
            "No table",
        ),
        (
            "select * from 'file:///etc/passwd.csv'",
            SqlErrorKind::Unknown,
            "No table",
        ),
        (
            "select * from other.public.events",
            SqlErrorKind::Unknown,
            "No table",
        ),
        ("select 1/0", SqlErrorKind::Invalid, "division by zero"),
        ("select nosuch(1)", SqlErrorKind::Invalid, "nosuch"),
        ("select cast('x' as int)", SqlErrorKind::Invalid, "x"),
        (
            "select repeat('x', 1000000000)",
            SqlErrorKind::Invalid,
            "repeat",
        ),
        (
            "select * from events where subject",
            SqlErrorKind::Invalid,
            "",
        ),
    ];
    for (sql, kind, part) in cases {
        let error = refusal(&engine, sql).await;
        assert_eq!(error.kind(), kind, "{sql}: {error:?}");
        assert!(error.message().contains(part), "{sql}: {}", error.message());
    }
}

#[tokio::test]
async fn statements_at_the_limits_are_planned_without_ending_the_process() {
    let engine = small_lake().engine(SqlLimits::remote());
    let operators = SqlLimits::remote().max_operators;
    let sum = vec!["1"; operators + 1].join(" + ");
    let rows = answer(&engine, &format!("select {sum} as n")).await;
    assert_eq!(csv(&rows), format!("n\n{}\n", operators + 1));

    let either: Vec<String> = (0..operators / 2)
        .map(|n| format!("segment = {n}"))
        .collect();
    answer(
        &engine,
        &format!("select count(*) from events where {}", either.join(" or ")),
    )
    .await;

    let deep = SqlLimits::remote().max_depth;
    let nested = format!("select {}1{}", "(".repeat(deep), ")".repeat(deep));
    answer(&engine, &nested).await;
}

#[tokio::test]
async fn tables_that_double_at_each_step_are_refused() {
    let engine = small_lake().engine(SqlLimits::remote());
    let mut sql = "with c0 as (select 1 as x)".to_owned();
    for step in 1..30 {
        let before = step - 1;
        sql += &format!(", c{step} as (select a.x from c{before} a, c{before} b)");
    }
    sql += " select count(*) from c29";
    assert_eq!(refusal(&engine, &sql).await.kind(), SqlErrorKind::TooLarge);
}

#[tokio::test]
async fn long_answers_are_cut_and_say_so() {
    let limits = SqlLimits {
        max_rows: Some(3),
        ..SqlLimits::remote()
    };
    let engine = small_lake().engine(limits);
    let cut = answer(&engine, "select event_id from events order by event_id").await;
    assert_eq!((cut.rows(), cut.truncated), (3, true));
    assert_eq!(csv(&cut), "event_id\n1\n2\n3\n");
    let whole = answer(
        &engine,
        "select event_id from events order by event_id limit 3",
    )
    .await;
    assert_eq!((whole.rows(), whole.truncated), (3, false));

    let limits = SqlLimits {
        max_rows: None,
        max_answer_bytes: 100_000,
        ..SqlLimits::remote()
    };
    let engine = small_lake().engine(limits);
    let cut = answer(&engine, "select value from generate_series(1, 1000000)").await;
    assert!(cut.truncated && cut.rows() < 1_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_without_end_is_ended() {
    let limits = SqlLimits {
        max_elapsed: Some(Duration::from_millis(300)),
        ..SqlLimits::remote()
    };
    let engine = small_lake().engine(limits);
    let error = refusal(
        &engine,
        "select count(*) from generate_series(1, 100000000) a, generate_series(1, 1000000) b \
         where a.value % 7 = b.value % 11",
    )
    .await;
    assert_eq!(error.kind(), SqlErrorKind::Timeout, "{error:?}");
    assert!(error.message().contains("0.3 s"));
}

#[tokio::test]
async fn memory_is_bounded() {
    let limits = SqlLimits {
        max_memory_bytes: 1_000_000,
        ..SqlLimits::remote()
    };
    let engine = small_lake().engine(limits);
    let error = refusal(
        &engine,
        "select count(*) from (select value, count(*) from generate_series(1, 3000000) group by value)",
    )
    .await;
    assert_eq!(error.kind(), SqlErrorKind::TooLarge, "{error:?}");
}

#[tokio::test]
async fn too_many_at_once_are_told_to_wait() {
    let limits = SqlLimits {
        max_concurrent: 0,
        ..SqlLimits::remote()
    };
    let error = refusal(&small_lake().engine(limits), "select 1").await;
    assert_eq!(error.kind(), SqlErrorKind::Busy);
    assert!(error.kind().is_retryable());
}

#[tokio::test]
async fn placeholders_take_values_and_never_sql() {
    let engine = small_lake().engine(SqlLimits::remote());
    let naughty = ScalarValue::from("x' or 'a' = 'a");
    let none = engine
        .query_with("select * from events where reason = $1", vec![naughty])
        .await
        .unwrap();
    assert_eq!(none.rows(), 0);
    let some = engine
        .query_with(
            "select * from events where subaccount_id = $1 and \"type\" = $2",
            vec![ScalarValue::from(101_i64), ScalarValue::from("bounce")],
        )
        .await
        .unwrap();
    assert_eq!(some.rows(), 2);
}

#[tokio::test]
async fn a_stream_has_no_row_limit() {
    let limits = SqlLimits {
        max_rows: Some(1),
        ..SqlLimits::remote()
    };
    let engine = small_lake().engine(limits);
    let stream = engine
        .stream("select value from generate_series(1, 20000)")
        .await
        .unwrap();
    let batches: Vec<_> = stream.try_collect().await.unwrap();
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(rows, 20_000);
}
