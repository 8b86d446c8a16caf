//! The receiver over a raw store over the S3 client over a server that fails on command: the faults
//! of a store (`FAULTS.md`, F7), with all times a tenth or less of those in use.
//!
//! Several writers post batches while the store fails; then the fault is lifted and everything that
//! was not acknowledged is posted again, to the same receiver, which nobody has touched. In the end
//! what the store holds is read without faults and held against what was acknowledged.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use postlake_raw::{RawStore, SourceKind};
use postlake_testkit::faulty_s3::{CredentialFault, Delay, Faults, FaultyS3, Stall};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::gate::{evening, segments, until, within};
use crate::{Config, Receipt, Receiver, Refusal};

const WRITERS: u64 = 10;
/// For each writer. `POSTLAKE_TEST_BATCHES` asks for more.
const BATCHES: u64 = 10;
const SEED: u64 = 20_260_102;

fn config() -> Config {
    Config {
        answer_timeout: Duration::from_millis(800),
        put_timeout: Duration::from_secs(2),
        put_patience: Duration::from_millis(350),
        commit_interval: Duration::from_millis(2),
        ..Config::default()
    }
}

fn raw(server: &FaultyS3) -> RawStore {
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(5),
            max_backoff: Duration::from_millis(100),
            base: 2.0,
        },
        max_retries: 20,
        retry_timeout: Duration::from_millis(150),
    };
    let client = server.client().with_retry(retry).build().unwrap();
    RawStore::where_reading_proves(Arc::new(client) as Arc<dyn ObjectStore>)
}

/// What one writer knows: every body, and its receipt once it was acknowledged.
type Ledger = Vec<(Bytes, Option<Receipt>)>;

struct Scenario {
    server: FaultyS3,
    receiver: Arc<Receiver>,
}

impl Scenario {
    fn start() -> Scenario {
        let server = FaultyS3::start(SEED);
        let receiver =
            Receiver::start(config(), raw(&server), evening(), Arc::new(|_| {})).unwrap();
        Scenario { server, receiver }
    }

    /// Every writer posts each of its batches once.
    async fn write(&self, batches: u64) -> Ledger {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let receiver = Arc::clone(&self.receiver);
                tokio::spawn(async move {
                    let mut dice = StdRng::seed_from_u64(SEED ^ writer);
                    let mut ledger = Ledger::new();
                    for _ in 0..batches {
                        let mut body = vec![0; dice.random_range(1..4000)];
                        dice.fill(body.as_mut_slice());
                        let body = Bytes::from(body);
                        let receipt = post(&receiver, &body).await.ok();
                        ledger.push((body, receipt));
                    }
                    ledger
                })
            })
            .collect();
        let mut all = Ledger::new();
        for writer in writers {
            all.extend(writer.await.unwrap());
        }
        all
    }

    /// Posts until everything is acknowledged.
    async fn write_the_rest(&self, ledger: &mut Ledger) {
        for (body, receipt) in ledger {
            while receipt.is_none() {
                *receipt = post(&self.receiver, body).await.ok();
            }
        }
    }

    /// What was acknowledged is where its receipt says, byte for byte; nothing else is there; no
    /// stream has a hole.
    async fn check_store(&self, ledger: &Ledger) {
        let raw = raw(&self.server);
        let segments = segments(&raw).await;
        let sent: HashSet<&Bytes> = ledger.iter().map(|(body, _)| body).collect();
        for (_, segment) in &segments {
            for batch in &segment.batches {
                assert!(sent.contains(&batch.body), "a batch that nobody sent");
            }
        }
        for (body, receipt) in ledger {
            let receipt = receipt.as_ref().unwrap();
            let (_, segment) = segments
                .iter()
                .find(|(key, _)| *key == receipt.key)
                .unwrap_or_else(|| panic!("{} was acknowledged and is not there", receipt.key));
            assert_eq!(segment.batches[receipt.batch_index].body, body);
        }
    }
}

/// One request; answered in time, whatever the store does.
async fn post(receiver: &Arc<Receiver>, body: &Bytes) -> Result<Receipt, Refusal> {
    within(receiver.accept(SourceKind::Event, &HeaderMap::new(), body.clone())).await
}

fn batches() -> u64 {
    let more = std::env::var("POSTLAKE_TEST_BATCHES").ok();
    more.and_then(|more| more.parse().ok()).unwrap_or(BATCHES)
}

/// The whole scenario. Returns how many batches were acknowledged while the store failed.
async fn check(faults: Faults, batches: u64) -> usize {
    let scenario = Scenario::start();
    scenario.server.set(faults);
    let mut ledger = scenario.write(batches).await;
    let acknowledged = ledger.iter().filter(|(_, receipt)| receipt.is_some());
    let acknowledged = acknowledged.count();
    scenario.server.set(Faults::default());
    within(scenario.write_the_rest(&mut ledger)).await;
    scenario.check_store(&ledger).await;
    within(scenario.receiver.close()).await;
    assert_eq!(scenario.receiver.inflight_bytes(), 0);
    acknowledged
}

async fn check_lets_some_through(faults: Faults) {
    let acknowledged = check(faults.clone(), batches()).await;
    assert!(acknowledged > 0, "{faults:?}");
}

#[tokio::test]
async fn s3_answers_503_to_three_of_four() {
    check_lets_some_through(Faults {
        unavailable: 0.75,
        ..Faults::default()
    })
    .await;
}

#[tokio::test]
async fn s3_answers_429_to_three_of_four() {
    check_lets_some_through(Faults {
        throttled: 0.75,
        ..Faults::default()
    })
    .await;
}

#[tokio::test]
async fn s3_takes_its_time() {
    check_lets_some_through(Faults {
        delay: Some(Delay {
            mean: Duration::from_millis(100),
            spread: Duration::from_millis(99),
        }),
        ..Faults::default()
    })
    .await;
}

#[tokio::test]
async fn s3_stalls_a_third_of_the_time() {
    check_lets_some_through(Faults {
        stall: Some(Stall {
            share: 0.35,
            time: Duration::from_millis(300),
        }),
        ..Faults::default()
    })
    .await;
}

#[tokio::test]
async fn s3_resets_connections() {
    check_lets_some_through(Faults {
        reset: 0.15,
        ..Faults::default()
    })
    .await;
}

#[tokio::test]
async fn s3_closes_late() {
    check_lets_some_through(Faults {
        slow_close: 0.3,
        ..Faults::default()
    })
    .await;
}

#[tokio::test]
async fn s3_is_behind_a_thin_line() {
    let faults = Faults {
        bytes_per_sec: Some(1000),
        ..Faults::default()
    };
    check(faults, 2).await;
}

#[tokio::test]
async fn s3_stores_and_its_answer_is_lost() {
    check_lets_some_through(Faults {
        lost_answer: 0.3,
        ..Faults::default()
    })
    .await;
}

#[tokio::test]
async fn s3_sees_conflicts_that_are_none() {
    check_lets_some_through(Faults {
        conflict_on_create: 0.3,
        ..Faults::default()
    })
    .await;
}

#[tokio::test]
async fn s3_loses_answers_and_breaks_off_what_is_read() {
    check_lets_some_through(Faults {
        lost_answer: 0.3,
        truncated_get: 0.5,
        stale_listing: true,
        ..Faults::default()
    })
    .await;
}

#[tokio::test]
async fn s3_lets_nobody_in() {
    for fault in [
        CredentialFault::Expired,
        CredentialFault::ExpiredForbidden,
        CredentialFault::ClockSkew,
    ] {
        let faults = Faults {
            credentials: Some(fault),
            ..Faults::default()
        };
        assert_eq!(check(faults, 2).await, 0, "{fault:?}");
    }
}

#[tokio::test]
async fn s3_never_answers() {
    assert_eq!(check(Faults::silent(), 1).await, 0);
}

#[tokio::test]
async fn a_lost_answer_of_s3_is_found_by_reading_and_nothing_is_stored_twice() {
    let scenario = Scenario::start();
    scenario.server.set(Faults {
        lost_answer: 1.0,
        ..Faults::default()
    });
    let mut ledger = scenario.write(1).await;
    scenario.server.set(Faults::default());
    within(scenario.write_the_rest(&mut ledger)).await;
    scenario.check_store(&ledger).await;
    let objects = scenario.server.objects().len() as u64;
    let counters = scenario.receiver.counters();
    assert!(counters.segments >= 1 && counters.spoilt_streams == counters.abandoned_puts);
    assert!(objects <= counters.segments + counters.spoilt_streams);
}

#[tokio::test]
async fn an_alert_outlives_a_store_that_lets_nobody_in() {
    let scenario = Scenario::start();
    scenario.server.set(Faults {
        credentials: Some(CredentialFault::Expired),
        ..Faults::default()
    });
    let alert = Bytes::from_static(b"alert");
    let headers = HeaderMap::new();
    let answer = scenario
        .receiver
        .accept(SourceKind::Alert, &headers, alert.clone());
    assert_eq!(within(answer).await, Err(Refusal::NotDurableInTime));
    scenario.server.set(Faults::default());
    until(|| scenario.receiver.counters().late_batches == 1).await;
    let (_, segment) = segments(&raw(&scenario.server)).await.pop().unwrap();
    assert_eq!(segment.batches[0].body, alert);
}
