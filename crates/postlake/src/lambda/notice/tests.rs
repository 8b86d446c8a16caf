use serde_json::json;

use super::*;

const SEGMENT: &str = "raw/2026-03-01/20260301T000000Z-00000000000000ab/0000000001.seg.zst";

fn record(bucket: &str, key: &str) -> Value {
    json!({
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": bucket }, "object": { "key": key, "size": 3 } },
    })
}

fn queued(id: &str, body: &str) -> Value {
    json!({ "messageId": id, "eventSource": "aws:sqs", "body": body })
}

fn bodies(records: &[Value]) -> String {
    json!({ "Records": records }).to_string()
}

fn check(event: &Value, prefix: &str, expected: &[(&str, &[&str], usize)]) {
    let notices = read(event.to_string().as_bytes(), "ours", prefix);
    let expected: Vec<_> = expected
        .iter()
        .map(|(id, segments, passed_over)| Message {
            id: (*id).to_owned(),
            segments: segments.iter().map(|name| (*name).to_owned()).collect(),
            passed_over: *passed_over,
        })
        .collect();
    assert_eq!(notices.messages, expected, "{event}");
}

/// The original code looked at the first record of a notification and no other.
#[test]
fn defect_first_record_only() {
    let second = SEGMENT.replace("0000000001", "0000000002");
    let body = bodies(&[record("ours", SEGMENT), record("ours", &second)]);
    let event = json!({ "Records": [queued("a", &body), queued("b", &body)] });
    let both: &[&str] = &[SEGMENT, &second];
    check(&event, "", &[("a", both, 0), ("b", both, 0)]);
}

/// The original code took the key as it stands in the notification.
#[test]
fn defect_undecoded_keys() {
    for key in [
        "my+data/raw%2F2026-03-01%2F20260301T000000Z-00000000000000ab%2F0000000001.seg.zst",
        "my%20data/raw/2026-03-01/20260301T000000Z-00000000000000ab/0000000001.seg.zst",
    ] {
        let event = json!({ "Records": [record("ours", key)] });
        check(&event, "my data", &[("", &[SEGMENT], 0)]);
    }
}

#[test]
fn what_is_not_ours_is_passed_over() {
    let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"ours"}"#;
    let other = bodies(&[
        record("other", SEGMENT),
        record("ours", "raw/readme.txt"),
        record("ours", SEGMENT),
        json!({}),
    ]);
    let event = json!({ "Records": [
        queued("test", test),
        queued("no json", "hello"),
        queued("mixed", &other),
    ] });
    check(
        &event,
        "",
        &[
            ("test", &[], 1),
            ("no json", &[], 1),
            ("mixed", &[SEGMENT], 3),
        ],
    );
    assert!(read(b"hello", "ours", "").messages.is_empty());
    assert!(!read(bodies(&[record("ours", SEGMENT)]).as_bytes(), "ours", "").from_queue);
}

#[test]
fn a_topic_may_stand_between() {
    let body = json!({ "Type": "Notification", "Message": bodies(&[record("ours", SEGMENT)]) });
    let event = json!({ "Records": [queued("a", &body.to_string())] });
    check(&event, "", &[("a", &[SEGMENT], 0)]);
}
