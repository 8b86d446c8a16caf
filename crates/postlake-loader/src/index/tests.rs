//! Keys of a real lake in a temporary directory.

use std::collections::BTreeMap;

use chrono::DateTime;
use postlake_event::decode::{BatchInput, Decoded, Decoder};
use postlake_event::key::Key;
use postlake_lake::{DataUrl, Lake};
use tempfile::TempDir;

use super::*;

/// Second 0 of a day in 2023.
const DAY: i64 = 1_699_920_000;
const HOUR: i64 = 3600;

fn shelf() -> Shelf {
    Shelf::Day(i32::try_from(DAY / 86_400).unwrap())
}

/// Deliveries of these seconds; the second is the id.
fn deliveries(seconds: impl IntoIterator<Item = i64>) -> Decoded {
    let items = seconds.into_iter().map(|second| {
        format!(
            r#"{{"msys":{{"message_event":{{"type":"delivery","event_id":"{second}","timestamp":"{second}"}}}}}}"#
        )
    });
    let body = format!("[{}]", items.collect::<Vec<_>>().join(","));
    let mut decoder = Decoder::new();
    decoder.decode(&BatchInput {
        source: "events",
        received_at: DateTime::from_timestamp(DAY, 0).unwrap(),
        batch_id: None,
        content_encoding: None,
        body: body.as_bytes(),
        stream: "s",
        segment: 1,
        batch_index: 0,
    });
    decoder.finish().unwrap()
}

struct World {
    lake: LakeTable,
    folder: TempDir,
}

impl World {
    /// A file of ten rows for each of `hours` hours.
    async fn of_hours(hours: i64) -> World {
        let folder = TempDir::new().unwrap();
        let url = DataUrl::parse(folder.path().to_str().unwrap()).unwrap();
        let lake = Lake::open(&url).unwrap();
        lake.create_missing().await.unwrap();
        let mut lake = lake.table(Table::Events).await.unwrap().unwrap();
        for hour in 0..hours {
            let start = DAY + hour * HOUR;
            let rows = deliveries(start..start + 10).events;
            lake.append(vec![rows], &BTreeMap::new()).await.unwrap();
        }
        World { lake, folder }
    }

    fn index(&self, limits: KeyLimits) -> KeyIndex {
        KeyIndex::new(Table::Events, limits, self.folder.path())
    }

    /// How many of the rows are new to the index.
    async fn new_rows(&self, index: &mut KeyIndex, seconds: &[i64]) -> usize {
        let Decoded {
            events,
            event_identities,
            ..
        } = deliveries(seconds.iter().copied());
        index
            .prepare(&self.lake, &events, &event_identities)
            .await
            .unwrap();
        let new = event_identities
            .iter()
            .filter(|identity| index.insert(identity).unwrap());
        new.count()
    }
}

#[test]
fn a_key_is_new_once() {
    let folder = TempDir::new().unwrap();
    let mut index = KeyIndex::new(Table::Events, KeyLimits::default(), folder.path());
    let dated = Identity {
        key: Key(1),
        day: 5,
        undated: false,
        batch: 0,
        item_index: 0,
    };
    assert!(index.insert(&dated).unwrap());
    assert!(!index.insert(&dated).unwrap());
    let undated = Identity {
        undated: true,
        ..dated
    };
    assert!(index.insert(&undated).unwrap());
}

#[tokio::test]
async fn a_late_row_reads_the_files_of_its_time_until_the_whole_is_cheaper() {
    let world = World::of_hours(20).await;
    let mut index = world.index(KeyLimits::default());
    let mut passes = 0;
    loop {
        index.begin_pass().unwrap();
        let third = DAY + 3 * HOUR;
        let (known, fresh) = (third + 1, third + 100 + passes);
        assert_eq!(world.new_rows(&mut index, &[known, fresh]).await, 1);
        // A key of this very pass is known, though the lake does not hold it yet.
        assert_eq!(world.new_rows(&mut index, &[known, fresh]).await, 0);
        passes += 1;
        if index.shelves[&shelf()].whole {
            break;
        }
        // One file of ten rows.
        assert_eq!(index.joined[&shelf()], passes as u64 * 10);
    }
    assert_eq!(passes, 21);
    assert_eq!(index.loose(), 201);
}

#[tokio::test]
async fn a_day_that_is_too_large_to_be_kept_is_read_for_each_pass() {
    let world = World::of_hours(10).await;
    let all: Vec<i64> = (0..10)
        .flat_map(|hour| (0..12).map(move |at| DAY + hour * HOUR + at))
        .collect();
    for limits in [
        KeyLimits {
            loose: 50,
            filter_bytes: 0,
            disk_bytes: 0,
        },
        KeyLimits {
            loose: 5,
            filter_bytes: 0,
            disk_bytes: 500,
        },
    ] {
        let mut index = world.index(limits);
        for _ in 0..3 {
            index.begin_pass().unwrap();
            assert_eq!(index.loose(), 0);
            assert_eq!(index.runs.disk_bytes(), 0);
            assert_eq!(world.new_rows(&mut index, &all).await, 20);
            assert_eq!(world.new_rows(&mut index, &all).await, 0);
        }
    }
}

#[tokio::test]
async fn keys_beyond_memory_lie_on_the_disk() {
    let world = World::of_hours(10).await;
    let limits = KeyLimits {
        loose: 20,
        filter_bytes: 1 << 10,
        disk_bytes: 1 << 20,
    };
    let mut index = world.index(limits);
    let all: Vec<i64> = (0..10)
        .flat_map(|hour| (0..12).map(move |at| DAY + hour * HOUR + at))
        .collect();
    index.begin_pass().unwrap();
    assert_eq!(world.new_rows(&mut index, &all).await, 20);
    assert!(index.shelves[&shelf()].whole && index.runs.disk_bytes() >= 80 * KEY_BYTES);
    index.begin_pass().unwrap();
    assert_eq!(world.new_rows(&mut index, &all).await, 0);
    assert!(index.loose() <= 20);
}

#[test]
fn idle_days_are_let_go_beyond_the_limit_and_never_those_in_use() {
    let folder = TempDir::new().unwrap();
    for disk_bytes in [0, 4 * KEY_BYTES] {
        let limits = KeyLimits {
            loose: 3,
            filter_bytes: 0,
            disk_bytes,
        };
        let mut index = KeyIndex::new(Table::Events, limits, folder.path());
        for day in [1, 2] {
            index.begin_pass().unwrap();
            for key in 0..3 {
                let identity = Identity {
                    key: Key(key << 8 | day as u128),
                    day,
                    undated: false,
                    batch: 0,
                    item_index: 0,
                };
                assert!(index.insert(&identity).unwrap());
            }
            index.spill().unwrap();
            assert!(index.shelves.contains_key(&Shelf::Day(day)));
        }
        index.begin_pass().unwrap();
        let left: Vec<_> = index.shelves.keys().copied().collect();
        assert_eq!(left, [Shelf::Day(2)], "{disk_bytes} bytes of disk");
    }
}

#[test]
fn sizes_follow_from_what_the_log_says() {
    let file = |day, rows, seconds, flagged| DataFile {
        day: Some(day),
        rows: Some(rows),
        seconds,
        flagged: Some(flagged),
    };
    let files = [
        file(1, 10, Some((100, 200)), 0),
        file(1, 20, Some((200, 300)), 3),
        file(1, 40, None, 0),
        file(2, 80, Some((100, 200)), 1),
    ];
    let mut wanted = Wanted::default();
    wanted.add(Key(1), Some(150_000_000));
    let size = |shelf| Size::of(shelf, &files, &wanted);
    assert_eq!(
        size(Shelf::Day(1)),
        Size {
            whole: 70,
            overlap: 50
        }
    );
    assert_eq!(
        size(Shelf::Day(3)),
        Size {
            whole: 0,
            overlap: 0
        }
    );
    assert_eq!(
        size(Shelf::Undated),
        Size {
            whole: 4,
            overlap: 4
        }
    );
}
