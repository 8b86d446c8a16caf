//! What goes and what stays, on a real lake that a real loader has filled.

use std::collections::BTreeMap;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use chrono::TimeDelta;
use futures::TryStreamExt as _;
use postlake_raw::clock::Clock as _;
use proptest::prelude::*;

use super::super::tests::{World, noon};
use super::*;
use crate::books::{Progress, Window, verify};

fn retention(now: DateTime<Utc>, rules: Rules) -> Retention {
    Retention {
        rules,
        now,
        clock_is_right: false,
        dry_run: false,
    }
}

/// Rows of each day that stand in a table.
async fn rows_by_day(world: &World, table: Table) -> BTreeMap<i32, u64> {
    let table = world.lake.table(table).await.unwrap().unwrap();
    let mut rows = BTreeMap::new();
    for file in table.data_files().unwrap() {
        *rows.entry(file.day.unwrap()).or_default() += file.rows.unwrap();
    }
    rows
}

fn number(date: NaiveDate) -> i32 {
    i32::try_from((date - DateTime::UNIX_EPOCH.date_naive()).num_days()).unwrap()
}

/// What went and what is there are what came.
async fn gone_is_counted(world: &World, batches: usize) {
    let batches = i64::try_from(batches).unwrap();
    for (table, came) in [
        (Table::Events, 2),
        (Table::Quarantine, 1),
        (Table::Batches, 1),
    ] {
        let there = i64::try_from(world.rows(table).await).unwrap();
        let open = world.lake.table(table).await.unwrap().unwrap();
        let gone = open.expired().await.unwrap();
        assert_eq!(gone.rows + there, came * batches, "{}", table.name());
        if table == Table::Batches {
            let accounts = [gone.items, gone.events, gone.rejects, gone.duplicates];
            assert_eq!(accounts, [3, 2, 1, 0].map(|each| each * gone.rows));
        }
    }
}

fn rule() -> impl Strategy<Value = Option<u32>> {
    prop::option::of(0..8_u32)
}

/// A batch on each of these days, then the rules.
async fn kept(days: Vec<i64>, hour: i64, rules: Rules) {
    let mut world = World::new();
    for day in &days {
        world.clock.set(noon() + TimeDelta::days(*day));
        world.receive(2).await;
    }
    let now = world.clock.now() + TimeDelta::hours(hour);
    let dry = Retention {
        dry_run: true,
        ..retention(now, rules)
    };
    let planned = retain(&world.raw, &world.lake, &dry).await.unwrap();
    let done = retain(&world.raw, &world.lake, &retention(now, rules))
        .await
        .unwrap();
    assert_eq!(planned, done);
    gone_is_counted(&world, days.len()).await;
    let dates: Vec<NaiveDate> = days
        .iter()
        .map(|day| (noon() + TimeDelta::days(*day)).date_naive())
        .collect();
    let stays = |rule: Option<u32>| -> Vec<NaiveDate> {
        let old = |date: &NaiveDate| (now.date_naive() - *date).num_days();
        let stays = |date: &&NaiveDate| rule.is_none_or(|days| old(date) <= i64::from(days));
        dates.iter().filter(stays).copied().collect()
    };
    for (table, rows) in [
        (Table::Events, 2),
        (Table::Quarantine, 1),
        (Table::Batches, 1),
    ] {
        let expected: BTreeMap<i32, u64> = stays(rules.of(table))
            .into_iter()
            .map(|date| (number(date), rows))
            .collect();
        assert_eq!(
            rows_by_day(&world, table).await,
            expected,
            "{}",
            table.name()
        );
    }
    assert_eq!(world.raw.dates().await.unwrap(), stays(rules.raw));
    // What went is missing nowhere, and nobody brings it back.
    world.books_hold().await;
    let again = world.replayed().await;
    assert!(again.changes_nothing(), "{again:?}");
    world.books_hold().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]
    /// Nothing younger than its rule goes and nothing older stays.
    #[test]
    fn exactly_what_is_older_than_its_rule_goes(
        days in prop::collection::btree_set(0..8_i64, 1..6),
        hour in -12..24_i64,
        (raw, events, quarantine, batches) in (rule(), rule(), rule(), rule()),
    ) {
        let rules = Rules { raw, events, alerts: Some(3), quarantine, batches };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Hours before noon of the last day are after its begin.
        runtime.block_on(kept(days.into_iter().collect(), hour, rules));
    }
}

#[tokio::test]
async fn with_a_clock_that_jumped_nothing_goes_unless_somebody_says_so() {
    let mut world = World::new();
    world.receive(2).await;
    let rules = Rules {
        raw: Some(30),
        events: Some(30),
        ..Rules::default()
    };
    for jump in [TimeDelta::days(365), TimeDelta::days(-365)] {
        let refused = retain(&world.raw, &world.lake, &retention(noon() + jump, rules)).await;
        assert!(matches!(refused, Err(LoadError::Clock(_))), "{refused:?}");
    }
    assert_eq!(
        (
            world.rows(Table::Events).await,
            world.raw.dates().await.unwrap().len()
        ),
        (2, 1)
    );
    let sure = Retention {
        clock_is_right: true,
        ..retention(noon() + TimeDelta::days(365), rules)
    };
    let done = retain(&world.raw, &world.lake, &sure).await.unwrap();
    assert_eq!((done.tables[0].rows, done.raw.unwrap().segments), (2, 1));
    assert_eq!(
        (
            world.rows(Table::Events).await,
            world.raw.dates().await.unwrap().len()
        ),
        (0, 0)
    );
}

#[tokio::test]
async fn a_day_with_a_segment_that_is_not_loaded_stays_and_so_do_the_later_ones() {
    let mut world = World::new();
    for day in 0..4 {
        world.clock.set(noon() + TimeDelta::days(day));
        world.receive(1).await;
    }
    world.land_unloaded(noon() + TimeDelta::days(1)).await;
    let rules = Rules {
        raw: Some(0),
        ..Rules::default()
    };
    let now = world.clock.now();
    let done = retain(&world.raw, &world.lake, &retention(now, rules))
        .await
        .unwrap();
    let raw = done.raw.unwrap();
    let second = (noon() + TimeDelta::days(1)).date_naive();
    assert_eq!((raw.days.len(), raw.waits_for), (1, Some(second)));
    assert_eq!(world.raw.dates().await.unwrap().len(), 3);
    assert_eq!(world.raw.retired_before().await.unwrap(), Some(second));
}

#[tokio::test]
async fn the_books_hold_when_raw_days_went() {
    let mut world = World::new();
    for day in 0..4 {
        world.clock.set(noon() + TimeDelta::days(day));
        world.receive(3).await;
    }
    let rules = Rules {
        raw: Some(1),
        ..Rules::default()
    };
    let now = world.clock.now();
    retain(&world.raw, &world.lake, &retention(now, rules))
        .await
        .unwrap();
    let mut quiet = |_: &Progress| {};
    let found = verify(&world.raw, &world.lake, Window::default(), &mut quiet)
        .await
        .unwrap();
    assert_eq!(found.findings.faults(), 0, "{:?}", found.findings.kept());
    assert_eq!(found.segments, 2);
    // What comes afterwards is loaded as ever.
    world.receive(3).await;
    world.books_hold().await;
}

/// What `batches` says of duplicates, with its flags, in the order of receipt.
async fn duplicates(world: &World) -> Vec<(i64, Option<String>)> {
    let sql = "SELECT duplicates, arrow_cast(flags, 'Utf8') FROM batches ORDER BY received_at";
    let open = world.lake.table(Table::Batches).await.unwrap().unwrap();
    let rows: Vec<_> = open.select(sql).await.unwrap().try_collect().await.unwrap();
    let rows = rows.iter().flat_map(|rows| {
        let counts = rows.column(0).as_primitive::<Int64Type>();
        let flags = rows.column(1).as_string::<i32>().iter();
        let flags = flags.map(|flags| flags.map(str::to_owned));
        counts
            .values()
            .iter()
            .copied()
            .zip(flags)
            .collect::<Vec<_>>()
    });
    rows.collect()
}

#[tokio::test]
async fn what_comes_again_of_a_day_that_went_is_no_new_row() {
    let mut world = World::new();
    for day in 0..6 {
        world.clock.set(noon() + TimeDelta::days(day));
        world.receive(2).await;
    }
    let rules = Rules {
        events: Some(2),
        ..Rules::default()
    };
    let now = world.clock.now();
    let done = retain(&world.raw, &world.lake, &retention(now, rules)).await;
    assert_eq!(done.unwrap().tables[0].rows, 6);
    // Of a day that went, and of one that did not.
    world.clock.set(now + TimeDelta::hours(1));
    world.resend(0, noon(), 2).await;
    world.clock.set(now + TimeDelta::hours(2));
    world.resend(5, now, 2).await;
    assert_eq!(world.rows(Table::Events).await, 6);
    let accounts = duplicates(&world).await;
    let flag = Some("day_expired".to_owned());
    assert_eq!(accounts[6..], [(2, flag), (2, None)]);
    assert_eq!(world.books_hold().await.expired_items, 6);
    // A replay of all of it, or of the resend alone, takes nobody for the first.
    let all = world.replayed().await;
    assert!(all.changes_nothing(), "{all:?}");
    assert_eq!(all.expired, 6);
    assert_eq!(duplicates(&world).await, accounts);
    let gone = world.lake.table(Table::Events).await.unwrap().unwrap();
    assert_eq!(gone.expired().await.unwrap().rows, 6);
}

#[tokio::test]
async fn the_day_that_is_kept_from_never_goes_back() {
    let mut world = World::new();
    for day in 0..4 {
        world.clock.set(noon() + TimeDelta::days(day));
        world.receive(1).await;
    }
    let now = world.clock.now();
    for days in [1, 3, 0] {
        let rules = Rules {
            events: Some(days),
            ..Rules::default()
        };
        let before = world.lake.table(Table::Events).await.unwrap().unwrap();
        let before = before.kept_from().await.unwrap();
        retain(&world.raw, &world.lake, &retention(now, rules))
            .await
            .unwrap();
        let after = world.lake.table(Table::Events).await.unwrap().unwrap();
        let after = after.kept_from().await.unwrap();
        assert!(after.is_some() && after >= before, "{after:?} {before:?}");
    }
}
