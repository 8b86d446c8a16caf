use std::collections::{HashMap, HashSet};

use super::*;
use crate::ledger::Ledger;
use crate::loader_rules;

fn now() -> DateTime<Utc> {
    "2026-09-15T12:00:00Z".parse().unwrap()
}

fn steps_until(story: &mut Story, live: Duration) -> Vec<Step> {
    let mut steps = Vec::new();
    while story.elapsed() < live {
        steps.extend(story.next());
    }
    steps
}

/// Plays a story to a loader that follows the rules and compares its books with the ledger.
fn check(seed: u64, rate: u32, live: Duration) -> Ledger {
    let mut ledger = Ledger::default();
    let (mut events, mut alerts) = (HashSet::new(), HashSet::new());
    let (mut items, mut rejects, mut duplicates) = (0, 0, 0);
    for step in steps_until(&mut Story::new(seed, rate, now()), live) {
        let counted = loader_rules::count(&step.request.body);
        items += counted.items as u64;
        rejects += counted.rejects as u64;
        for event in counted.events {
            duplicates += u64::from(!events.insert(event));
        }
        for alert in counted.alerts {
            duplicates += u64::from(!alerts.insert(alert));
        }
        ledger.record(&step);
        assert!(ledger.balances(), "{:?}", step.what);
        let loaded = (items, events.len() as u64, alerts.len() as u64);
        assert_eq!(
            loaded,
            (ledger.items, ledger.events, ledger.alerts),
            "{:?}",
            step.what
        );
        assert_eq!(
            (duplicates, rejects),
            (ledger.duplicates, ledger.rejects),
            "{:?}",
            step.what
        );
    }
    assert_eq!(
        ledger.by_type().map(|(_, count)| count).sum::<u64>(),
        ledger.events
    );
    ledger
}

#[test]
fn the_ledger_is_what_a_loader_finds() {
    for (seed, rate, secs) in [(1, 20, 75), (2, 0, 27)] {
        let ledger = check(seed, rate, Duration::from_secs(secs));
        assert!(ledger.duplicates > 0 && ledger.rejects >= 5 && ledger.pings == 1);
        assert_eq!(ledger.posts, ledger.event_posts + ledger.alert_posts);
    }
}

#[test]
fn the_same_story_is_told_twice() {
    let tell = |seed| -> Vec<(Bytes, Duration)> {
        let mut story = Story::new(seed, 50, now());
        let steps = steps_until(&mut story, Duration::from_secs(30));
        let told = steps
            .into_iter()
            .map(|step| (step.request.body, step.after));
        told.collect()
    };
    assert_eq!(tell(1), tell(1));
    assert_ne!(tell(1), tell(2));
}

#[test]
fn half_a_minute_shows_everything() {
    let mut story = Story::new(1, 40, now());
    let steps = steps_until(&mut story, Duration::from_secs(27));
    let mut shown: HashMap<StepKind, usize> = HashMap::new();
    for step in &steps {
        *shown.entry(step.what).or_default() += 1;
    }
    assert_eq!(steps[0].what, StepKind::Ping);
    assert_eq!(shown[&StepKind::Scores], 30);
    assert_eq!(shown[&StepKind::DayBefore], 12);
    assert_eq!(shown[&StepKind::Resent], 3);
    for what in [
        StepKind::Normal,
        StepKind::Storm,
        StepKind::Broken(Bad::Json),
        StepKind::Broken(Bad::Envelope),
        StepKind::Broken(Bad::Utf8),
        StepKind::Mixed,
        StepKind::AllTypes,
        StepKind::BlocksRose,
        StepKind::ScoreFell,
        StepKind::AllMetrics,
    ] {
        assert!(shown.contains_key(&what), "{what} is missing");
    }
}

#[test]
fn live_traffic_keeps_the_rate() {
    for rate in [1, 7, 100, 5_000] {
        let mut story = Story::new(1, rate, now());
        let steps = steps_until(&mut story, Duration::from_secs(8));
        let live = steps
            .iter()
            .filter(|step| step.what == StepKind::Normal || step.what == StepKind::Storm);
        let (events, time) = live.fold((0, Duration::ZERO), |(events, time), step| {
            let Contents::Events(batch) = &step.contents else {
                panic!("live steps hold events");
            };
            (events + batch.events, time + step.after)
        });
        let measured = events as f64 / time.as_secs_f64();
        assert!(
            (measured / f64::from(rate) - 1.0).abs() < 0.01,
            "{measured}"
        );
    }
}

#[test]
fn a_resent_batch_has_the_id_and_bytes_of_one_before() {
    let mut story = Story::new(1, 40, now());
    let mut sent = HashSet::new();
    for step in steps_until(&mut story, Duration::from_secs(60)) {
        let identity = (step.request.headers.clone(), step.request.body.clone());
        let again = !sent.insert(identity);
        assert_eq!(again, step.what == StepKind::Resent, "{}", step.what);
    }
}

#[test]
fn the_day_before_ends_when_the_story_begins() {
    let mut story = Story::new(1, 40, now());
    let steps: Vec<Step> = story.by_ref().take(1 + 30 + 12).collect();
    assert_eq!(steps[42].what, StepKind::DayBefore);
    let apart = (now() - story.traffic.now()).num_minutes().abs();
    assert!(apart < 60, "{apart} minutes");
    assert!(steps.iter().all(|step| step.after.is_zero()));
}

#[test]
fn requests_have_sparkposts_headers() {
    let mut story = Story::new(1, 40, now());
    let ping = story.next().unwrap();
    assert_eq!(ping.request.path, "/webhooks/events");
    assert_eq!(&ping.request.body[..], b"[{\"msys\":{}}]");
    let names: Vec<&str> = ping.request.headers.iter().map(|(name, _)| *name).collect();
    assert!(names.contains(&"x-messagesystems-batch-id"));
    let scores = story.next().unwrap();
    assert_eq!(scores.request.path, "/webhooks/alerts");
    let names: Vec<&str> = scores
        .request
        .headers
        .iter()
        .map(|(name, _)| *name)
        .collect();
    assert!(!names.contains(&"x-messagesystems-batch-id"));
}
