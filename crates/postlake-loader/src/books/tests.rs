//! The books of a small lake, and what is said when something in it is broken on purpose.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, filter_record_batch};
use chrono::TimeDelta;
use object_store::memory::InMemory;
use postlake_raw::{SegmentNumber, StreamName};

use super::*;
use crate::deep::verify_deep;
use crate::pass::tests::{World, body, event, noon};

/// Two segments: four events, a duplicate, a broken item, an alert; a ping.
pub(crate) async fn loaded() -> World {
    let mut world = World::new();
    let alert = r#"[{"alert_id":1,"metric":"health_score","name":"a","triggered_value":50,"triggered_at":"2026-03-01T11:00:00Z","filters":[]}]"#;
    let broken = body(&[event(3), "3".to_owned(), event(1)]);
    world.land(&[&body(&[event(1), event(2)]), alert]).await;
    world
        .land(&[&broken, r#"[{"msys":{}}]"#, &body(&[event(4)])])
        .await;
    world.loader().pass().await.unwrap();
    world
}

pub(crate) async fn verified(world: &World, window: Window) -> Verification {
    let mut told = 0;
    let mut watch = |_: &Progress| told += 1;
    let found = verify(&world.raw, &world.lake, window, &mut watch).await;
    assert!(told > 0);
    found.unwrap()
}

async fn kinds(world: &World) -> Vec<FindingKind> {
    let found = verified(world, Window::default()).await;
    let mut kinds: Vec<_> = found.findings.kept().iter().map(|one| one.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// All rows of a table, in its own types.
pub(crate) async fn rows(world: &World, table: Table) -> RecordBatch {
    let lake = world.lake.table(table).await.unwrap().unwrap();
    let mut batches = Vec::new();
    for version in 0..=lake.version() {
        batches.extend(lake.change(version).await.unwrap().batches);
    }
    concat_batches(&table.schema(), &batches).unwrap()
}

pub(crate) async fn append(world: &World, table: Table, rows: RecordBatch) {
    let mut lake = world.lake.table(table).await.unwrap().unwrap();
    lake.append(vec![rows], &BTreeMap::new()).await.unwrap();
}

#[tokio::test]
async fn a_lake_that_was_loaded_has_no_findings_and_a_ledger_by_the_hour() {
    let world = loaded().await;
    let found = verified(&world, Window::default()).await;
    assert_eq!(found.findings, Findings::default());
    assert_eq!((found.segments, found.damaged_segments), (2, 0));
    let hours: Vec<_> = found.hours.iter().collect();
    let expected = Hour {
        received_batches: 5,
        bytes: hours[0].1.bytes,
        received_items: 7,
        batches: 5,
        events: 4,
        alerts: 1,
        duplicates: 1,
        quarantined: 1,
        ..Hour::default()
    };
    assert_eq!(hours, [(noon(), &expected)]);
    assert!(expected.bytes > 0 && expected.balances());
}

#[tokio::test]
async fn a_window_looks_at_its_own_batches_alone() {
    let world = loaded().await;
    let hour = TimeDelta::hours(1);
    for (since, until, batches) in [
        (Some(noon()), None, 5),
        (None, Some(noon()), 0),
        (Some(noon() - hour), Some(noon() + hour), 5),
        (Some(noon() + hour), None, 0),
        (Some(noon() + TimeDelta::days(9)), None, 0),
    ] {
        let found = verified(&world, Window { since, until }).await;
        assert_eq!(found.findings, Findings::default(), "{since:?} {until:?}");
        assert_eq!(found.hours.total().batches, batches);
    }
}

#[tokio::test]
async fn what_waits_to_be_loaded_is_no_fault() {
    let mut world = World::new();
    world.land(&[&body(&[event(1), event(2)])]).await;
    for loaded_once in [false, true] {
        assert_eq!(kinds(&world).await, []);
        let total = verified(&world, Window::default()).await.hours.total();
        assert_eq!((total.waiting_batches, total.waiting_items), (1, 2));
        if !loaded_once {
            world.loader().pass().await.unwrap();
            assert_eq!(kinds(&world).await, []);
            world.land(&[&body(&[event(3), event(4)])]).await;
        }
    }
}

#[tokio::test]
async fn rows_that_stand_twice_are_named() {
    for (table, expected) in [
        (
            Table::Events,
            vec![
                FindingKind::OtherRows,
                FindingKind::DoubledItem,
                FindingKind::DoubledKey,
                FindingKind::UnbalancedHour,
            ],
        ),
        (
            Table::Quarantine,
            vec![
                FindingKind::OtherRows,
                FindingKind::DoubledItem,
                FindingKind::UnbalancedHour,
            ],
        ),
        (
            Table::Batches,
            vec![FindingKind::DoubledBatch, FindingKind::UnbalancedHour],
        ),
    ] {
        let world = loaded().await;
        let doubled = rows(&world, table).await;
        append(&world, table, doubled).await;
        assert_eq!(kinds(&world).await, expected, "{}", table.name());
    }
}

#[tokio::test]
async fn rows_from_nowhere_are_named_with_their_stream() {
    let world = loaded().await;
    let stranger = StreamName::from_parts(noon(), 99);
    let events = rows(&world, Table::Events).await;
    let schema = events.schema();
    let columns = schema.fields().iter().zip(events.columns());
    let columns = columns.map(|(field, column)| match field.name().as_str() {
        "stream" => std::sync::Arc::new(arrow::array::StringArray::from(vec![
            stranger.to_string();
            events.num_rows()
        ])),
        _ => std::sync::Arc::clone(column),
    });
    let columns = columns.collect::<Vec<arrow::array::ArrayRef>>();
    let events = RecordBatch::try_new(events.schema(), columns).unwrap();
    append(&world, Table::Events, events).await;
    let found = verified(&world, Window::default()).await;
    let nowhere = found.findings.kept().iter();
    let mut nowhere = nowhere.filter(|one| one.kind == FindingKind::RowsFromNowhere);
    let finding = nowhere.next().unwrap();
    assert!(
        finding.reason.contains(&stranger.to_string()),
        "{finding:?}"
    );
    assert_eq!(finding.place, "events");
}

/// A lake whose tables hold what is given.
pub(crate) async fn relaid(world: &World, table: Table, keep: impl Fn(usize) -> bool) -> World {
    let other = World::new();
    other.loader().backlog().await.unwrap();
    for each in Table::ALL {
        let mut all = rows(world, each).await;
        if each == table {
            let wanted = (0..all.num_rows()).map(|row| Some(keep(row)));
            all = filter_record_batch(&all, &wanted.collect()).unwrap();
        }
        let mut lake = other.lake.table(each).await.unwrap().unwrap();
        let positions = BTreeMap::from([(world.stream.to_string(), 2)]);
        lake.append(vec![all], &positions).await.unwrap();
    }
    World {
        raw: world.raw.clone(),
        ..other
    }
}

#[tokio::test]
async fn rows_that_are_lost_are_named() {
    let world = loaded().await;
    assert_eq!(
        kinds(&relaid(&world, Table::Events, |_| true).await).await,
        []
    );
    for table in [Table::Events, Table::Alerts, Table::Quarantine] {
        let relaid = relaid(&world, table, |row| row > 0).await;
        let expected = [FindingKind::OtherRows, FindingKind::UnbalancedHour];
        assert_eq!(kinds(&relaid).await, expected, "{}", table.name());
    }
    let relaid = relaid(&world, Table::Batches, |row| row > 0).await;
    let expected = [FindingKind::MissingBatch, FindingKind::UnbalancedHour];
    assert_eq!(kinds(&relaid).await, expected);
}

/// A raw store with some of the segments, changed.
pub(crate) async fn raw_of(
    world: &World,
    change: impl Fn(u64, Vec<u8>) -> Option<Vec<u8>>,
) -> RawStore {
    let raw = RawStore::new(std::sync::Arc::new(InMemory::new()));
    for number in 1..world.next {
        let key = world.key(number);
        let bytes = world.raw.read_bytes(&key).await.unwrap().to_vec();
        if let Some(bytes) = change(number, bytes) {
            raw.land(&key, bytes.into()).await.unwrap();
        }
    }
    raw
}

#[tokio::test]
async fn segments_that_are_damaged_or_gone_are_named() {
    let world = loaded().await;
    for number in [1, 2] {
        let gone = raw_of(&world, |each, bytes| (each != number).then_some(bytes)).await;
        let found = verify(&gone, &world.lake, Window::default(), &mut |_| ()).await;
        let found = found.unwrap().findings;
        let [finding] = found.kept() else {
            panic!("{found:?}");
        };
        assert_eq!(finding.kind, FindingKind::MissingSegment);
        assert_eq!(finding.place, world.key(number).to_string());
        let cut = raw_of(&world, |each, bytes| match each == number {
            true => Some(bytes[..bytes.len() - 1].to_vec()),
            false => Some(bytes),
        });
        let found = verify(&cut.await, &world.lake, Window::default(), &mut |_| ()).await;
        let found = found.unwrap();
        assert_eq!(found.damaged_segments, 1);
        let damaged = &found.findings.kept()[0];
        assert_eq!(damaged.kind, FindingKind::DamagedSegment);
        assert_eq!(damaged.place, world.key(number).to_string());
    }
}

#[tokio::test]
async fn a_segment_that_was_damaged_when_it_was_loaded_is_one_finding() {
    let mut world = World::new();
    world.land(&[&body(&[event(1)])]).await;
    let key = world.key(2);
    world.raw.land(&key, "not a segment".into()).await.unwrap();
    world.loader().pass().await.unwrap();
    assert_eq!(kinds(&world).await, [FindingKind::DamagedSegment]);
    let found = verified(&world, Window::default()).await.findings;
    assert_eq!(found.faults(), 1, "{found:?}");
}

#[tokio::test]
async fn another_body_under_the_same_name_is_named() {
    let world = loaded().await;
    let other = World::new();
    let mut other = World {
        raw: RawStore::new(std::sync::Arc::new(InMemory::new())),
        ..other
    };
    other
        .land(&[&body(&[event(9), event(8), event(7)]), "[]"])
        .await;
    let second = world.raw.read_bytes(&world.key(2)).await.unwrap();
    other.raw.land(&world.key(2), second).await.unwrap();
    let found = verify(&other.raw, &world.lake, Window::default(), &mut |_| ()).await;
    let found = found.unwrap().findings;
    let kinds: Vec<_> = found.kept().iter().map(|one| one.kind).collect();
    assert!(kinds.contains(&FindingKind::OtherBytes), "{found:?}");
    assert!(kinds.contains(&FindingKind::OtherItems), "{found:?}");
}

#[tokio::test]
async fn data_files_that_are_gone_cut_or_superfluous_are_named() {
    for (cut, kind) in [
        (None, FindingKind::MissingDataFile),
        (Some(0), FindingKind::DamagedDataFile),
        (Some(1), FindingKind::DamagedDataFile),
    ] {
        let world = loaded().await;
        let file = data_file(&world, "events");
        match cut {
            None => std::fs::remove_file(&file).unwrap(),
            Some(0) => std::fs::write(&file, "").unwrap(),
            Some(_) => {
                // The size stays and the footer is gone.
                let mut bytes = std::fs::read(&file).unwrap();
                let footer = bytes.len() - 40;
                bytes[footer..].fill(0);
                std::fs::write(&file, bytes).unwrap();
            }
        }
        let found = verified(&world, Window::default()).await.findings;
        let first = &found.kept()[0];
        assert_eq!(first.kind, kind, "{found:?}");
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(first.place.ends_with(name), "{found:?}");
        assert_eq!(found.faults(), 1, "{found:?}");
    }
}

#[tokio::test]
async fn a_data_file_that_is_damaged_inside_is_a_finding_and_no_error() {
    let world = loaded().await;
    let file = data_file(&world, "events");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[4..]
        .iter_mut()
        .take(2_000)
        .for_each(|byte| *byte ^= 0x55);
    std::fs::write(&file, bytes).unwrap();
    let kinds = kinds(&world).await;
    assert!(kinds.contains(&FindingKind::DamagedDataFile), "{kinds:?}");
}

#[tokio::test]
async fn what_lies_about_is_a_note_in_the_lake_and_a_finding_in_raw() {
    let world = loaded().await;
    let stray = data_file(&world, "events").with_file_name("left-behind.parquet");
    std::fs::write(stray, "x").unwrap();
    let found = verified(&world, Window::default()).await.findings;
    assert_eq!((found.kept().len(), found.faults()), (1, 0), "{found:?}");
    assert!(found.kept()[0].place.ends_with("left-behind.parquet"));
}

/// A data file of a table.
fn data_file(world: &World, table: &str) -> std::path::PathBuf {
    let folder = world.directory.path().join("lake").join(table);
    let days = std::fs::read_dir(folder).unwrap();
    let mut days = days.map(|day| day.unwrap().path());
    let day = days.find(|day| !day.ends_with("_delta_log")).unwrap();
    let mut files = std::fs::read_dir(day).unwrap();
    files.next().unwrap().unwrap().path()
}

#[test]
fn a_window_touches_the_days_beside_it() {
    let day = |text: &str| text.parse::<NaiveDate>().unwrap();
    let window = Window {
        since: Some(noon()),
        until: Some(noon()),
    };
    assert!(window.touches(day("2026-02-28")) && window.touches(day("2026-03-02")));
    // An import of a later day holds what was received then.
    assert!(!window.touches(day("2026-02-27")) && window.touches(day("2036-03-03")));
    assert!(SegmentNumber::new(1).is_ok() && Window::default().touches(day("1999-01-01")));
}

#[tokio::test]
async fn a_listing_that_is_late_accuses_nobody() {
    for hidden in [1, 2, 3] {
        let store = crate::moody::Moody::new();
        let mut world = World {
            raw: RawStore::new(std::sync::Arc::clone(&store) as _),
            ..World::new()
        };
        for id in 1..=3 {
            world.land(&[&body(&[event(id)])]).await;
        }
        world.loader().pass().await.unwrap();
        world.land(&[&body(&[event(4)])]).await;
        store.does_not_list(&world.key(hidden));
        let found = verified(&world, Window::default()).await;
        assert_eq!(found.findings, Findings::default(), "{hidden}");
        assert_eq!(found.segments, 4);
    }
}

#[tokio::test]
async fn days_that_are_let_go_meanwhile_are_missed_by_nobody() {
    let world = loaded().await;
    let retired = postlake_raw::Retired {
        before: noon().date_naive().succ_opt().unwrap(),
        at: noon(),
        rule: "raw = 0d".to_owned(),
    };
    let day = world.raw.stored_day(noon().date_naive()).await.unwrap();
    let (raw, looks) = (world.raw.clone(), std::cell::Cell::new(0));
    let (mark, gone) = (retired.clone(), day.clone());
    let mut watch = move |_: &Progress| {
        looks.set(looks.get() + 1);
        if looks.get() == 1 {
            // Retention goes on beside the first look.
            futures::executor::block_on(async {
                raw.retire(&mark).await.unwrap();
                raw.delete_day(noon().date_naive(), &gone).await.unwrap();
            });
        }
    };
    let found = verify(&world.raw, &world.lake, Window::default(), &mut watch).await;
    let found = found.unwrap().findings;
    assert_eq!(found.faults(), 0, "{found:?}");
}

#[tokio::test]
async fn a_page_that_the_books_do_not_need_is_read_when_somebody_asks() {
    let mut world = World::new();
    // What cannot be compressed, in a column of its own: most of the file.
    let mut state = 7_u64;
    let subject: String = (0..200_000)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'A' + u8::try_from((state >> 40) % 26).unwrap())
        })
        .collect();
    let item = format!(
        r#"{{"msys":{{"message_event":{{"type":"delivery","event_id":"1","timestamp":"1460989507","subject":"{subject}"}}}}}}"#
    );
    world.land(&[&body(&[item])]).await;
    world.loader().pass().await.unwrap();
    let file = data_file(&world, "events");
    let mut bytes = std::fs::read(&file).unwrap();
    let half = bytes.len() / 2;
    bytes[half - 500..half + 500]
        .iter_mut()
        .for_each(|byte| *byte ^= 0x55);
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(kinds(&world).await, []);
    let all = Window::default();
    let found = verify_deep(&world.raw, &world.lake, all, &mut |_| ()).await;
    let found = found.unwrap().findings;
    // A page has no sum: what was changed may decompress to something else.
    let kinds = [FindingKind::DamagedDataFile, FindingKind::OtherValues];
    assert!(kinds.contains(&found.kept()[0].kind), "{found:?}");
    let whole = loaded().await;
    let found = verify_deep(&whole.raw, &whole.lake, all, &mut |_| ()).await;
    assert_eq!(found.unwrap().findings, Findings::default());
}
