use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::loader_rules;

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000, 0).unwrap()
}

fn events_of(batch: &Batch) -> Vec<Value> {
    let items: Vec<Value> = serde_json::from_slice(&batch.body).unwrap();
    items
        .iter()
        .map(|item| {
            item["msys"]
                .as_object()
                .unwrap()
                .values()
                .next()
                .unwrap()
                .clone()
        })
        .collect()
}

fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let mut traffic = Traffic::new(seed, start());
        let mut bodies: Vec<(String, Bytes)> = Vec::new();
        for size in [1, 350, 0, 7] {
            let batch = traffic.next_batch(size);
            bodies.push((batch.id, batch.body));
        }
        bodies
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn another_start_gives_other_ids() {
    let run = |start| -> (String, HashSet<EventKey>) {
        let mut traffic = Traffic::new(1, start);
        traffic.next_batch(1_000);
        let batch = traffic.all_types().next_batch(500);
        let own = |key: &EventKey| key.event_id().is_some();
        (batch.id, batch.keys.into_iter().filter(own).collect())
    };
    let (id, keys) = run(start());
    let (earlier_id, earlier_keys) = run(start() - chrono::TimeDelta::seconds(1));
    assert!(id != earlier_id && keys.is_disjoint(&earlier_keys));
}

#[test]
fn keys_name_the_events_and_are_unique() {
    let mut traffic = Traffic::new(3, start());
    let mut seen = HashSet::new();
    for _ in 0..12 {
        let batch = traffic.next_batch(350);
        let counted = loader_rules::count(&batch.body);
        assert_eq!(counted.events.len(), 350);
        for (key, identity) in batch.keys.iter().zip(counted.events) {
            if key.event_id().is_some() {
                assert_eq!(key.to_string(), identity);
            }
            assert!(seen.insert(identity), "{key} occurs twice");
        }
    }
}

#[test]
fn events_have_the_size_of_real_ones() {
    let batch = Traffic::new(4, start()).next_batch(3_500);
    let mean = batch.body.len() / 3_500;
    assert!((1_000..1_500).contains(&mean), "{mean} bytes an event");
}

#[test]
fn the_events_of_a_message_agree_and_follow_each_other() {
    let batch = Traffic::new(5, start()).next_batch(9_000);
    let mut lives: HashMap<String, Vec<Value>> = HashMap::new();
    for event in events_of(&batch) {
        let outbound = event.get("campaign_id").is_some() && event.get("message_id").is_some();
        if outbound {
            let id = text(&event, "message_id").to_owned();
            lives.entry(id).or_default().push(event);
        }
    }
    let mut steps: BTreeMap<(String, String), u32> = BTreeMap::new();
    for life in lives.values() {
        for pair in life.windows(2) {
            for same in [
                "rcpt_to",
                "transmission_id",
                "campaign_id",
                "template_id",
                "injection_time",
            ] {
                assert_eq!(pair[0][same], pair[1][same], "{same}");
            }
            assert_eq!(pair[0].get("subaccount_id"), pair[1].get("subaccount_id"));
            assert!(text(&pair[0], "timestamp") <= text(&pair[1], "timestamp"));
            let step = (
                text(&pair[0], "type").to_owned(),
                text(&pair[1], "type").to_owned(),
            );
            *steps.entry(step).or_default() += 1;
        }
        let refused = text(&life[0], "type") == "policy_rejection";
        assert!(refused || text(&life[0], "type") == "injection");
    }
    let seen = |from: &str, to: &str| steps.get(&(from.to_owned(), to.to_owned())).copied();
    assert!(seen("injection", "delivery") > Some(2_000), "{steps:?}");
    for (from, to) in [
        ("injection", "bounce"),
        ("injection", "delay"),
        ("delay", "delivery"),
        ("delay", "bounce"),
        ("delivery", "initial_open"),
        ("initial_open", "open"),
        ("open", "click"),
        ("delivery", "out_of_band"),
        ("delivery", "spam_complaint"),
        ("click", "link_unsubscribe"),
    ] {
        assert!(seen(from, to).is_some(), "no {to} after {from}: {steps:?}");
    }
    assert!(seen("bounce", "delivery").is_none() && seen("injection", "open").is_none());
}

#[test]
fn nobody_real_is_addressed() {
    let mut traffic = Traffic::new(6, start());
    let mut events = events_of(&traffic.next_batch(2_000));
    events.extend(events_of(
        &Traffic::new(6, start()).all_types().next_batch(270),
    ));
    let reserved = |domain: &str| {
        ["example.com", "example.net", "example.org"]
            .iter()
            .any(|known| domain == *known || domain.ends_with(&format!(".{known}")))
    };
    for event in events {
        for name in [
            "rcpt_to",
            "raw_rcpt_to",
            "friendly_from",
            "msg_from",
            "mailfrom",
        ] {
            if let Some(address) = event.get(name).and_then(Value::as_str) {
                let (_, domain) = address.split_once('@').unwrap();
                assert!(reserved(domain), "{address}");
            }
        }
        for name in ["ip_address", "sending_ip", "remote_addr"] {
            if let Some(address) = event.get(name).and_then(Value::as_str) {
                let address: std::net::Ipv4Addr = address.parse().unwrap();
                assert!(address.is_documentation(), "{address}");
            }
        }
    }
}

#[test]
fn the_primary_account_has_no_subaccount_id() {
    let events = events_of(&Traffic::new(7, start()).next_batch(5_000));
    let ids: HashSet<Option<&str>> = events
        .iter()
        .map(|event| event.get("subaccount_id").and_then(Value::as_str))
        .collect();
    assert_eq!(ids.len(), 10);
    assert!(ids.contains(&None) && ids.contains(&Some("101")) && ids.contains(&Some("109")));
}

#[test]
fn a_storm_is_one_subaccount_and_blocks() {
    let mut traffic = Traffic::new(8, start());
    let share = |traffic: &mut Traffic| {
        let events = events_of(&traffic.next_batch(3_000));
        events
            .iter()
            .filter(|event| event["type"] == "bounce" && event["subaccount_id"] == "107")
            .count()
    };
    let before = share(&mut traffic);
    traffic.set_storm(Some(107));
    let during = share(&mut traffic);
    traffic.set_storm(None);
    let after = share(&mut traffic);
    assert!(
        before < 30 && during > 800 && after < 60,
        "{before} {during} {after}"
    );
}

#[test]
fn only_the_types_asked_for_come_in_turn() {
    let types = [EventType::Bounce, EventType::SmsStatus];
    let batch = Traffic::new(9, start()).only(&types).next_batch(5);
    let names: Vec<&str> = batch.keys.iter().map(|key| key.event_type.name()).collect();
    assert_eq!(
        names,
        ["bounce", "sms_status", "bounce", "sms_status", "bounce"]
    );
    let live = Traffic::new(9, start()).only(&[]).next_batch(5);
    assert_eq!(live.body, Traffic::new(9, start()).next_batch(5).body);
}

#[test]
fn the_clock_follows_the_gap() {
    let mut traffic = Traffic::new(10, start());
    traffic.set_gap(Duration::from_secs(10));
    let batch = traffic.next_batch(1_000);
    let elapsed = (traffic.now() - start()).num_seconds();
    assert!((9_000..11_000).contains(&elapsed), "{elapsed}");
    for event in events_of(&batch) {
        let at: i64 = text(&event, "timestamp").parse().unwrap();
        assert!(at >= start().timestamp() && at <= traffic.now().timestamp());
    }
}

#[test]
fn the_old_style_has_numbers_and_flags_in_text() {
    let mut traffic = Traffic::new(11, start()).all_types().with_style(Style::Old);
    for event in events_of(&traffic.next_batch(54)) {
        assert!(event["timestamp"].is_u64());
        assert!(event["subaccount_id"].is_u64());
        for name in ["open_tracking", "retryable"] {
            assert!(event.get(name).is_none_or(Value::is_string), "{name}");
        }
        if let Some(id) = event.get("event_id") {
            assert!(id.is_string(), "ids beyond 2^53 stay text");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn every_batch_is_json_with_as_many_events_as_asked(
        seed: u64,
        sizes in proptest::collection::vec(0..120_usize, 1..6),
        storm in proptest::option::of(100..110_u32),
        gap_ms in 0..100_000_u64,
        start_secs in 0..4_000_000_000_i64,
    ) {
        let start_at = DateTime::from_timestamp(start_secs, 0).unwrap();
        let mut traffic = Traffic::new(seed, start_at);
        traffic.set_storm(storm);
        traffic.set_gap(Duration::from_millis(gap_ms));
        for size in sizes {
            let batch = traffic.next_batch(size);
            let counted = loader_rules::count(&batch.body);
            prop_assert_eq!((counted.events.len(), counted.rejects), (size, 0));
            prop_assert_eq!((batch.events, batch.keys.len()), (size, size));
            prop_assert_eq!(batch.id.len(), 36);
        }
    }
}
