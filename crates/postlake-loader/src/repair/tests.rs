//! Damage to segments and to data files, and what is left of it.

use postlake_raw::{Batch, SegmentNumber, SourceKind};

use super::*;
use crate::books::tests::{loaded, raw_of, verified};
use crate::books::{FindingKind, Window};
use crate::index::KeyLimits;
use crate::pass::tests::{World, body, event, noon};
use crate::replay::{Choice, Replay, ReplayReport};
use crate::upkeep::Rules;

async fn repaired(world: &World, dry_run: bool) -> RepairReport {
    repair_of(world, dry_run).run().await.unwrap()
}

fn repair_of(world: &World, dry_run: bool) -> Repair {
    Repair {
        raw: world.raw.clone(),
        lake: world.lake.clone(),
        now: noon(),
        who: "somebody".to_owned(),
        dry_run,
    }
}

async fn replayed(world: &World) -> ReplayReport {
    let replay = Replay {
        raw: world.raw.clone(),
        lake: world.lake.clone(),
        now: noon(),
        keys: KeyLimits::default(),
        rules: Rules::default(),
        dry_run: false,
    };
    replay.run(&Choice::default(), &mut |_| ()).await.unwrap()
}

/// Two batches of a block each and more, the object cut within the second.
fn cut_segment(key: &SegmentKey) -> bytes::Bytes {
    let events = |first: u64| body(&(first..first + 3_000).map(event).collect::<Vec<_>>());
    let batch = |body: String| {
        let body = bytes::Bytes::from(body);
        Batch::new(SourceKind::Event, noon(), None, Vec::new(), body)
    };
    let batches = [batch(events(10_000)), batch(events(20_000))];
    let object = segment::encode(key, &batches).unwrap();
    object.slice(..object.len() * 9 / 10)
}

#[tokio::test]
async fn the_beginning_of_a_damaged_segment_is_copied_once_and_loaded() {
    let mut world = World::new();
    world.land(&[&body(&[event(1)])]).await;
    let key = world.key(2);
    let cut = cut_segment(&key);
    world.raw.land(&key, cut.clone()).await.unwrap();
    world.next = 3;
    world.land(&[&body(&[event(2)])]).await;
    world.loader().pass().await.unwrap();
    assert_eq!(world.counts().await, [2, 0, 1, 2]);

    let would = repaired(&world, true).await;
    assert_eq!(would.saved.len(), 1, "{would:?}");
    assert_eq!(
        world.raw.streams(noon().date_naive()).await.unwrap().len(),
        1
    );
    for _ in 0..2 {
        let report = repaired(&world, false).await;
        assert_eq!(report, would);
        world.loader().pass().await.unwrap();
        assert_eq!(world.counts().await, [3_002, 0, 1, 3]);
    }
    let saved = &would.saved[0];
    assert_eq!((saved.from, saved.batches), (key, 1));
    assert!(
        saved.faults[0].contains("behind byte"),
        "{:?}",
        saved.faults
    );
    // The damaged object is as it was, and told.
    assert_eq!(world.raw.read_bytes(&key).await.unwrap(), cut);
    let found = verified(&world, Window::default()).await.findings;
    assert_eq!(found.faults(), 0, "{found:?}");
    let note = &found.kept()[0];
    assert_eq!(
        (note.kind, &note.place),
        (FindingKind::Note, &key.to_string())
    );
}

#[tokio::test]
async fn what_cannot_be_repaired_is_said_and_left_alone() {
    let mut world = World::new();
    world.land(&[&body(&[event(1)])]).await;
    let nothing = world.key(2);
    world.raw.land(&nothing, "garbage".into()).await.unwrap();
    world.loader().pass().await.unwrap();
    let far = SegmentKey::new(world.stream, SegmentNumber::new(9).unwrap());
    world.raw.land(&far, "garbage".into()).await.unwrap();
    let report = repaired(&world, false).await;
    assert_eq!((report.saved.len(), report.data_files.len()), (0, 0));
    let [garbage, hole, behind] = &report.hopeless[..] else {
        panic!("{report:?}");
    };
    assert!(garbage.starts_with(&nothing.to_string()), "{garbage}");
    assert!(hole.contains("number 3: it is not there"), "{hole}");
    assert!(behind.starts_with(&far.to_string()), "{behind}");
}

#[tokio::test]
async fn data_files_that_are_gone_or_damaged_are_made_again_from_raw() {
    for table in ["events", "alerts", "quarantine", "batches"] {
        for damage in ["gone", "empty", "inside"] {
            let world = loaded().await;
            let counts = world.counts().await;
            let file = data_file(&world, table);
            match damage {
                "gone" => std::fs::remove_file(&file).unwrap(),
                "empty" => std::fs::write(&file, "").unwrap(),
                _ => {
                    let mut bytes = std::fs::read(&file).unwrap();
                    let middle = bytes.len() / 4;
                    bytes[4..middle].iter_mut().for_each(|byte| *byte ^= 0x55);
                    std::fs::write(&file, bytes).unwrap();
                }
            }
            let would = repaired(&world, true).await;
            let report = repaired(&world, false).await;
            assert_eq!(report, would, "{table} {damage}");
            let [name] = &report.data_files[..] else {
                panic!("{table} {damage}: {report:?}");
            };
            assert!(name.starts_with(&format!("lake/{table}/")), "{name}");
            assert!(!replayed(&world).await.changes_nothing());
            assert_eq!(world.counts().await, counts, "{table} {damage}");
            let found = verified(&world, Window::default()).await.findings;
            assert_eq!(found.faults(), 0, "{table} {damage}: {found:?}");
            assert_eq!(file.exists(), damage != "gone", "nothing is overwritten");
        }
    }
}

#[tokio::test]
async fn what_is_whole_is_left_alone() {
    let world = loaded().await;
    assert_eq!(repaired(&world, false).await, RepairReport::default());
    assert_eq!(world.raw.audit().await.unwrap(), []);
}

fn data_file(world: &World, table: &str) -> std::path::PathBuf {
    let folder = world.directory.path().join("lake").join(table);
    let days = std::fs::read_dir(folder).unwrap();
    let mut days = days.map(|day| day.unwrap().path());
    let day = days.find(|day| !day.ends_with("_delta_log")).unwrap();
    let mut files = std::fs::read_dir(day).unwrap();
    files.next().unwrap().unwrap().path()
}

#[tokio::test]
async fn a_segment_whose_account_has_gone_was_loaded_all_the_same() {
    let world = loaded().await;
    let mut batches = world.lake.table(Table::Batches).await.unwrap().unwrap();
    batches.expire_before(i32::MAX).await.unwrap();
    let damaged = raw_of(&world, |number, bytes| match number {
        2 => Some(bytes[..bytes.len() - 1].to_vec()),
        _ => Some(bytes),
    });
    let damaged = World {
        raw: damaged.await,
        ..world
    };
    let report = repaired(&damaged, false).await;
    assert_eq!(report.saved, [], "{report:?}");
    assert!(
        report.hopeless[0].contains("it was loaded before"),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_repair_that_was_broken_off_before_its_replay_is_made_up_for() {
    let world = loaded().await;
    let counts = world.counts().await;
    std::fs::remove_file(data_file(&world, "events")).unwrap();
    let repair = repair_of(&world, false);
    assert!(repair.run().await.unwrap().owes_replay);
    // It ended here, and nothing looks damaged any more.
    let again = repair.run().await.unwrap();
    assert!(
        again.owes_replay && again.data_files.is_empty(),
        "{again:?}"
    );
    replayed(&world).await;
    repair.finish().await.unwrap();
    assert_eq!(repair.run().await.unwrap(), RepairReport::default());
    assert_eq!(world.counts().await, counts);
    // The position is nobody else's: loading goes on.
    let found = verified(&world, Window::default()).await.findings;
    assert_eq!(found.faults(), 0, "{found:?}");
}

#[tokio::test]
async fn a_note_of_a_copy_that_never_came_excuses_nothing() {
    let mut world = World::new();
    world.land(&[&body(&[event(1)])]).await;
    let key = world.key(2);
    world.raw.land(&key, cut_segment(&key)).await.unwrap();
    world.loader().pass().await.unwrap();
    let note = AuditEntry {
        at: noon(),
        who: "somebody".to_owned(),
        what: DEED.to_owned(),
        to: vec![format!("{key} {} 1", key.salvaged())],
        why: None,
    };
    world.raw.note(&note).await.unwrap();
    let found = verified(&world, Window::default()).await.findings;
    assert_eq!(
        found.kept()[0].kind,
        FindingKind::DamagedSegment,
        "{found:?}"
    );
}

#[tokio::test]
async fn a_segment_that_the_disk_does_not_give_ends_neither_repair_nor_replay() {
    let store = crate::moody::Moody::new();
    let mut world = World {
        raw: RawStore::new(std::sync::Arc::clone(&store) as _),
        ..World::new()
    };
    for id in 1..=3 {
        world.land(&[&body(&[event(id)])]).await;
    }
    world.loader().pass().await.unwrap();
    store.does_not_read(&world.key(2));
    let report = repaired(&world, false).await;
    assert_eq!(report.unread.len(), 1, "{report:?}");
    assert!(report.unread[0].contains("0000000002"), "{report:?}");
    let report = replayed(&world).await;
    assert_eq!((report.unread_segments, report.segments), (1, 2));
}
