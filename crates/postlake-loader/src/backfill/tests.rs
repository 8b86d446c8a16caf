//! A sink that remembers, filled from lakes whose logs tell everything or not.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use postlake_event::sink::{Checkpoint, SinkError, Taken};

use super::*;
use crate::books::tests::{loaded, relaid, rows};
use crate::deliver::deliver_pending;
use crate::index::KeyLimits;
use crate::pass::tests::{World, body, event, noon};
use crate::replay::{Choice, Replay};
use crate::upkeep::Rules;

/// Keeps what it is given by version, as a sink of files does.
#[derive(Debug, Default)]
struct Memory {
    kept: Mutex<BTreeMap<u64, Vec<String>>>,
    checkpoint: Mutex<Option<Checkpoint>>,
    /// Deliveries that it takes before it fails.
    takes: Mutex<Option<u64>>,
    /// The checkpoint that somebody else writes after the next look at it.
    overtaken_by: Mutex<Option<Checkpoint>>,
}

impl Memory {
    fn ids(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        let mut ids: Vec<_> = kept.values().flatten().cloned().collect();
        ids.sort();
        ids
    }
}

#[async_trait]
impl Sink for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn tables(&self) -> &[Table] {
        &[Table::Events]
    }

    async fn checkpoint(&self, _table: Table) -> Result<Option<Checkpoint>, SinkError> {
        let held = self.checkpoint.lock().unwrap().clone();
        if let Some(other) = self.overtaken_by.lock().unwrap().take() {
            *self.checkpoint.lock().unwrap() = Some(other);
        }
        Ok(held)
    }

    async fn advance(&self, _table: Table, checkpoint: &Checkpoint) -> Result<(), SinkError> {
        *self.checkpoint.lock().unwrap() = Some(checkpoint.clone());
        Ok(())
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Taken, SinkError> {
        if let Some(takes) = self.takes.lock().unwrap().as_mut() {
            if *takes == 0 {
                return Err(SinkError::new("take rows", "enough for now"));
            }
            *takes -= 1;
        }
        let mut ids = Vec::new();
        for rows in delivery.rows {
            assert_eq!(rows.schema(), Table::Events.schema());
            let column = rows.column_by_name("event_id").unwrap();
            let column = arrow::array::AsArray::as_string::<i32>(column.as_ref());
            ids.extend(column.iter().map(|id| id.unwrap().to_owned()));
        }
        let version = delivery.checkpoint.version;
        self.kept.lock().unwrap().insert(version, ids);
        self.advance(delivery.table, delivery.checkpoint).await?;
        Ok(Taken::default())
    }
}

async fn filled(world: &World, sink: &Memory) -> Result<Delivered, LoadError> {
    let mut delivered = Delivered::default();
    let ended = backfill(&world.lake, sink, &mut delivered, &mut |_| ()).await;
    ended.map(|()| delivered)
}

async fn pending(world: &World, sink: &Memory) -> Result<(), LoadError> {
    deliver_pending(&world.lake, sink, &mut Delivered::default()).await
}

fn ids(last: u64) -> Vec<String> {
    let mut ids: Vec<_> = (1..=last).map(|id| id.to_string()).collect();
    ids.sort();
    ids
}

/// A lake with a row taken away: what the log tells from its beginning is not what the lake holds.
async fn corrected() -> World {
    let world = loaded().await;
    let events = rows(&world, Table::Events).await;
    let doubled = relaid(&world, Table::Events, |_| true).await;
    crate::books::tests::append(&doubled, Table::Events, events).await;
    let replay = Replay {
        raw: doubled.raw.clone(),
        lake: doubled.lake.clone(),
        now: noon(),
        keys: KeyLimits::default(),
        rules: Rules::default(),
        dry_run: false,
    };
    let report = replay.run(&Choice::default(), &mut |_| ()).await.unwrap();
    assert_eq!(report.removed, 4);
    doubled
}

#[tokio::test]
async fn a_log_that_tells_everything_is_followed() {
    let world = loaded().await;
    let sink = Memory::default();
    assert_eq!(filled(&world, &sink).await.unwrap().rows, 4);
    assert_eq!(sink.ids(), ids(4));
    assert_eq!(filled(&world, &sink).await.unwrap().rows, 0);
}

#[tokio::test]
async fn what_the_log_no_longer_tells_comes_from_the_lake_as_it_is() {
    let mut world = corrected().await;
    let sink = Memory::default();
    // A server's rounds must not begin with rows that were taken away since.
    let refused = pending(&world, &sink).await.unwrap_err();
    assert!(
        matches!(refused, LoadError::NeedsBackfill { .. }),
        "{refused}"
    );
    assert_eq!(filled(&world, &sink).await.unwrap().rows, 4);
    assert_eq!(sink.ids(), ids(4));
    // From there on the log is followed.
    world.next = 3;
    world.land(&[&body(&[event(5)])]).await;
    world.loader().pass().await.unwrap();
    pending(&world, &sink).await.unwrap();
    assert_eq!(sink.ids(), ids(5));
}

#[tokio::test]
async fn a_backfill_that_was_broken_off_goes_on_and_nobody_else_delivers_meanwhile() {
    let mut world = corrected().await;
    let sink = Memory::default();
    *sink.takes.lock().unwrap() = Some(0);
    filled(&world, &sink).await.unwrap_err();
    assert_eq!(sink.ids(), [""; 0]);
    *sink.takes.lock().unwrap() = None;
    // As if it had ended after the first piece.
    let open = world.lake.table(Table::Events).await.unwrap().unwrap();
    let filling = Filling::new(open.id().unwrap(), open.version());
    let mut pieces = Pieces::new(&open).unwrap();
    let rows = pieces.next().await.unwrap().unwrap();
    let first = Delivery {
        table: Table::Events,
        checkpoint: &filling.at(0),
        rows: &rows,
    };
    sink.deliver(first).await.unwrap();
    world.next = 3;
    world.land(&[&body(&[event(5)])]).await;
    world.loader().pass().await.unwrap();
    let refused = pending(&world, &sink).await.unwrap_err();
    assert!(matches!(refused, LoadError::HalfFilled { .. }), "{refused}");
    filled(&world, &sink).await.unwrap();
    assert_eq!(sink.ids(), ids(5));
}

#[tokio::test]
async fn an_emptied_sink_of_another_lake_is_refused() {
    let (world, other) = (corrected().await, corrected().await);
    let sink = Memory::default();
    let open = other.lake.table(Table::Events).await.unwrap().unwrap();
    let filling = Filling::new(open.id().unwrap(), open.version());
    sink.advance(Table::Events, &filling.at(0)).await.unwrap();
    let refused = filled(&world, &sink).await.unwrap_err();
    assert!(matches!(refused, LoadError::OtherLake { .. }), "{refused}");
}

#[tokio::test]
async fn two_backfills_at_once_are_not_mixed() {
    let world = corrected().await;
    let sink = Memory::default();
    let open = world.lake.table(Table::Events).await.unwrap().unwrap();
    // Another one has begun with an older version, since this one looked.
    let other = Filling::new(open.id().unwrap(), open.version() - 1);
    *sink.overtaken_by.lock().unwrap() = Some(other.at(0));
    let refused = filled(&world, &sink).await.unwrap_err();
    assert!(
        matches!(refused, LoadError::FilledByOthers { .. }),
        "{refused}"
    );
    assert!(refused.is_conflict());
    assert_eq!(sink.ids(), [""; 0]);
}
