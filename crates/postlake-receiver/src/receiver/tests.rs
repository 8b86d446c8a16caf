use chrono::TimeDelta;
use postlake_raw::SourceKind::{Alert, Event};

use super::*;
use crate::gate::{
    Act, DEADLINE, Gate, accept, batches, bodies, evening, receiver, receiver_at, segments, until,
    within,
};

fn refused(receiver: &Receiver, refusal: Refusal) -> u64 {
    let counters = receiver.counters();
    counters
        .refused
        .iter()
        .find(|(code, _)| *code == refusal.code())
        .unwrap()
        .1
}

/// How many small batches are held: in the put, in the queue, encoded ahead.
fn held(receiver: &Receiver) -> u64 {
    receiver.inflight.used() / BATCH_OVERHEAD_BYTES
}

#[tokio::test]
async fn acknowledged_only_after_the_put_is_durable() {
    let gate = Gate::shut();
    let receiver = receiver(&gate, Config::default());
    let mut waiting = accept(&receiver, Event, "one");
    gate.puts_reach(1).await;
    assert!(futures::poll!(&mut waiting).is_pending());
    assert_eq!(receiver.counters().batches, 0);
    assert_eq!(bodies(&gate.raw()).await, Vec::<String>::new());
    gate.release();
    let receipt = within(waiting).await.unwrap().unwrap();
    let segment = gate.raw().read(&receipt.key).await.unwrap();
    assert_eq!(segment.batches[receipt.batch_index].body, "one");
    assert_eq!(
        (receiver.counters().batches, receiver.counters().bytes),
        (1, 3)
    );
    assert_eq!(receiver.inflight.used(), 0);
}

#[tokio::test]
async fn what_waits_when_a_commit_starts_becomes_one_segment() {
    let gate = Gate::shut();
    let receiver = receiver(&gate, Config::default());
    let first = accept(&receiver, Event, "first");
    gate.puts_reach(1).await;
    let rest: Vec<_> = (0..200).map(|_| accept(&receiver, Event, "rest")).collect();
    until(|| held(&receiver) == 201).await;
    gate.release();
    within(first).await.unwrap().unwrap();
    for waiting in rest {
        within(waiting).await.unwrap().unwrap();
    }
    assert_eq!(
        (receiver.counters().segments, receiver.counters().batches),
        (2, 201)
    );
}

#[tokio::test]
async fn enough_batches_do_not_wait_for_the_interval() {
    let gate = Gate::shut();
    gate.release();
    let config = Config {
        commit_interval: std::time::Duration::from_secs(3600),
        ..Config::default()
    };
    let receiver = receiver(&gate, config);
    within(accept(&receiver, Event, "first"))
        .await
        .unwrap()
        .unwrap();
    let rest: Vec<_> = (0..32).map(|_| accept(&receiver, Event, "rest")).collect();
    for waiting in rest {
        within(waiting).await.unwrap().unwrap();
    }
    assert_eq!(receiver.counters().segments, 2);
    let last = accept(&receiver, Event, "closing does not wait either");
    until(|| receiver.inflight.used() > 0).await;
    within(receiver.close()).await;
    within(last).await.unwrap().unwrap();
}

#[tokio::test]
async fn enough_bytes_do_not_wait_for_the_interval() {
    let gate = Gate::shut();
    gate.release();
    let config = Config {
        commit_interval: std::time::Duration::from_secs(3600),
        commit_bytes: 1000,
        ..Config::default()
    };
    let receiver = receiver(&gate, config);
    within(accept(&receiver, Event, "first"))
        .await
        .unwrap()
        .unwrap();
    let body: &'static str = Box::leak("x".repeat(250).into_boxed_str());
    let rest: Vec<_> = (0..4).map(|_| accept(&receiver, Event, body)).collect();
    for waiting in rest {
        within(waiting).await.unwrap().unwrap();
    }
    assert_eq!(receiver.counters().segments, 2);
    // What was taken is no longer counted.
    let few: Vec<_> = (0..3).map(|_| accept(&receiver, Event, body)).collect();
    until(|| receiver.inflight_bytes() > 750).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(receiver.counters().segments, 2);
    within(receiver.close()).await;
    for waiting in few {
        within(waiting).await.unwrap().unwrap();
    }
    assert_eq!(receiver.counters().segments, 3);
}

#[tokio::test]
async fn what_does_not_fit_goes_into_the_next_segment() {
    let gate = Gate::shut();
    let config = Config {
        max_segment_bytes: 2000,
        ..Config::default()
    };
    let receiver = receiver(&gate, config);
    let first = accept(&receiver, Event, "first");
    gate.puts_reach(1).await;
    let rest: Vec<_> = (0..6).map(|_| accept(&receiver, Event, "rest")).collect();
    until(|| held(&receiver) == 7).await;
    gate.release();
    for waiting in rest.into_iter().chain([first]) {
        within(waiting).await.unwrap().unwrap();
    }
    let sizes = segments(&gate.raw())
        .await
        .into_iter()
        .map(|(_, segment)| segment.batches.len());
    assert_eq!(sizes.collect::<Vec<_>>(), [1, 3, 3]);
}

#[tokio::test]
async fn an_event_that_waits_too_long_is_refused_and_withdrawn_an_alert_is_landed_all_the_same() {
    let gate = Gate::shut();
    let config = Config {
        answer_timeout: std::time::Duration::from_millis(50),
        ..Config::default()
    };
    let receiver = receiver(&gate, config);
    let waiting = [
        accept(&receiver, Event, "in the put"),
        accept(&receiver, Event, "event"),
        accept(&receiver, Alert, "alert"),
    ];
    gate.puts_reach(1).await;
    for waiting in waiting {
        assert_eq!(
            within(waiting).await.unwrap(),
            Err(Refusal::NotDurableInTime)
        );
    }
    gate.release();
    within(receiver.close()).await;
    let counters = receiver.counters();
    assert_eq!(counters.late_batches + counters.withdrawn, 3);
    assert!(bodies(&gate.raw()).await.contains(&"alert".to_owned()));
    assert_eq!(
        (
            counters.batches,
            refused(&receiver, Refusal::NotDurableInTime)
        ),
        (0, 3)
    );
    assert_eq!(receiver.inflight.used(), 0);
}

#[tokio::test]
async fn events_are_shed_by_bytes_in_flight_and_alerts_are_not() {
    let gate = Gate::shut();
    let config = Config {
        max_body_bytes: 4000,
        max_inflight_bytes: 6100,
        ..Config::default()
    };
    let receiver = receiver(&gate, config);
    let first = accept(&receiver, Event, "first");
    let second = accept(&receiver, Event, "second");
    until(|| receiver.inflight.used() > 4000).await;
    assert_eq!(
        within(accept(&receiver, Event, "third")).await.unwrap(),
        Err(Refusal::Overloaded)
    );
    let alerts: Vec<_> = (0..50).map(|_| accept(&receiver, Alert, "alert")).collect();
    until(|| receiver.inflight.used() > 100_000).await;
    gate.release();
    for waiting in alerts.into_iter().chain([first, second]) {
        within(waiting).await.unwrap().unwrap();
    }
    assert_eq!(refused(&receiver, Refusal::Overloaded), 1);
    assert_eq!(receiver.inflight.used(), 0);
}

#[tokio::test]
async fn events_can_be_held_back_and_alerts_go_in() {
    let gate = Gate::open();
    let receiver = receiver(&gate, Config::default());
    receiver.hold_events(true);
    assert_eq!(
        within(accept(&receiver, Event, "event")).await.unwrap(),
        Err(Refusal::EventsHeld)
    );
    within(accept(&receiver, Alert, "alert"))
        .await
        .unwrap()
        .unwrap();
    receiver.hold_events(false);
    within(accept(&receiver, Event, "event"))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_new_day_is_a_new_stream_and_a_clock_set_back_is_not() {
    let (gate, clock) = (Gate::open(), evening());
    let receiver = receiver_at(Arc::clone(&clock), &gate, Config::default());
    let mut keys = Vec::new();
    for hours in [0, 0, 2, -2, 24] {
        clock.advance(TimeDelta::hours(hours));
        let receipt = within(accept(&receiver, Event, "body"))
            .await
            .unwrap()
            .unwrap();
        keys.push((receipt.key.date().to_string(), receipt.key.number().get()));
    }
    let expected = [
        ("2026-01-02", 1),
        ("2026-01-02", 2),
        ("2026-01-03", 1),
        ("2026-01-03", 2),
    ];
    let expected = expected.map(|(date, number)| (date.to_owned(), number));
    assert_eq!(keys[..4], expected);
    // 2026-01-02 23:00 + 2 h - 2 h + 24 h is still the third of January.
    assert_eq!(keys[4], ("2026-01-03".to_owned(), 3));
    assert_eq!(receiver.counters().streams, 2);
}

#[tokio::test]
async fn a_clock_that_jumps_a_year_ahead_and_back_leaves_no_stream_in_the_future() {
    let (gate, clock) = (Gate::open(), evening());
    let receiver = receiver_at(Arc::clone(&clock), &gate, Config::default());
    let mut dates = Vec::new();
    for days in [0, 365, -365, -1, -365, 366] {
        clock.advance(TimeDelta::days(days));
        let receipt = within(accept(&receiver, Event, "body")).await;
        dates.push(receipt.unwrap().unwrap().key.date().to_string());
    }
    let expected = [
        "2026-01-02",
        "2027-01-02",
        "2026-01-02",
        // A day behind its stream: within what a corrected clock may do.
        "2026-01-02",
        "2025-01-01",
        "2026-01-02",
    ];
    assert_eq!(dates, expected);
    assert_eq!(bodies(&gate.raw()).await.len(), 6);
}

/// One accept while the store does `acts`: it is acknowledged, stored, and the streams have no holes.
async fn check_overcome(acts: &[Act], copies: usize, streams: u64) {
    let gate = Gate::open();
    let config = Config {
        put_timeout: std::time::Duration::from_millis(50),
        ..Config::default()
    };
    let receiver = receiver(&gate, config);
    within(accept(&receiver, Event, "before"))
        .await
        .unwrap()
        .unwrap();
    gate.script(acts);
    let receipt = within(accept(&receiver, Event, "through"))
        .await
        .unwrap()
        .unwrap();
    within(accept(&receiver, Event, "after"))
        .await
        .unwrap()
        .unwrap();
    let landed = gate.raw().read(&receipt.key).await.unwrap();
    assert_eq!(
        landed.batches[receipt.batch_index].body, "through",
        "{acts:?}"
    );
    assert_eq!(receiver.counters().streams, streams, "{acts:?}");
    assert_eq!(receiver.counters().failed_landings, acts.len() as u64);
    if !acts.contains(&Act::Taken) {
        let stored = bodies(&gate.raw()).await;
        assert_eq!(
            stored.iter().filter(|body| *body == "through").count(),
            copies,
            "{acts:?}"
        );
    }
}

#[tokio::test]
async fn an_unknown_outcome_ends_the_stream_and_the_batch_is_landed_in_the_next() {
    check_overcome(&[Act::FailBefore], 1, 2).await;
    check_overcome(&[Act::LoseAnswer], 2, 2).await;
    check_overcome(&[Act::Hang], 1, 2).await;
    check_overcome(&[Act::Taken], 1, 2).await;
    check_overcome(&[Act::LoseAnswer, Act::FailBefore], 2, 3).await;
}

#[tokio::test]
async fn a_store_that_fails_again_and_again_is_said_to_the_sender() {
    let gate = Gate::open();
    gate.always(Some(Act::FailBefore));
    let receiver = receiver(&gate, Config::default());
    assert_eq!(
        within(accept(&receiver, Event, "body")).await.unwrap(),
        Err(Refusal::StoreFailed)
    );
    assert_eq!(receiver.counters().failed_landings, 3);
    gate.always(None);
    within(accept(&receiver, Event, "body"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bodies(&gate.raw()).await, ["body"]);
}

#[tokio::test]
async fn a_full_disk_refuses_events_at_once_keeps_alerts_and_uses_the_number_again() {
    let gate = Gate::shut();
    gate.script(&[Act::Full, Act::Full]);
    let receiver = receiver(&gate, Config::default());
    let event = accept(&receiver, Event, "event");
    gate.puts_reach(1).await;
    let alert = accept(&receiver, Alert, "alert");
    until(|| held(&receiver) == 2).await;
    gate.release();
    assert_eq!(within(event).await.unwrap(), Err(Refusal::StoreFailed));
    let receipt = within(alert).await.unwrap().unwrap();
    assert_eq!(
        (receipt.key.number().get(), receiver.counters().streams),
        (1, 1)
    );
    assert_eq!(receiver.counters().failed_landings, 2);
    assert_eq!(bodies(&gate.raw()).await, ["alert"]);
}

#[tokio::test]
async fn after_a_failure_alerts_go_alone() {
    let gate = Gate::shut();
    gate.script(&[Act::FailBefore]);
    let receiver = receiver(&gate, Config::default());
    let first = accept(&receiver, Alert, "first alert");
    gate.puts_reach(1).await;
    let event = accept(&receiver, Event, "event");
    until(|| held(&receiver) == 2).await;
    gate.release();
    within(first).await.unwrap().unwrap();
    within(event).await.unwrap().unwrap();
    let sizes = segments(&gate.raw())
        .await
        .into_iter()
        .map(|(_, segment)| segment.batches.len());
    assert_eq!(sizes.collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn a_dead_committer_refuses_everything_and_is_not_ready() {
    let gate = Gate::open();
    gate.script(&[Act::Panic]);
    let receiver = receiver(&gate, Config::default());
    assert_eq!(receiver.unready_reason(), None);
    assert_eq!(
        within(accept(&receiver, Event, "one")).await.unwrap(),
        Err(Refusal::Stopped)
    );
    within(receiver.committer_died()).await;
    assert_eq!(
        within(accept(&receiver, Alert, "two")).await.unwrap(),
        Err(Refusal::Stopped)
    );
    assert_eq!(receiver.unready_reason(), Some("the committer has stopped"));
}

#[tokio::test]
async fn closing_lands_what_waits_and_takes_nothing_more() {
    let gate = Gate::shut();
    let receiver = receiver(&gate, Config::default());
    let waiting = [
        accept(&receiver, Event, "event"),
        accept(&receiver, Alert, "alert"),
    ];
    gate.puts_reach(1).await;
    until(|| receiver.inflight.used() > 4000).await;
    let closing = tokio::spawn({
        let receiver = Arc::clone(&receiver);
        async move { receiver.close().await }
    });
    until(|| receiver.closing.is_cancelled()).await;
    assert_eq!(
        within(accept(&receiver, Event, "late")).await.unwrap(),
        Err(Refusal::Closing)
    );
    gate.release();
    within(closing).await.unwrap();
    for waiting in waiting {
        within(waiting).await.unwrap().unwrap();
    }
    assert_eq!(bodies(&gate.raw()).await, ["alert", "event"]);
    assert_eq!(receiver.unready_reason(), Some("draining"));
    within(receiver.close()).await;
}

#[tokio::test]
async fn closing_before_a_store_that_fails_comes_to_an_end() {
    let gate = Gate::open();
    gate.always(Some(Act::Full));
    let receiver = receiver(&gate, Config::default());
    let alert = accept(&receiver, Alert, "alert");
    gate.puts_reach(1).await;
    within(receiver.close()).await;
    assert_eq!(within(alert).await.unwrap(), Err(Refusal::StoreFailed));
    assert_eq!(receiver.counters().alerts_given_up, 1);
}

#[tokio::test]
async fn every_landed_segment_is_told() {
    let gate = Gate::open();
    let (told, mut hints) = mpsc::channel(8);
    let on_landed: OnLanded = Arc::new(move |key| told.try_send(*key).unwrap());
    let receiver = Receiver::start(Config::default(), gate.raw(), evening(), on_landed).unwrap();
    let receipt = within(accept(&receiver, Event, "body"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(within(hints.recv()).await, Some(receipt.key));
}

#[tokio::test]
async fn what_was_received_comes_back_to_the_byte() {
    let gate = Gate::open();
    let receiver = receiver(&gate, Config::default());
    let large = Bytes::from(
        (0..3_000_000_u32)
            .map(|n| (n % 251) as u8)
            .collect::<Vec<_>>(),
    );
    let headers = HeaderMap::from_iter([(
        axum::http::HeaderName::from_static("x-messagesystems-batch-id"),
        axum::http::HeaderValue::from_static("id-1"),
    )]);
    let receipt = within(receiver.accept(Event, &headers, large.clone()))
        .await
        .unwrap();
    assert_eq!(receipt.body_bytes, 3_000_000);
    let [batch] = batches(&gate.raw()).await.try_into().unwrap();
    assert_eq!(batch.body, large);
    assert_eq!(batch.envelope.batch_id.as_deref(), Some("id-1"));
    assert_eq!(batch.envelope.received_at, evening().now());
    assert_eq!(batch.envelope.source, Event);
}

#[tokio::test]
async fn limits_that_cannot_work_are_said_all_at_once() {
    let config = Config {
        max_body_bytes: u64::MAX,
        connections: postlake_listen::Limits {
            max_connections: 0,
            ..postlake_listen::Limits::default()
        },
        ..Config::default()
    };
    let faults =
        Receiver::start(config, Gate::open().raw(), evening(), Arc::new(|_| {})).unwrap_err();
    let keys: Vec<_> = faults.iter().map(|fault| fault.key).collect();
    assert_eq!(
        keys,
        ["max_body_bytes", "max_inflight_bytes", "max_connections"]
    );
    assert_eq!(Config::default().faults(), []);
}

#[tokio::test]
async fn what_failed_is_counted_by_its_cause() {
    let gate = Gate::open();
    gate.script(&[Act::Device, Act::FailBefore]);
    let receiver = receiver(&gate, Config::default());
    within(accept(&receiver, Event, "body"))
        .await
        .unwrap()
        .unwrap();
    let counters = receiver.counters();
    let failed = |code| {
        let mut causes = counters.failed_landings_by.iter();
        causes.find(|(known, _)| *known == code).unwrap().1
    };
    assert_eq!((failed("device"), failed("unavailable")), (1, 1));
    assert_eq!((counters.spoilt_streams, counters.streams), (2, 3));
    assert_eq!(counters.rewritten_batches, 1);
}

#[tokio::test]
async fn a_failed_sync_is_followed_by_another_file_in_another_folder() {
    let gate = Gate::open();
    let receiver = receiver(&gate, Config::default());
    let before = within(accept(&receiver, Event, "before")).await.unwrap();
    gate.script(&[Act::Device]);
    let after = within(accept(&receiver, Event, "after")).await.unwrap();
    assert_ne!(before.unwrap().key.stream(), after.unwrap().key.stream());
}

#[tokio::test]
async fn a_device_that_fails_for_good_ends_the_committer() {
    let gate = Gate::open();
    gate.always(Some(Act::Device));
    let config = Config {
        device_patience: std::time::Duration::ZERO,
        ..Config::default()
    };
    let receiver = receiver(&gate, config);
    let alert = accept(&receiver, Alert, "alert");
    assert_eq!(within(receiver.committer_died()).await, Death::DeviceFailed);
    assert!(within(alert).await.unwrap().is_err());
    assert_eq!(receiver.counters().alerts_given_up, 1);
    assert_eq!(
        within(accept(&receiver, Event, "late")).await.unwrap(),
        Err(Refusal::Stopped)
    );
}

#[tokio::test]
async fn a_device_that_recovers_ends_nothing() {
    let gate = Gate::open();
    let config = Config {
        device_patience: std::time::Duration::ZERO,
        ..Config::default()
    };
    let receiver = receiver(&gate, config);
    for _ in 0..3 {
        gate.script(&[Act::Device, Act::Device]);
        within(accept(&receiver, Event, "body"))
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(receiver.unready_reason(), None);
}

#[tokio::test]
async fn room_is_made_for_alerts_on_a_full_disk_and_for_events_it_is_not() {
    let gate = Gate::open();
    gate.always(Some(Act::Full));
    let receiver = receiver(&gate, Config::default());
    let (asked, mut requests) = mpsc::channel(8);
    let disk = Arc::clone(&gate);
    receiver.on_full(Arc::new(move |bytes| {
        let first = asked.try_send(bytes).is_ok();
        disk.always(None);
        first
    }));
    assert_eq!(
        within(accept(&receiver, Event, "event")).await.unwrap(),
        Err(Refusal::StoreFailed)
    );
    assert!(requests.try_recv().is_err());
    within(accept(&receiver, Alert, "alert"))
        .await
        .unwrap()
        .unwrap();
    assert!(requests.try_recv().unwrap() > 0);
    assert_eq!(receiver.counters().reserve_given, 1);
    assert_eq!(bodies(&gate.raw()).await, ["alert"]);
}

#[tokio::test]
async fn puts_that_hang_are_left_behind_but_never_many() {
    let gate = Gate::open();
    gate.always(Some(Act::Stuck));
    let config = Config {
        put_timeout: std::time::Duration::from_millis(20),
        ..Config::default()
    };
    let receiver = receiver(&gate, config);
    let answer = within(accept(&receiver, Event, "body")).await.unwrap();
    assert_eq!(answer, Err(Refusal::StoreFailed));
    assert_eq!(receiver.counters().abandoned_puts, 3);
    gate.always(None);
    // The hanging ones have every place: nothing is asked of the store until one of them ends.
    let answer = within(accept(&receiver, Event, "body")).await.unwrap();
    assert_eq!(answer, Err(Refusal::StoreFailed));
    assert_eq!(gate.let_go(), 3);
    within(accept(&receiver, Event, "through"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bodies(&gate.raw()).await, ["through"]);
}

#[tokio::test]
async fn a_put_is_waited_for_longer_after_each_that_was_not_answered() {
    let gate = Gate::open();
    gate.script(&[Act::Hang, Act::Hang]);
    let config = Config {
        put_patience: std::time::Duration::from_millis(40),
        ..Config::default()
    };
    let receiver = receiver(&gate, config);
    let start = std::time::Instant::now();
    within(accept(&receiver, Event, "body"))
        .await
        .unwrap()
        .unwrap();
    assert!(start.elapsed() >= std::time::Duration::from_millis(40 + 80));
    assert_eq!(receiver.counters().abandoned_puts, 2);
}

#[tokio::test]
async fn readiness_follows_the_data_directory_and_not_the_full_disk() {
    let gate = Gate::open();
    let receiver = receiver(&gate, Config::default());
    receiver.hold_events(true);
    assert_eq!(
        (receiver.unready_reason(), receiver.events_are_held()),
        (None, true)
    );
    receiver.store_away(true);
    assert!(receiver.unready_reason().unwrap().contains("away"));
    receiver.store_away(false);
    assert_eq!(receiver.unready_reason(), None);
}

#[tokio::test]
async fn events_do_not_wait_in_vain_behind_an_alert_that_cannot_be_landed() {
    let gate = Gate::open();
    gate.always(Some(Act::FailBefore));
    let config = Config {
        answer_timeout: DEADLINE * 10,
        ..Config::default()
    };
    let receiver = receiver(&gate, config);
    let alert = accept(&receiver, Alert, "alert");
    until(|| receiver.counters().failed_landings >= 3).await;
    let event = within(accept(&receiver, Event, "event")).await.unwrap();
    assert_eq!(event, Err(Refusal::StoreFailed));
    gate.always(None);
    within(alert).await.unwrap().unwrap();
    assert_eq!(bodies(&gate.raw()).await, ["alert"]);
}
