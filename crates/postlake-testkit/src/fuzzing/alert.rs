//! The reader of alerts: white space changes nothing, and what it calls JSON is JSON.

use postlake_event::decode::Decoded;
use serde::de::IgnoredAny;

use super::body::{decoded, text};

pub(super) fn check(body: &[u8]) {
    let (counts, alerts) = decoded("alerts", body);
    check_json(&alerts);
    let (events_counts, _) = decoded("events", body);
    assert_eq!(counts, events_counts, "what an item is is seen from itself");
    let Some(spaced) = spaced(body) else {
        return;
    };
    let (same_counts, same) = decoded("alerts", &spaced);
    assert_eq!(counts, same_counts);
    for row in 0..alerts.alerts.num_rows() {
        for column in ["record_id", "filters", "name", "metric", "facet_name"] {
            let values = [&alerts, &same].map(|rows| text(&rows.alerts, column, row));
            assert_eq!(values[0], values[1], "{column}");
        }
    }
    let keys = |rows: &Decoded| {
        rows.alert_identities
            .iter()
            .map(|one| one.key)
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&alerts), keys(&same));
}

fn check_json(decoded: &Decoded) {
    for row in 0..decoded.alerts.num_rows() {
        for column in ["filters", "extra"] {
            let json = text(&decoded.alerts, column, row).unwrap_or("{}");
            serde_json::from_str::<IgnoredAny>(json)
                .unwrap_or_else(|error| panic!("{column} {json}: {error}"));
        }
        assert_eq!(
            text(&decoded.alerts, "record_id", row).map(str::len),
            Some(36)
        );
    }
}

/// The same JSON with white space around its structure; none for what is not JSON, or is nearly too large.
fn spaced(body: &[u8]) -> Option<Vec<u8>> {
    serde_json::from_slice::<IgnoredAny>(body).ok()?;
    let (mut spaced, mut in_text, mut escaped) = (Vec::new(), false, false);
    for byte in body {
        let structure = !in_text && b"{}[],:".contains(byte);
        if structure {
            spaced.extend(b" \n");
        }
        spaced.push(*byte);
        if structure {
            spaced.extend(b"\t\r");
        }
        in_text ^= *byte == b'"' && !escaped;
        escaped = in_text && *byte == b'\\' && !escaped;
    }
    Some(spaced)
}
