//! The cutting of a body into items: a stream in pieces has the items of the whole.

use postlake_event::decode::{Counts, Decoder, Stream};

use super::body::{check_counts, decoded, input};

/// The first byte says how large the pieces are.
pub(super) fn check(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else {
        return;
    };
    let (counts, rows) = decoded("events", body);
    let pieces = in_pieces(body, usize::from(*first) + 1);
    let whole = in_pieces(body, body.len() + 1);
    assert_eq!(pieces, whole, "the pieces decide what an item is");
    // A body is no stream when it is more, or other, than one array.
    if serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(body).is_ok() {
        assert_eq!(pieces.0, counts);
        let kept = [&rows.events, &rows.alerts].map(|rows| rows.num_rows());
        assert_eq!(pieces.1, kept);
    }
}

/// The accounts, the rows of events and alerts, and where items lie.
fn in_pieces(body: &[u8], size: usize) -> (Counts, [usize; 2], Vec<i64>) {
    let mut decoder = Decoder::new();
    let (mut stream, mut total) = (Stream::default(), Counts::default());
    let (mut from, mut to) = (0, 0);
    loop {
        to = (to + size).min(body.len());
        let at_end = to == body.len();
        let part = input("events", &body[from..to]);
        let (consumed, counts) = decoder.decode_part(&part, &mut stream, at_end);
        assert!(consumed <= to - from);
        from += consumed;
        assert_eq!(stream.offset(), from);
        total.items += counts.items;
        total.events += counts.events;
        total.alerts += counts.alerts;
        total.rejects += counts.rejects;
        total.pings += counts.pings;
        if at_end {
            assert_eq!(from, body.len(), "what is left at the end is taken");
            break;
        }
    }
    let decoded = decoder.finish().unwrap();
    check_counts(&total, &decoded);
    let rows = [&decoded.events, &decoded.alerts].map(|rows| rows.num_rows());
    let identities = decoded
        .event_identities
        .iter()
        .chain(&decoded.alert_identities);
    (
        total,
        rows,
        identities.map(|identity| identity.item_index).collect(),
    )
}
