use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use postlake_raw::SourceKind::{Alert, Event};
use tokio::task::JoinHandle;

use crate::gate::{Act, Gate, accept, evening, receiver, receiver_at, segments, until, within};
use crate::inflight::BATCH_OVERHEAD_BYTES;
use crate::{Config, Receipt, Receiver, Refusal};

type Waiting = JoinHandle<Result<Receipt, Refusal>>;

/// Four batches are enough for a group, and nothing else starts one.
fn config() -> Config {
    Config {
        commit_batches: 4,
        commit_interval: Duration::from_secs(3600),
        ..Config::default()
    }
}

/// One batch in the put and four more, of which a group is encoded ahead.
async fn one_ahead(gate: &Arc<Gate>, receiver: &Arc<Receiver>) -> (Waiting, Vec<Waiting>) {
    let first = accept(receiver, Event, "first");
    gate.puts_reach(1).await;
    let four = (0..4).map(|_| accept(receiver, Event, "ahead")).collect();
    until(|| receiver.inflight_bytes() / BATCH_OVERHEAD_BYTES == 5).await;
    // The committer is woken by the last of them and has begun when it sleeps again.
    tokio::time::sleep(Duration::from_millis(5)).await;
    (first, four)
}

async fn numbers(waiting: Vec<Waiting>) -> Vec<u64> {
    let mut numbers = Vec::new();
    for waiting in waiting {
        let receipt = within(waiting).await.unwrap().unwrap();
        numbers.push(receipt.key.number().get());
    }
    numbers
}

async fn sizes(gate: &Arc<Gate>) -> Vec<usize> {
    let segments = segments(&gate.raw()).await;
    segments
        .iter()
        .map(|(_, segment)| segment.batches.len())
        .collect()
}

#[tokio::test]
async fn a_group_is_encoded_ahead_and_landed_after_the_one_before() {
    let gate = Gate::shut();
    let receiver = receiver(&gate, config());
    let (first, four) = one_ahead(&gate, &receiver).await;
    let late = [(); 2].map(|()| accept(&receiver, Event, "late"));
    until(|| receiver.inflight_bytes() / BATCH_OVERHEAD_BYTES == 7).await;
    // One put at a time: that of the group ahead waits for the first.
    assert_eq!(sizes(&gate).await, Vec::<usize>::new());
    gate.release();
    assert_eq!(numbers(vec![first]).await, [1]);
    assert_eq!(numbers(four).await, [2; 4]);
    within(receiver.close()).await;
    assert_eq!(numbers(late.into()).await, [3; 2]);
    assert_eq!(sizes(&gate).await, [1, 4, 2]);
    assert_eq!(receiver.inflight_bytes(), 0);
}

#[tokio::test]
async fn a_group_ahead_of_a_refused_one_takes_its_number() {
    let gate = Gate::shut();
    gate.script(&[Act::Full]);
    let receiver = receiver(&gate, config());
    let (first, four) = one_ahead(&gate, &receiver).await;
    gate.release();
    assert_eq!(within(first).await.unwrap(), Err(Refusal::StoreFailed));
    assert_eq!(numbers(four).await, [1; 4]);
    assert_eq!(sizes(&gate).await, [4]);
}

#[tokio::test]
async fn a_group_ahead_of_a_spoilt_one_goes_into_the_new_stream_behind_it() {
    let gate = Gate::shut();
    gate.script(&[Act::LoseAnswer]);
    let receiver = receiver(&gate, config());
    let (first, four) = one_ahead(&gate, &receiver).await;
    gate.release();
    let first = within(first).await.unwrap().unwrap();
    for waiting in four {
        let receipt = within(waiting).await.unwrap().unwrap();
        assert_eq!(receipt.key, first.key);
        assert!(receipt.batch_index > first.batch_index);
    }
    let counters = receiver.counters();
    assert_eq!((counters.streams, counters.spoilt_streams), (2, 1));
}

#[tokio::test]
async fn an_alert_behind_a_group_ahead_goes_first_after_a_failure() {
    let gate = Gate::shut();
    gate.script(&[Act::Full]);
    let receiver = receiver(&gate, config());
    let (first, four) = one_ahead(&gate, &receiver).await;
    let alert = accept(&receiver, Alert, "alert");
    until(|| receiver.inflight_bytes() / BATCH_OVERHEAD_BYTES == 6).await;
    gate.release();
    assert_eq!(within(first).await.unwrap(), Err(Refusal::StoreFailed));
    assert_eq!(numbers(vec![alert]).await, [1]);
    assert_eq!(numbers(four).await, [2; 4]);
}

#[tokio::test]
async fn nothing_is_encoded_ahead_across_midnight() {
    let gate = Gate::shut();
    let clock = evening();
    let receiver = receiver_at(Arc::clone(&clock), &gate, config());
    let first = accept(&receiver, Event, "first");
    gate.puts_reach(1).await;
    clock.advance(TimeDelta::hours(2));
    let four: Vec<_> = (0..4)
        .map(|_| accept(&receiver, Event, "tomorrow"))
        .collect();
    until(|| receiver.inflight_bytes() / BATCH_OVERHEAD_BYTES == 5).await;
    gate.release();
    let first = within(first).await.unwrap().unwrap();
    for waiting in four {
        let receipt = within(waiting).await.unwrap().unwrap();
        assert_eq!(receipt.key.date(), first.key.date().succ_opt().unwrap());
    }
}
