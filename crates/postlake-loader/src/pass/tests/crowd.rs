//! Several loaders on one lake at the same time.

use super::*;

const LOADERS: usize = 5;
const SEGMENTS: u64 = 100;
/// Events of a segment; each has a few of the one before again.
const EVENTS: u64 = 12;
const AGAIN: u64 = 4;

/// Until a pass finds nothing; how often it was turned back and how many segments it loaded.
async fn load_all(mut loader: Loader) -> (u64, u64) {
    let (mut turned_back, mut segments) = (0, 0);
    loop {
        match loader.pass().await {
            Ok(report) if report.segments == 0 => return (turned_back, segments),
            Ok(report) => segments += report.segments,
            Err(error) => {
                assert!(error.is_conflict(), "{error:?}");
                turned_back += 1;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_loaders_on_one_backlog_load_each_segment_once() {
    let mut world = World::new();
    for segment in 0..SEGMENTS {
        let first = segment * (EVENTS - AGAIN);
        let items: Vec<_> = (first..first + EVENTS).map(event).collect();
        world.land(&[&body(&items)]).await;
    }
    let limits = PassLimits {
        segments: 7,
        ..PassLimits::default()
    };
    let loaders: Vec<_> = (0..LOADERS)
        .map(|_| tokio::spawn(load_all(world.loader_within(limits))))
        .collect();
    let mut segments = 0;
    for loader in loaders {
        segments += loader.await.unwrap().1;
    }
    assert_eq!(segments, SEGMENTS);
    let rows = (SEGMENTS * (EVENTS - AGAIN) + AGAIN) as i64;
    assert_eq!(world.counts().await, [rows, 0, 0, SEGMENTS as i64]);
    let sql = "SELECT count(DISTINCT event_id) FROM events";
    assert_eq!(world.number(sql).await, rows);
    world.books_balance().await;
}

#[tokio::test]
async fn a_loader_that_ends_in_a_pass_is_succeeded_by_the_one_beside_it() {
    let mut world = World::new();
    world.land(&[&body(&[event(1)])]).await;
    let mut standby = world.loader();
    standby.pass().await.unwrap();
    world.land(&[&body(&[event(2), event(1)]), ALERT]).await;
    world.land(&[&body(&[event(3)])]).await;
    cut_off_after(&world, PassLimits::default(), Some(Table::Alerts)).await;
    // Its first pass is turned back by what the other has left; the next one is right.
    assert!(standby.pass().await.unwrap_err().is_conflict());
    let report = standby.pass().await.unwrap();
    assert_eq!(
        (report.segments, report.events, report.duplicates),
        (2, 2, 1)
    );
    assert_eq!(world.counts().await, [3, 1, 0, 4]);
    world.books_balance().await;
}
