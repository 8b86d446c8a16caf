//! Replays over lakes that lack something, hold something twice, or hold what nobody would write today.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::TimeDelta;

use super::*;
use crate::books::tests::{append, loaded, raw_of, relaid, rows, verified};
use crate::pass::PassLimits;
use crate::pass::tests::{World, body, event, noon};

/// What `loaded` holds: items whose rows stand, and duplicates.
const SAME: u64 = 6;

async fn replayed(world: &World, choice: &Choice, dry_run: bool) -> ReplayReport {
    replayed_by(Rules::default(), world, choice, dry_run).await
}

async fn replayed_by(rules: Rules, world: &World, choice: &Choice, dry_run: bool) -> ReplayReport {
    let replay = Replay {
        raw: world.raw.clone(),
        lake: world.lake.clone(),
        now: noon() + TimeDelta::days(1),
        keys: KeyLimits::default(),
        rules,
        dry_run,
    };
    replay.run(choice, &mut |_| ()).await.unwrap()
}

async fn versions(world: &World) -> Vec<u64> {
    let mut versions = Vec::new();
    for table in Table::ALL {
        versions.push(world.lake.table(table).await.unwrap().unwrap().version());
    }
    versions
}

/// Every row of a table as text, sorted, without when it was loaded.
async fn export(world: &World, table: Table) -> Vec<String> {
    let lake = world.lake.table(table).await.unwrap().unwrap();
    let mut lines = Vec::new();
    for file in lake.stored_files().unwrap() {
        let batches = lake.rows_of(&file).await.unwrap();
        let batches: Vec<RecordBatch> = futures::TryStreamExt::try_collect(batches).await.unwrap();
        for batch in batches {
            let schema = batch.schema();
            let columns = schema.fields().iter().zip(batch.columns());
            let columns: Vec<_> = columns
                .filter(|(field, _)| field.name() != "loaded_at")
                .map(|(_, column)| {
                    let options = FormatOptions::default().with_null("NULL");
                    ArrayFormatter::try_new(column, &options).unwrap()
                })
                .collect();
            lines.extend((0..batch.num_rows()).map(|row| {
                let cells = columns.iter().map(|column| column.value(row).to_string());
                cells.collect::<Vec<_>>().join("|")
            }));
        }
    }
    lines.sort();
    lines
}

async fn exports(world: &World) -> Vec<Vec<String>> {
    let mut exports = Vec::new();
    for table in Table::ALL {
        exports.push(export(world, table).await);
    }
    exports
}

/// The replay says what it would do, does it, and a second one finds nothing to do; the lake holds what
/// it should.
async fn heals(broken: &World, right: &World, expected: ReplayReport) {
    let before = versions(broken).await;
    let would = replayed(broken, &Choice::default(), true).await;
    assert_eq!(versions(broken).await, before, "a dry run changes nothing");
    assert!(!would.changes_nothing());
    let did = replayed(broken, &Choice::default(), false).await;
    let expected = ReplayReport {
        segments: 2,
        batches: 5,
        items: 7,
        ..expected
    };
    assert_eq!(did, expected);
    assert_eq!(exports(broken).await, exports(right).await);
    let found = verified(broken, Window::default()).await.findings;
    assert_eq!(found.faults(), 0, "{found:?}");
    let again = replayed(broken, &Choice::default(), false).await;
    assert!(again.changes_nothing(), "{again:?}");
}

#[tokio::test]
async fn what_a_rule_let_go_is_not_brought_back() {
    let world = loaded().await;
    let mut events = world.lake.table(Table::Events).await.unwrap().unwrap();
    let gone = events.expire_before(i32::MAX).await.unwrap();
    assert!(gone.files_removed > 0);
    let rules = Rules {
        events: Some(0),
        ..Rules::default()
    };
    let report = replayed_by(rules, &world, &Choice::default(), false).await;
    assert!(report.changes_nothing(), "{report:?}");
    // The table remembers it when the rule is forgotten.
    let report = replayed(&world, &Choice::default(), false).await;
    assert!(report.changes_nothing(), "{report:?}");
    assert_eq!(report.expired, 4);
    // And the rule tells it of a table that was lost.
    let lost = relaid(&loaded().await, Table::Events, |_| false).await;
    let report = replayed_by(rules, &lost, &Choice::default(), true).await;
    assert!(report.changes_nothing(), "{report:?}");
    let report = replayed(&lost, &Choice::default(), true).await;
    assert_eq!((report.events_added, report.expired), (4, 0));
}

#[tokio::test]
async fn a_replay_of_what_is_right_changes_nothing() {
    let world = loaded().await;
    let before = versions(&world).await;
    let report = replayed(&world, &Choice::default(), false).await;
    let expected = ReplayReport {
        segments: 2,
        batches: 5,
        items: 7,
        same: SAME,
        duplicates: 1,
        ..ReplayReport::default()
    };
    assert_eq!(report, expected);
    assert!(report.changes_nothing());
    assert_eq!(versions(&world).await, before);
}

#[tokio::test]
async fn rows_that_were_lost_are_added_and_readers_of_the_log_get_them() {
    let world = loaded().await;
    for (place, table) in Table::ALL.into_iter().enumerate() {
        let broken = relaid(&world, table, |row| row > 0).await;
        let mut counts = [0; 4];
        counts[place] = 1;
        let [events_added, alerts_added, quarantined, accounts] = counts;
        let expected = ReplayReport {
            // Only rows of batches are no items.
            same: SAME - u64::from(table != Table::Batches),
            duplicates: 1,
            events_added,
            alerts_added,
            quarantined,
            accounts,
            ..ReplayReport::default()
        };
        heals(&broken, &world, expected).await;
        let lake = broken.lake.table(table).await.unwrap().unwrap();
        let change = lake.change(lake.version()).await.unwrap();
        let brought: usize = change.batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(brought, 1, "{}", table.name());
    }
}

#[tokio::test]
async fn a_table_that_is_gone_is_filled_again() {
    let world = loaded().await;
    let before = exports(&world).await;
    let gone = world.directory.path().join("lake").join("events");
    std::fs::remove_dir_all(gone).unwrap();
    let would = replayed(&world, &Choice::default(), true).await;
    assert_eq!((would.events_added, would.duplicates), (4, 1));
    let did = replayed(&world, &Choice::default(), false).await;
    assert_eq!((did.events_added, did.accounts), (4, 0));
    assert_eq!(exports(&world).await, before);
}

#[tokio::test]
async fn rows_that_stand_twice_stay_once() {
    for table in [
        Table::Events,
        Table::Alerts,
        Table::Quarantine,
        Table::Batches,
    ] {
        let (world, right) = (loaded().await, loaded().await);
        let all = rows(&world, table).await;
        let doubled = all.num_rows() as u64;
        append(&world, table, all).await;
        let is_items = matches!(table, Table::Events | Table::Alerts);
        let expected = ReplayReport {
            same: SAME,
            duplicates: 1,
            removed: if is_items { doubled } else { 0 },
            released: if table == Table::Quarantine {
                doubled
            } else {
                0
            },
            accounts: if table == Table::Batches { doubled } else { 0 },
            ..ReplayReport::default()
        };
        heals(&world, &right, expected).await;
    }
}

/// The rows with one column changed.
fn with_column(rows: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns());
    let columns = columns.map(|(field, old)| match field.name() == name {
        true => Arc::clone(&column),
        false => Arc::clone(old),
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

/// A lake that holds these rows in place of its own.
async fn holding(world: &World, table: Table, changed: RecordBatch) -> World {
    let other = relaid(world, table, |_| false).await;
    append(&other, table, changed).await;
    other
}

#[tokio::test]
async fn rows_that_are_written_otherwise_today_are_replaced_and_told_to_nobody() {
    let world = loaded().await;
    let events = rows(&world, Table::Events).await;
    let reasons: StringArray = (0..4).map(|row| (row % 2 == 0).then_some("old")).collect();
    let events = with_column(&events, "reason", Arc::new(reasons));
    let broken = holding(&world, Table::Events, events).await;
    let expected = ReplayReport {
        same: SAME,
        duplicates: 1,
        replaced: 2,
        ..ReplayReport::default()
    };
    heals(&broken, &world, expected).await;
    let lake = broken.lake.table(Table::Events).await.unwrap().unwrap();
    let change = lake.change(lake.version()).await.unwrap();
    assert!(change.batches.is_empty(), "no sink gets a row twice");
}

#[tokio::test]
async fn rows_of_another_key_go_and_those_of_today_come() {
    let world = loaded().await;
    let events = rows(&world, Table::Events).await;
    let ids = StringArray::from(vec!["1", "2", "3", "other"]);
    let events = with_column(&events, "event_id", Arc::new(ids));
    let broken = holding(&world, Table::Events, events).await;
    let expected = ReplayReport {
        same: SAME - 1,
        duplicates: 1,
        removed: 1,
        events_added: 1,
        ..ReplayReport::default()
    };
    heals(&broken, &world, expected).await;
}

#[tokio::test]
async fn what_was_quarantined_and_can_be_read_today_becomes_a_row() {
    let world = loaded().await;
    // As if the last event had been rejected: a row of quarantine in place of one of events.
    let broken = relaid(&world, Table::Events, |row| row < 3).await;
    let event = rows(&world, Table::Events).await.slice(3, 1);
    let reject = rows(&world, Table::Quarantine).await;
    let of_event = |name: &str| Arc::clone(event.column_by_name(name).unwrap());
    let reject = with_column(&reject, "batch_index", of_event("batch_index"));
    let reject = with_column(&reject, "item_index", of_event("item_index"));
    append(&broken, Table::Quarantine, reject).await;
    let batches = rows(&broken, Table::Batches).await;
    let last = |name: &str, by: i64| -> ArrayRef {
        let column = batches.column_by_name(name).unwrap();
        let column = column.as_primitive::<Int64Type>().values();
        let rows = column.len() - 1;
        let changed = column.iter().enumerate();
        let changed = changed.map(|(row, count)| count + if row == rows { by } else { 0 });
        Arc::new(changed.collect::<Int64Array>())
    };
    let changed = with_column(&batches, "events", last("events", -1));
    let changed = with_column(&changed, "rejects", last("rejects", 1));
    let broken = holding(&broken, Table::Batches, changed).await;
    assert_eq!(
        verified(&broken, Window::default()).await.findings.faults(),
        0
    );
    let expected = ReplayReport {
        same: SAME - 1,
        duplicates: 1,
        events_added: 1,
        released: 1,
        accounts: 1,
        ..ReplayReport::default()
    };
    heals(&broken, &world, expected).await;
}

#[tokio::test]
async fn a_damaged_segment_whose_good_copy_is_back_is_loaded() {
    let good = loaded().await;
    let raw = raw_of(&good, |number, bytes| match number {
        2 => Some(b"damaged".to_vec()),
        _ => Some(bytes),
    });
    let world = World {
        raw: raw.await,
        ..World::new()
    };
    assert_eq!(world.loader().pass().await.unwrap().damaged_segments, 1);
    let damaged = replayed(&world, &Choice::default(), false).await;
    assert_eq!(damaged.damaged_segments, 1);
    assert!(damaged.changes_nothing());
    let world = World {
        raw: good.raw.clone(),
        ..world
    };
    let one = Choice::of_places([ItemPlace {
        segment: good.key(2),
        batch_index: None,
        item_index: None,
    }]);
    let report = replayed(&world, &one, false).await;
    assert_eq!(
        (report.segments, report.released, report.accounts),
        (1, 1, 3)
    );
    assert_eq!(exports(&world).await, exports(&good).await);
}

#[tokio::test]
async fn only_what_is_chosen_is_replayed() {
    let world = loaded().await;
    let broken = relaid(&world, Table::Events, |_| false).await;
    let batch = |number: u64, batch: i64| {
        Choice::of_places([ItemPlace {
            segment: world.key(number),
            batch_index: Some(batch),
            item_index: None,
        }])
    };
    let report = replayed(&broken, &batch(2, 2), false).await;
    assert_eq!((report.batches, report.events_added), (1, 1));
    let future = Choice {
        window: Window {
            since: Some(noon() + TimeDelta::hours(1)),
            until: None,
        },
        only: None,
    };
    let report = replayed(&broken, &future, false).await;
    assert_eq!((report.batches, report.events_added), (0, 0));
    let report = replayed(&broken, &batch(1, 0), false).await;
    assert_eq!((report.batches, report.events_added), (1, 2));
    let rest = replayed(&broken, &Choice::default(), false).await;
    assert_eq!((rest.batches, rest.events_added), (5, 1));
    assert_eq!(exports(&broken).await, exports(&world).await);
}

#[tokio::test]
async fn what_is_not_loaded_is_left_to_the_loader() {
    let mut world = loaded().await;
    world.land(&[&body(&[event(50)])]).await;
    let report = replayed(&world, &Choice::default(), false).await;
    assert_eq!(report.waiting_segments, 1);
    assert!(report.changes_nothing());
}

/// I8: whatever passes it takes, the same segments make the same lake.
#[tokio::test]
async fn everything_loaded_into_an_empty_lake_again_makes_the_same_rows() {
    let mut world = World::new();
    for number in 0..12 {
        let ids = [number * 2, number * 2 + 1, number, 1000 - number];
        let good = body(&ids.map(event));
        world.land(&[&good, "[3, nonsense]", &good]).await;
    }
    world.loader().pass().await.unwrap();
    let expected = exports(&world).await;
    for segments in [1, 5] {
        let again = World {
            raw: world.raw.clone(),
            ..World::new()
        };
        let limits = PassLimits {
            segments,
            ..PassLimits::default()
        };
        let mut loader = again.loader_within(limits);
        while loader.pass().await.unwrap().more {}
        assert_eq!(
            exports(&again).await,
            expected,
            "{segments} segments a pass"
        );
    }
}

#[test]
fn rows_taken_by_number_keep_their_order() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![10, 11, 12]));
    let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let wanted = filter_record_batch(&rows, &vec![true, false, true].into()).unwrap();
    assert_eq!(super::compare::taken(&rows, &[0, 2]).unwrap(), wanted);
}
