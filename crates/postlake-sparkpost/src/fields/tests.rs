use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::{Map, Value};

use super::*;
use crate::traffic::Traffic;

/// How many fields the documentation has for each type; counted in the official samples.
const COUNTS: [(&str, usize); 27] = [
    ("injection", 45),
    ("delivery", 51),
    ("delay", 51),
    ("bounce", 49),
    ("out_of_band", 40),
    ("policy_rejection", 33),
    ("spam_complaint", 38),
    ("sms_status", 23),
    ("open", 42),
    ("initial_open", 42),
    ("click", 44),
    ("amp_open", 42),
    ("amp_initial_open", 42),
    ("amp_click", 44),
    ("generation_failure", 30),
    ("generation_rejection", 32),
    ("list_unsubscribe", 40),
    ("link_unsubscribe", 44),
    ("relay_injection", 18),
    ("relay_rejection", 19),
    ("relay_delivery", 20),
    ("relay_tempfail", 23),
    ("relay_permfail", 24),
    ("ab_test_completed", 6),
    ("ab_test_cancelled", 6),
    ("success", 9),
    ("error", 13),
];

/// Full events by type, several of each.
fn full_events(seed: u64) -> Vec<(String, Map<String, Value>)> {
    let start = DateTime::from_timestamp(1_750_000_000, 0).unwrap();
    let batch = Traffic::new(seed, start).all_types().next_batch(27 * 5);
    let items: Vec<Value> = serde_json::from_slice(&batch.body).unwrap();
    items.iter().map(event_of).collect()
}

fn event_of(item: &Value) -> (String, Map<String, Value>) {
    let msys = item["msys"].as_object().unwrap();
    assert_eq!(msys.len(), 1);
    let (class, event) = msys.iter().next().unwrap();
    (class.clone(), event.as_object().unwrap().clone())
}

fn has_kind(value: &Value, kind: JsonKind) -> bool {
    let text = value.as_str();
    match kind {
        JsonKind::Text => text.is_some_and(|text| !text.is_empty()),
        JsonKind::Digits => text.is_some_and(|text| text.parse::<i64>().is_ok()),
        JsonKind::Decimal => text.is_some_and(|text| text.parse::<f64>().is_ok()),
        JsonKind::Instant => text.is_some_and(|text| {
            text.ends_with('Z') && text.len() == 24 && DateTime::parse_from_rfc3339(text).is_ok()
        }),
        JsonKind::Boolean => value.is_boolean(),
        JsonKind::Integer => value.is_u64(),
        JsonKind::Object => value.as_object().is_some_and(|object| !object.is_empty()),
        JsonKind::Texts => value
            .as_array()
            .is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_string)),
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = all().iter().map(Field::name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all().len());
}

#[test]
fn each_type_has_its_documented_number_of_fields() {
    for (event_type, (name, fields)) in EventType::ALL.into_iter().zip(COUNTS) {
        assert_eq!(event_type.name(), name);
        assert_eq!(of(event_type).count(), fields, "{event_type}");
    }
}

#[test]
fn a_full_event_has_every_documented_field_with_its_type() {
    for seed in 0..20 {
        for (class, event) in full_events(seed) {
            let event_type: EventType = event["type"].as_str().unwrap().parse().unwrap();
            assert_eq!(class, event_type.class().name());
            for field in of(event_type) {
                let value = &event[field.name()];
                assert!(
                    has_kind(value, field.kind()),
                    "{event_type}.{} is {value}, not {:?}",
                    field.name(),
                    field.kind()
                );
            }
            assert_eq!(event.len(), of(event_type).count(), "{event_type}");
        }
    }
}

#[test]
fn parsed_objects_have_all_members() {
    for (_, event) in full_events(3) {
        if let Some(geo) = event.get("geo_ip") {
            assert!(geo["latitude"].is_f64() && geo["longitude"].is_f64());
            assert!(geo["zip"].is_u64() && geo["postal_code"].is_string());
            assert!(geo["country"].is_string() && geo["city"].is_string());
            let agent = event["user_agent_parsed"].as_object().unwrap();
            assert_eq!(agent.len(), 8);
            assert_eq!(agent.values().filter(|value| value.is_boolean()).count(), 3);
        }
        if let Some(test) = event.get("ab_test") {
            let completed = event["type"] == "ab_test_completed";
            assert_eq!(test.get("winning_template_id").is_some(), completed);
            assert!(test["variants"][1]["engagement_rate"].is_f64());
        }
    }
}

/// The official samples, where the folder with them lies beside the repository.
fn official_samples() -> Option<Vec<(String, Map<String, Value>)>> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/samples/events/official-all-27-types-2026.json"
    );
    let items: Vec<Value> = serde_json::from_slice(&std::fs::read(path).ok()?).unwrap();
    Some(items.iter().map(event_of).collect())
}

/// Member names with the JSON type of their values, into nested objects but those of free form.
fn form(event: &Map<String, Value>) -> BTreeMap<String, &'static str> {
    let mut form = BTreeMap::new();
    for (name, value) in event {
        form.insert(name.clone(), json_type(value));
        let free = name.starts_with("rcpt_");
        if let (Value::Object(inner), false) = (value, free) {
            for (inner, value) in inner {
                form.insert(format!("{name}.{inner}"), json_type(value));
            }
        }
    }
    form
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[test]
fn full_events_have_the_form_of_the_official_samples() {
    let Some(samples) = official_samples() else {
        eprintln!("skipped: the official samples are not beside the repository");
        return;
    };
    let ours = full_events(1);
    assert_eq!(samples.len(), 27);
    for (class, sample) in &samples {
        let (our_class, event) = ours
            .iter()
            .find(|(_, event)| event["type"] == sample["type"])
            .unwrap();
        assert_eq!(our_class, class);
        assert_eq!(form(event), form(sample), "{}", sample["type"]);
    }
}
