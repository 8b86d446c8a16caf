//! Damage to segments and to data files, and what is left of it.

use postlake_raw::{Batch, SegmentNumber, SourceKind};

use super::*;
use crate::books::tests::{loaded, verified};
use crate::books::{FindingKind, Window};
use crate::index::KeyLimits;
use crate::pass::tests::{World, body, event, noon};
use crate::replay::{Choice, Replay, ReplayReport};
use crate::upkeep::Rules;

async fn repaired(world: &World, dry_run: bool) -> RepairReport {
    let repair = Repair {
        raw: world.raw.clone(),
        lake: world.lake.clone(),
        now: noon(),
        who: "somebody".to_owned(),
        dry_run,
    };
    repair.run().await.unwrap()
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
