//! What every sink has to keep, run against each of them: the fake ones and the real ones.
//!
//! A [`Destination`] outlives its writers. A test delivers a log to it, in whole or in pieces, with
//! calls that fail and writers that are killed, and compares what a reader finds in the end.

mod alerts;
mod flaky_store;

use std::ops::Range;

use arrow::array::RecordBatch;
use postlake_event::schema::Table;
use postlake_event::sink::{Checkpoint, Delivery, Sink, SinkError, Taken};
use postlake_testkit::seed::{dice, seed};
use rand::RngExt as _;

pub(crate) use alerts::{Entry, first_time, rows, score};
pub(crate) use flaky_store::StoreDestination;

/// When a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Nothing happens.
    Before,
    /// It has its effect, and nobody hears of it.
    After,
}

/// What sinks write to, with an eye that reads it.
pub(crate) trait Destination: Sync {
    /// A writer that knows nothing of those before it.
    fn sink(&self) -> Box<dyn Sink>;
    /// What readers find, checkpoints left out, in an order that does not depend on who wrote first.
    fn content(&self) -> impl Future<Output = Vec<String>>;
    /// Removes everything, checkpoints too.
    fn empty(&self) -> impl Future<Output = ()>;
    /// The call after so many others fails, and the writer is dead from then on. `None`: no more.
    fn break_at(&self, calls: Option<(usize, Break)>);
    /// How many rows are delivered to it, in each test of the contract; fewer where each takes long.
    fn rows(&self) -> usize {
        60
    }
    /// Rows that it can never take.
    fn poison(&self) -> Vec<Entry> {
        Vec::new()
    }
}

/// Versions of a table, as the lake has them.
pub(crate) struct Log {
    versions: Vec<RecordBatch>,
}

impl Log {
    pub(crate) fn of(entries: &[Entry]) -> Log {
        Log {
            versions: vec![rows(entries)],
        }
    }

    fn cut(entries: &[Entry], cuts: &[Range<usize>]) -> Log {
        let versions = cuts.iter().map(|cut| rows(&entries[cut.clone()])).collect();
        Log { versions }
    }

    fn at(version: usize) -> Checkpoint {
        Checkpoint {
            table_id: "the lake".to_owned(),
            version: version as u64,
        }
    }

    /// What the loader does: everything behind the sink's checkpoint.
    pub(crate) async fn deliver(&self, sink: &dyn Sink) -> Result<Taken, SinkError> {
        let held = sink.checkpoint(Table::Alerts).await?;
        let first = held.map_or(0, |held| usize::try_from(held.version).unwrap() + 1);
        let mut all = Taken::default();
        for version in first..self.versions.len() {
            all.refused += self.deliver_version(sink, version).await?.refused;
        }
        Ok(all)
    }

    /// Its one version, as the one of that number.
    pub(crate) async fn deliver_as(
        &self,
        sink: &dyn Sink,
        version: usize,
    ) -> Result<Taken, SinkError> {
        let delivery = Delivery {
            table: Table::Alerts,
            checkpoint: &Log::at(version),
            rows: &self.versions,
        };
        sink.deliver(delivery).await
    }

    async fn deliver_version(&self, sink: &dyn Sink, version: usize) -> Result<Taken, SinkError> {
        let checkpoint = Log::at(version);
        if self.versions[version].num_rows() == 0 {
            sink.advance(Table::Alerts, &checkpoint).await?;
            return Ok(Taken::default());
        }
        let delivery = Delivery {
            table: Table::Alerts,
            checkpoint: &checkpoint,
            rows: &self.versions[version..=version],
        };
        sink.deliver(delivery).await
    }

    fn last(&self) -> Checkpoint {
        Log::at(self.versions.len() - 1)
    }
}

/// The whole contract.
pub(crate) async fn keeps(destination: &impl Destination) {
    let seed = seed();
    let entries = alerts::some(&mut dice(seed, 1), destination.rows());
    delivering_twice_reads_once(destination, &entries).await;
    any_split_equals_the_whole(destination, &entries, seed).await;
    restarting_at_each_step_changes_nothing(destination, &entries[..entries.len() / 5]).await;
    two_writers_write_the_same(destination, &entries, seed).await;
    an_emptied_sink_is_filled_again(destination, &entries).await;
    a_poison_row_is_isolated(destination, &entries[..entries.len() / 2]).await;
    destination.empty().await;
}

async fn whole(destination: &impl Destination, entries: &[Entry]) -> Vec<String> {
    destination.empty().await;
    let log = Log::of(entries);
    log.deliver(destination.sink().as_ref()).await.unwrap();
    let content = destination.content().await;
    assert!(!content.is_empty());
    content
}

async fn delivering_twice_reads_once(destination: &impl Destination, entries: &[Entry]) {
    destination.empty().await;
    let third = entries.len() / 3;
    let log = Log::cut(entries, &[0..third, third..third, third..entries.len()]);
    let sink = destination.sink();
    assert_eq!(sink.checkpoint(Table::Alerts).await.unwrap(), None);
    log.deliver(sink.as_ref()).await.unwrap();
    let once = destination.content().await;
    let last = sink.checkpoint(Table::Alerts).await.unwrap();
    assert_eq!(last, Some(log.last()));
    for version in [1, 2, 0, 2] {
        log.deliver_version(sink.as_ref(), version).await.unwrap();
        assert_eq!(destination.content().await, once, "version {version}");
    }
}

async fn any_split_equals_the_whole(destination: &impl Destination, entries: &[Entry], seed: u64) {
    let expected = whole(destination, entries).await;
    for round in 0..8 {
        let mut dice = dice(seed, 100 + round);
        let mut cuts = vec![0, entries.len()];
        cuts.extend((0..dice.random_range(1..9)).map(|_| dice.random_range(0..entries.len())));
        cuts.sort_unstable();
        let ranges: Vec<_> = cuts.windows(2).map(|pair| pair[0]..pair[1]).collect();
        destination.empty().await;
        let log = Log::cut(entries, &ranges);
        log.deliver(destination.sink().as_ref()).await.unwrap();
        assert_eq!(destination.content().await, expected, "{ranges:?}");
    }
}

/// A writer dies in its first call, the next one in its second, and so on: before the call, and after it.
async fn restarting_at_each_step_changes_nothing(
    destination: &impl Destination,
    entries: &[Entry],
) {
    let expected = whole(destination, entries).await;
    let half = entries.len() / 2;
    let log = Log::cut(entries, &[0..half, half..half, half..entries.len()]);
    for how in [Break::Before, Break::After] {
        for calls in 0.. {
            destination.empty().await;
            destination.break_at(Some((calls, how)));
            let died = log.deliver(destination.sink().as_ref()).await.is_err();
            destination.break_at(None);
            log.deliver(destination.sink().as_ref()).await.unwrap();
            let found = destination.content().await;
            assert_eq!(found, expected, "died {how:?} call {calls}");
            let last = destination.sink().checkpoint(Table::Alerts).await.unwrap();
            assert_eq!(last, Some(log.last()), "died {how:?} call {calls}");
            if !died {
                assert!(calls > 3, "{calls} calls are all that there are");
                break;
            }
        }
    }
}

async fn two_writers_write_the_same(destination: &impl Destination, entries: &[Entry], seed: u64) {
    let expected = whole(destination, entries).await;
    for round in 0..4 {
        destination.empty().await;
        let cut = dice(seed, 200 + round).random_range(1..entries.len() - 1);
        let log = Log::cut(entries, &[0..cut, cut..entries.len()]);
        let (one, two) = (destination.sink(), destination.sink());
        let both = futures::join!(log.deliver(one.as_ref()), log.deliver(two.as_ref()));
        both.0.unwrap();
        both.1.unwrap();
        // One that is behind, and comes last.
        log.deliver_version(two.as_ref(), 0).await.unwrap();
        assert_eq!(destination.content().await, expected, "cut at {cut}");
        log.deliver(destination.sink().as_ref()).await.unwrap();
        assert_eq!(destination.content().await, expected, "cut at {cut}");
    }
}

async fn an_emptied_sink_is_filled_again(destination: &impl Destination, entries: &[Entry]) {
    let expected = whole(destination, entries).await;
    let sink = destination.sink();
    destination.empty().await;
    assert!(destination.content().await.is_empty());
    // The same writer: it remembers nothing.
    Log::of(entries).deliver(sink.as_ref()).await.unwrap();
    assert_eq!(destination.content().await, expected);
}

/// Rows that are large, odd or impossible cost no other row.
async fn a_poison_row_is_isolated(destination: &impl Destination, entries: &[Entry]) {
    let mut odd = alerts::odd();
    let takes_all = [entries, &odd].concat();
    let expected = whole(destination, &takes_all).await;
    let poison = destination.poison();
    odd.extend(poison.iter().cloned());
    let (before, after) = entries.split_at(entries.len() / 2);
    let mixed = [before, &odd, after].concat();
    destination.empty().await;
    let log = Log::of(&mixed);
    let taken = log.deliver(destination.sink().as_ref()).await.unwrap();
    assert_eq!(taken.refused, poison.len() as u64);
    assert_eq!(destination.content().await, expected);
    let last = destination.sink().checkpoint(Table::Alerts).await.unwrap();
    assert_eq!(last, Some(log.last()));
}

/// A prefix of the S3 peer that nobody has used.
pub(crate) fn s3() -> Option<std::sync::Arc<dyn object_store::ObjectStore>> {
    let peer = postlake_testkit::peers::s3()?;
    let store = object_store::aws::AmazonS3Builder::from_env()
        .with_endpoint(&peer.endpoint)
        .with_allow_http(true)
        .with_bucket_name(&peer.bucket)
        .build()
        .unwrap();
    let prefix = format!("sinks/{:016x}", rand::random::<u64>());
    let store = object_store::prefix::PrefixStore::new(store, prefix);
    Some(std::sync::Arc::new(store))
}
