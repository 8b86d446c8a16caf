//! Decoding as a table of bodies and what becomes of them; only [`check`] and [`decode`] know the API.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use chrono::{TimeZone, Utc};
use proptest::prelude::*;

use super::*;

fn input(body: &[u8]) -> BatchInput<'_> {
    BatchInput {
        source: "events",
        received_at: Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap(),
        batch_id: Some("batch-1"),
        content_encoding: None,
        body,
        stream: "20260301T000000Z-0123456789abcdef",
        segment: 7,
        batch_index: 2,
    }
}

fn decode(body: &[u8]) -> (Counts, Decoded) {
    let mut decoder = Decoder::new();
    let counts = decoder.decode(&input(body));
    (counts, decoder.finish().unwrap())
}

fn text(rows: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let column = rows.column_by_name(column).unwrap().as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

fn int(rows: &RecordBatch, column: &str, row: usize) -> Option<i64> {
    let column = rows
        .column_by_name(column)
        .unwrap()
        .as_primitive::<Int64Type>();
    column.is_valid(row).then(|| column.value(row))
}

fn float(rows: &RecordBatch, column: &str, row: usize) -> Option<f64> {
    let column = rows
        .column_by_name(column)
        .unwrap()
        .as_primitive::<Float64Type>();
    column.is_valid(row).then(|| column.value(row))
}

/// Events, alerts, pings, and the code of each reject.
#[track_caller]
fn check(body: &[u8], rows: (u64, u64, u64), codes: &[&str]) {
    let (counts, decoded) = decode(body);
    let label = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
    assert_eq!(
        (counts.events, counts.alerts, counts.pings),
        rows,
        "{label}"
    );
    let found: Vec<_> = (0..decoded.quarantine.num_rows())
        .map(|row| text(&decoded.quarantine, "code", row).unwrap())
        .collect();
    assert_eq!(found, codes, "{label}");
}

const GOOD: &str =
    r#"{"msys":{"message_event":{"type":"delivery","event_id":"1","timestamp":"1460989507"}}}"#;

#[test]
fn bodies_that_carry_nothing_are_counted_and_not_rejected() {
    check(b"[]", (0, 0, 0), &[]);
    check(b"", (0, 0, 0), &[]);
    check(b" \r\n", (0, 0, 0), &[]);
    check(br#"[{"msys":{}}]"#, (0, 0, 1), &[]);
}

#[test]
fn bodies_that_are_no_arrays_are_one_reject() {
    check(b"not json", (0, 0, 0), &["json"]);
    check(br#"{"a":1}"#, (0, 0, 0), &["envelope"]);
    check(b"null", (0, 0, 0), &["envelope"]);
    check(b"\xff\xfe", (0, 0, 0), &["utf8"]);
    check(b"\xef\xbb\xbf[]", (0, 0, 0), &["utf8"]);
    check(b"{\"a\":", (0, 0, 0), &["json"]);
}

#[test]
fn an_alert_may_stand_by_itself() {
    let alert = br#" {"alert_id": 1, "metric": "health_score", "filters": {"subaccount_id": 3}, "triggered_value": 5.5, "triggered_at": "2021-03-23T08:31:28.999Z"}
"#;
    check(alert, (0, 1, 0), &[]);
    let array = [b"[", &alert[..], b"]"].concat();
    let rows = |body: &[u8]| decode(body).1.alerts;
    assert_eq!(rows(alert), rows(&array), "no byte tells them apart");
    // Two are no JSON, half of one is none either.
    check(&[&alert[..], alert].concat(), (0, 0, 0), &["json"]);
    check(&alert[..40], (0, 0, 0), &["json"]);
}

#[test]
fn a_broken_item_never_costs_its_neighbours() {
    let broken = [
        ("1", "envelope"),
        ("null", "envelope"),
        ("\"text\"", "envelope"),
        ("[]", "envelope"),
        ("{}", "envelope"),
        (r#"{"a":1}"#, "envelope"),
        (r#"{"msys":1}"#, "envelope"),
        (r#"{"msys":{"message_event":[]}}"#, "envelope"),
        (r#"{"msys":{"message_event":{"event_id":"2"}}}"#, "envelope"),
        (
            r#"{"msys":{"message_event":{"type":"a"},"track_event":{"type":"b"}}}"#,
            "envelope",
        ),
        (r#"{"msys":{"message_event":{"type":nope}}}"#, "json"),
        (r#"{"msys":{"message_event":{"type":"a",}}}"#, "json"),
        (
            r#"{"msys":{"message_event":{"msg_size":01,"type":"a"}}}"#,
            "json",
        ),
        (r#"{"msys":{"message_event":{"type":"\ud800"}}}"#, "utf8"),
        (r#"{"alert_id":1,"filters":{"a":}}"#, "json"),
        (r#"{"msys":{},"alert_id":7}"#, "envelope"),
        ("", "json"),
    ];
    for (item, code) in broken {
        let body = format!("[{GOOD},{item},{GOOD}]");
        check(body.as_bytes(), (2, 0, 0), &[code]);
    }
    let mut body = format!("[{GOOD},{{\"msys\":\"").into_bytes();
    body.extend_from_slice(b"\xc3\x28\"}");
    body.extend_from_slice(format!(",{GOOD}]").as_bytes());
    check(&body, (2, 0, 0), &["utf8"]);
}

#[test]
fn a_body_cut_short_keeps_what_came_before() {
    let whole = format!("[{GOOD},{GOOD}]");
    for cut in 1..whole.len() {
        let (counts, _) = decode(&whole.as_bytes()[..cut]);
        assert!(counts.rejects >= 1, "{cut}");
        let complete = u64::from(cut > GOOD.len()) + u64::from(cut > 2 * GOOD.len() + 1);
        assert_eq!(counts.events, complete, "{cut}");
    }
}

#[test]
fn nesting_is_limited() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"[{{"msys":{{"x":{{"type":"t","event_id":"1","rcpt_meta":{open}{close}}}}}}}]"#)
    };
    check(nested(124).as_bytes(), (1, 0, 0), &[]);
    check(nested(125).as_bytes(), (0, 0, 0), &["depth"]);
    check(nested(100_000).as_bytes(), (0, 0, 0), &["depth"]);
}

#[test]
fn an_item_of_too_many_tokens_is_a_reject() {
    let flood = "0,".repeat(crate::split::MAX_TOKENS + 20_000);
    let body = format!(r#"[{GOOD},{{"msys":[{flood}0]}},{GOOD}]"#);
    check(body.as_bytes(), (2, 0, 0), &["size"]);
}

#[test]
fn a_reject_names_its_place() {
    let body = format!("[{GOOD}, {{\"msys\":nope}}]");
    let (_, decoded) = decode(body.as_bytes());
    let rows = &decoded.quarantine;
    let offset = usize::try_from(int(rows, "byte_offset", 0).unwrap()).unwrap();
    let fault = body.find("nope").unwrap();
    assert!(
        (fault..=fault + 4).contains(&offset),
        "{offset} is not at {fault}"
    );
    assert_eq!(int(rows, "item_index", 0), Some(1));
    assert_eq!(int(rows, "batch_index", 0), Some(2));
    assert!(text(rows, "excerpt", 0).unwrap().contains("nope"));
}

#[test]
fn a_flood_of_faulty_items_is_cut_and_still_accounted() {
    let body = format!("[{}{GOOD}]", "1,".repeat(20_000));
    let (counts, decoded) = decode(body.as_bytes());
    assert_eq!(
        (counts.items, counts.events, counts.rejects),
        (MAX_REJECTS + 1, 0, MAX_REJECTS + 1)
    );
    assert_eq!(decoded.quarantine.num_rows() as u64, counts.rejects);
}

#[test]
fn many_unknown_keys_are_read_in_linear_time() {
    let keys: String = (0..100_000).map(|key| format!(r#""k{key}":1,"#)).collect();
    let body = format!(r#"[{{"msys":{{"message_event":{{{keys}"type":"a","event_id":"1"}}}}}}]"#);
    check(body.as_bytes(), (1, 0, 0), &[]);
}

#[test]
fn values_of_the_head_that_do_not_fit_are_kept() {
    let body = br#"[{"msys":{"x":{"type":["a"],"event_id":{"b":1},"subaccount_id":"abc"}}}]"#;
    let (_, decoded) = decode(body);
    let extra = text(&decoded.events, "extra", 0).unwrap();
    assert_eq!(
        extra,
        r#"{"type":["a"],"event_id":{"b":1},"subaccount_id":"abc"}"#
    );
    assert_eq!(int(&decoded.events, "subaccount_id", 0), None);
}

#[test]
fn drift_between_text_number_and_boolean_is_absorbed() {
    let body = br#"[{"msys":{"track_event":{"type":"open","event_id":92356927693813856,"timestamp":1460989507,
        "subaccount_id":101,"msg_size":1337,"num_retries":"2","amp_enabled":"1","open_tracking":1,"click_tracking":false,
        "customer_id":1,"template_version":0,"queue_time":"","geo_ip":{"latitude":"39.1749","longitude":-76.8375,"zip":21046,"planet":"earth"},
        "user_agent_parsed":{"is_mobile":"false","os_family":"Mac"},"rcpt_meta":{"a" : [1, 2.50]},"rcpt_tags":["x"]}}}]"#;
    let (counts, decoded) = decode(body);
    assert_eq!(counts.events, 1);
    let rows = &decoded.events;
    assert_eq!(
        text(rows, "event_id", 0).as_deref(),
        Some("92356927693813856")
    );
    assert_eq!(int(rows, "subaccount_id", 0), Some(101));
    assert_eq!(int(rows, "msg_size", 0), Some(1337));
    assert_eq!(int(rows, "num_retries", 0), Some(2));
    assert_eq!(int(rows, "queue_time", 0), None);
    assert_eq!(float(rows, "geo_ip_latitude", 0), Some(39.1749));
    assert_eq!(float(rows, "geo_ip_longitude", 0), Some(-76.8375));
    assert_eq!(text(rows, "geo_ip_zip", 0).as_deref(), Some("21046"));
    assert_eq!(text(rows, "template_version", 0).as_deref(), Some("0"));
    assert_eq!(
        text(rows, "rcpt_meta", 0).as_deref(),
        Some(r#"{"a" : [1, 2.50]}"#)
    );
    assert_eq!(
        text(rows, "extra", 0).as_deref(),
        Some(r#"{"geo_ip":{"planet":"earth"}}"#)
    );
    assert_eq!(text(rows, "flags", 0), None);
    let amp = rows.column_by_name("amp_enabled").unwrap().as_boolean();
    assert!(amp.value(0));
    let event_at = rows.column_by_name("event_at").unwrap();
    let event_at = event_at.as_primitive::<TimestampMicrosecondType>();
    assert_eq!(event_at.value(0), 1_460_989_507_000_000);
}

#[test]
fn what_is_unknown_or_does_not_fit_is_kept() {
    let body = br#"[{"cust":{"id":"42"},"msys":{"new_event":{"type":"brand_new","event_id":"7","timestamp":"x",
        "msg_size":"big","subaccount_id":[12],"fresh\u0041":"a\u0000b"}}}]"#;
    let (_, decoded) = decode(body);
    let rows = &decoded.events;
    assert_eq!(text(rows, "event_class", 0).as_deref(), Some("new_event"));
    assert_eq!(text(rows, "type", 0).as_deref(), Some("brand_new"));
    let extra = text(rows, "extra", 0).unwrap();
    let extra: serde_json::Value = serde_json::from_str(&extra).unwrap();
    assert_eq!(extra["freshA"], "a\0b");
    assert_eq!(extra["msg_size"], "big");
    assert_eq!(extra["subaccount_id"][0], 12);
    assert_eq!(extra["$element"]["cust"]["id"], "42");
    assert_eq!(
        text(rows, "flags", 0).as_deref(),
        Some("timestamp_unreadable,misfit:subaccount_id,misfit:msg_size")
    );
    assert!(decoded.event_identities[0].undated);
}

#[test]
fn an_event_without_an_id_is_known_by_its_content() {
    let one = br#"[{"msys":{"message_event":{"type":"sms_status","timestamp":"1460989507","sms_dst":"1"}}}]"#;
    let same = br#"[ {"msys":{"message_event":{"sms_dst":"1","type":"sms_status", "timestamp":"1460989507"}}} ]"#;
    let other = br#"[{"msys":{"message_event":{"type":"sms_status","timestamp":"1460989507","sms_dst":"2"}}}]"#;
    let key = |body| decode(body).1.event_identities[0].key;
    assert_eq!(key(one), key(same));
    assert_ne!(key(one), key(other));
    assert!(text(&decode(one).1.events, "event_hash", 0).is_some());
}

#[test]
fn of_equal_keys_the_last_wins() {
    let body =
        br#"[{"msys":{"message_event":{"type":"a","type":"b","event_id":"1","x":1,"x":2}}}]"#;
    let (_, decoded) = decode(body);
    assert_eq!(text(&decoded.events, "type", 0).as_deref(), Some("b"));
    assert_eq!(
        text(&decoded.events, "extra", 0).as_deref(),
        Some(r#"{"x":2}"#)
    );
}

#[test]
fn both_alert_shapes_are_read_and_the_parts_of_the_account_told_apart() {
    let body = br#"[
      {"alert_id":1,"name":"n","metric":"health_score","evaluator":{"operator":"gt","source":"raw","value":1},
       "triggered_value":78.27250957000001,"triggered_at":"2021-03-23T08:31:28.999Z","filters":{}},
      {"alert_id":1,"incident_id":5,"metric":"health_score","threshold_evaluator":{"operator":"LT","source":"Day Over Day","value":50},
       "triggered_value":40,"triggered_at":"2019-06-01T14:48:00.000Z","filters":{"subaccount_id":0,"ip_pool":"default"}},
      {"alert_id":1,"metric":"health_score","triggered_value":"75.5","triggered_at":"2019-06-01T14:48:00.000Z","filters":{"subaccount_id":6257},"new":true}
    ]"#;
    let (counts, decoded) = decode(body);
    assert_eq!(counts.alerts, 3);
    let rows = &decoded.alerts;
    assert_eq!(
        float(rows, "triggered_value", 0),
        Some(78.272_509_570_000_01)
    );
    let subaccounts: Vec<_> = (0..3).map(|row| int(rows, "subaccount_id", row)).collect();
    assert_eq!(subaccounts, [None, Some(0), Some(6257)]);
    assert_eq!(text(rows, "operator", 1).as_deref(), Some("lt"));
    assert_eq!(text(rows, "source", 1).as_deref(), Some("day_over_day"));
    assert_eq!(float(rows, "threshold", 1), Some(50.0));
    assert_eq!(int(rows, "incident_id", 1), Some(5));
    assert_eq!(text(rows, "facet_name", 1).as_deref(), Some("ip_pool"));
    assert_eq!(text(rows, "facet_value", 1).as_deref(), Some("default"));
    assert_eq!(float(rows, "triggered_value", 2), Some(75.5));
    assert_eq!(text(rows, "extra", 2).as_deref(), Some(r#"{"new":true}"#));
    let keys: std::collections::HashSet<_> = decoded
        .alert_identities
        .iter()
        .map(|identity| identity.key)
        .collect();
    assert_eq!(keys.len(), 3);
}

#[test]
fn compressed_bodies_are_opened_and_bombs_rejected() {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(format!("[{GOOD}]").as_bytes()).unwrap();
    let body = encoder.finish().unwrap();
    let mut decoder = Decoder::new();
    let gzip = BatchInput {
        content_encoding: Some("gzip"),
        ..input(&body)
    };
    assert_eq!(decoder.decode(&gzip).events, 1);
    let mislabelled = BatchInput {
        content_encoding: Some("gzip"),
        ..input(b"[]")
    };
    assert_eq!(decoder.decode(&mislabelled).rejects, 1);
    let rows = decoder.finish().unwrap().quarantine;
    assert_eq!(text(&rows, "code", 0).as_deref(), Some("encoding"));
}

/// Real payloads, where they are at hand.
#[test]
fn real_samples_are_decoded_whole() {
    let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/samples");
    if !samples.is_dir() {
        return;
    }
    let cases = [
        ("events/official-all-27-types-2026.json", 27, 0),
        ("events/official-all-19-types-2016.json", 19, 0),
        ("events/capture-mixed-batch-2017.json", 11, 0),
        ("alerts/webhook-capture-2021-03-23.raw.json", 0, 6),
        ("alerts/webhook-official-doc-sample.json", 0, 1),
    ];
    for (name, events, alerts) in cases {
        let body = std::fs::read(samples.join(name)).unwrap();
        let (counts, decoded) = decode(&body);
        assert_eq!(
            (counts.events, counts.alerts, counts.rejects),
            (events, alerts, 0),
            "{name}"
        );
        for row in 0..decoded.events.num_rows() {
            assert_eq!(
                text(&decoded.events, "flags", row),
                None,
                "{name} row {row}"
            );
        }
    }
    let body = std::fs::read(samples.join("events/official-all-27-types-2026.json")).unwrap();
    let (_, decoded) = decode(&body);
    for row in 0..27 {
        assert_eq!(text(&decoded.events, "extra", row), None, "row {row}");
    }
}

/// JSON that resembles events, for mutation.
fn event_like() -> impl Strategy<Value = Vec<u8>> {
    let scalar = prop_oneof![
        "[a-z\\\\\"{}\\[\\],: \\u{0}-\\u{2f}é]{0,10}".prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(|float| serde_json::json!(float)),
        any::<bool>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    let keys = prop_oneof![
        Just("type"),
        Just("event_id"),
        Just("timestamp"),
        Just("msg_size"),
        Just("rcpt_meta"),
        Just("geo_ip"),
        Just("subaccount_id"),
        Just("unknown"),
        Just("amp_enabled"),
        Just("é\n"),
    ];
    proptest::collection::vec((keys, scalar), 0..8).prop_map(|fields| {
        let event: serde_json::Map<_, _> = fields
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        serde_json::to_vec(&serde_json::json!([{"msys": {"message_event": event}}, {"msys": {}}]))
            .unwrap()
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_the_books_balance(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (counts, decoded) = decode(&body);
        prop_assert_eq!(counts.items, counts.events + counts.alerts + counts.rejects);
        prop_assert_eq!(decoded.quarantine.num_rows() as u64, counts.rejects);
    }

    #[test]
    fn mutated_events_never_panic_and_agree_with_serde_json(
        mut body in event_like(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        mutate in any::<bool>(),
    ) {
        if mutate {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let (counts, decoded) = decode(&body);
        prop_assert_eq!(counts.items, counts.events + counts.alerts + counts.rejects);
        prop_assert_eq!(decoded.events.num_rows() as u64, counts.events);
        let codes = decoded.quarantine.column_by_name("code").unwrap();
        let rejected = |wanted: &str| codes.as_string::<i32>().iter().flatten().any(|code| code == wanted);
        match std::str::from_utf8(&body) {
            Err(_) => prop_assert!(rejected("utf8") || rejected("json")),
            Ok(text) => {
                let valid = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
                prop_assert_eq!(valid, !rejected("json"), "{}", text);
            }
        }
    }
}
