use chrono::{DateTime, TimeZone, Utc};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::batch::SourceKind;

fn some_key() -> SegmentKey {
    let started = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap();
    let stream = StreamName::from_parts(started, 0x0123_4567_89ab_cdef);
    SegmentKey::new(stream, SegmentNumber::new(7).unwrap())
}

/// The batches of the committed fixture: an event batch, an alert, an empty body, a body of lines and NULs.
fn some_batches() -> Vec<Batch> {
    let at = |micros: i64| DateTime::from_timestamp_micros(1_767_323_045_123_456 + micros).unwrap();
    let json = || vec![("content-type".to_owned(), "application/json".to_owned())];
    let id = |text: &str| Some(text.to_owned());
    let ping = Bytes::from_static(br#"[{"msys":{}}]"#);
    let alert = Bytes::from_static(br#"[{"alert_id":1,"metric":"health_score"}]"#);
    let odd = Bytes::from_static(b"\n\n{\"source\":\"events\"\0\xff\r\n\n");
    vec![
        Batch::new(
            SourceKind::Event,
            at(0),
            id("77c2b630-d712-11e4-9642-efc2723b99c1"),
            json(),
            ping,
        ),
        Batch::new(SourceKind::Alert, at(1), None, Vec::new(), alert),
        Batch::new(SourceKind::Event, at(2), id(""), Vec::new(), Bytes::new()),
        Batch::new(
            SourceKind::Event,
            at(3),
            id("../\u{1F600}\u{0}\n\""),
            json(),
            odd,
        ),
    ]
}

/// A frame as ours, but around any content.
fn frame(content: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder
        .set_pledged_src_size(Some(content.len() as u64))
        .unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn content(bytes: &[u8]) -> Vec<u8> {
    decompress(bytes).unwrap().to_vec()
}

fn check_refused(bytes: &[u8], expected: &str) {
    let error = decode(None, bytes).unwrap_err();
    assert!(
        format!("{error:?}").starts_with(expected),
        "{error:?} is not {expected}"
    );
}

/// Swaps text in the content of a good segment and says what decode must answer.
fn check_altered(from: &str, to: &str, expected: &str) {
    let plain = content(&encode(&some_key(), &some_batches()).unwrap());
    let at = plain
        .windows(from.len())
        .position(|window| window == from.as_bytes())
        .unwrap();
    let altered = [&plain[..at], to.as_bytes(), &plain[at + from.len()..]].concat();
    check_refused(&frame(&altered), expected);
}

#[test]
fn the_committed_fixture_of_version_1_decodes_as_it_did() {
    let bytes = include_bytes!("../../fixtures/segments/v1-four-batches.seg.zst");
    let expected = include_bytes!("../../fixtures/segments/v1-four-batches.txt");
    let segment = decode(Some(&some_key()), bytes).unwrap();
    assert_eq!(
        segment.header,
        SegmentHeader {
            version: 1,
            stream: some_key().stream(),
            number: some_key().number()
        }
    );
    assert_eq!(segment.batches, some_batches());
    assert_eq!(content(bytes), expected);
}

#[test]
fn what_is_written_today_is_what_the_fixture_shows() {
    let expected = include_bytes!("../../fixtures/segments/v1-four-batches.txt");
    assert_eq!(
        content(&encode(&some_key(), &some_batches()).unwrap()),
        expected
    );
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = encode(&some_key(), &some_batches()).unwrap();
    for length in 0..bytes.len() {
        assert!(
            decode(None, &bytes[..length]).is_err(),
            "cut to {length} bytes"
        );
    }
}

#[test]
fn truncation_of_the_content_in_a_whole_frame_is_an_error_except_between_batches() {
    let batches = some_batches();
    let plain = content(&encode(&some_key(), &batches).unwrap());
    let whole = (0..=batches.len())
        .map(|count| content(&encode(&some_key(), &batches[..count]).unwrap()).len())
        .collect::<Vec<_>>();
    for length in 0..plain.len() {
        let decoded = decode(None, &frame(&plain[..length]));
        assert_eq!(
            decoded.is_ok(),
            whole.contains(&length),
            "cut to {length} bytes"
        );
    }
}

#[test]
fn every_flipped_bit_is_an_error_or_changes_nothing() {
    let segment = encode(&some_key(), &some_batches()).unwrap();
    let expected = decode(None, &segment).unwrap();
    for bit in 0..segment.len() * 8 {
        let mut altered = segment.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        if let Ok(decoded) = decode(None, &altered) {
            assert_eq!(decoded, expected, "bit {bit}");
        }
    }
}

#[test]
fn altered_content_is_named() {
    check_altered("\"alert_id\":1", "\"alert_id\":2", "BodyDigest { index: 1");
    check_altered(
        "\"body_bytes\":13",
        "\"body_bytes\":12",
        "BodyLength { index: 0",
    );
    check_altered(
        "\"body_bytes\":13",
        "\"body_bytes\":99999999999999999999",
        "Envelope { index: 0",
    );
    check_altered(
        "\"body_bytes\":13",
        "\"body_bytes\":18446744073709551615",
        "BodyLength { index: 0",
    );
    check_altered("\"version\":1", "\"version\":2", "UnknownFormat");
    check_altered("postlake-raw", "parquet", "UnknownFormat");
    check_altered("\"number\":7", "\"number\":0", "Header");
    check_altered(
        "{\"source\":\"alerts\"",
        "{\"sauce\":\"alerts\"",
        "Envelope { index: 1",
    );
}

#[test]
fn a_segment_under_another_name_is_refused() {
    let bytes = encode(&some_key(), &some_batches()).unwrap();
    let other = SegmentKey::new(some_key().stream(), SegmentNumber::FIRST);
    assert!(matches!(
        decode(Some(&other), &bytes),
        Err(SegmentError::WrongKey { .. })
    ));
}

#[test]
fn frames_that_are_not_ours_are_refused() {
    let plain = content(&encode(&some_key(), &some_batches()).unwrap());
    let unchecked = zstd::bulk::compress(&plain, 1).unwrap();
    check_refused(&unchecked, "NotAFrame");
    let mut unsized_frame = zstd::Encoder::new(Vec::new(), 1).unwrap();
    unsized_frame.include_checksum(true).unwrap();
    unsized_frame.write_all(&plain).unwrap();
    check_refused(&unsized_frame.finish().unwrap(), "NotAFrame");
    check_refused(b"", "NotAFrame");
    check_refused(&plain, "NotAFrame");
    let twice = [frame(&plain), frame(&plain)].concat();
    check_refused(&twice, "TrailingBytes");
}

#[test]
fn lines_without_end_are_refused_at_their_limit() {
    check_refused(
        &frame(&vec![b'x'; MAX_HEADER_BYTES * 2]),
        "UnendedLine { offset: 0",
    );
    let header = header_line(&some_key()).unwrap();
    let endless = [header, vec![b'x'; MAX_ENVELOPE_BYTES * 2]].concat();
    check_refused(&frame(&endless), "UnendedLine { offset: 9");
}

/// What comes after the start of the object is not needed, however long it is and however badly it packs.
#[test]
fn the_header_is_read_from_the_start_of_an_object() {
    let key = some_key();
    let mut noise = vec![0; 1 << 20];
    StdRng::seed_from_u64(1).fill_bytes(&mut noise);
    for body in [noise, vec![0; 1 << 20], Vec::new()] {
        let at = Utc.timestamp_nanos(0);
        let batch = Batch::new(SourceKind::Event, at, None, Vec::new(), body.into());
        let bytes = encode(&key, &[batch]).unwrap();
        let most = bytes.len().min(HEADER_OBJECT_BYTES as usize);
        let header = decode_header(Some(&key), &bytes[..most]).unwrap();
        assert_eq!((header.stream, header.number), (key.stream(), key.number()));
        assert_eq!(header, decode(None, &bytes).unwrap().header);
    }
}

fn check_header_refused(bytes: &[u8], expected: &str) {
    let error = decode_header(Some(&some_key()), bytes).unwrap_err();
    assert!(
        format!("{error:?}").starts_with(expected),
        "{error:?} is not {expected}"
    );
}

#[test]
fn a_header_of_another_make_is_refused_as_the_whole_segment_is() {
    let header = String::from_utf8(header_line(&some_key()).unwrap()).unwrap();
    let newer = header.replace("\"version\":1", "\"version\":2");
    check_header_refused(&frame(newer.as_bytes()), "UnknownFormat");
    let other = header.replace("\"number\":7", "\"number\":8");
    check_header_refused(&frame(other.as_bytes()), "WrongKey");
    check_header_refused(&frame(b"{}\n"), "Header");
    check_header_refused(&frame(header.trim_end().as_bytes()), "UnendedLine");
    check_header_refused(&frame(&vec![b'x'; 1 << 20]), "UnendedLine { offset: 0");
    let whole = frame(header.as_bytes());
    check_header_refused(&whole[..whole.len() / 2], "");
    check_header_refused(&whole[..3], "NotAFrame");
    check_header_refused(header.as_bytes(), "NotAFrame");
}

#[test]
fn a_bomb_is_refused_before_memory_is_taken() {
    let mut bomb = frame(&vec![0; 1 << 20]);
    let promised = (MAX_SEGMENT_BYTES + 1) as u32;
    let at = bomb
        .windows(4)
        .position(|four| four == (1_u32 << 20).to_le_bytes())
        .unwrap();
    bomb[at..at + 4].copy_from_slice(&promised.to_le_bytes());
    check_refused(&bomb, "TooLarge");
}

#[test]
fn what_decode_would_refuse_is_not_encoded() {
    let wide = Batch::new(
        SourceKind::Event,
        DateTime::UNIX_EPOCH,
        Some("x".repeat(MAX_ENVELOPE_BYTES)),
        Vec::new(),
        Bytes::new(),
    );
    assert!(matches!(
        encode(&some_key(), &[wide]),
        Err(SegmentError::UnfitEnvelope { index: 0 })
    ));
    let mut lying = some_batches().remove(0);
    lying.envelope.body_bytes += 1;
    assert!(matches!(
        encode(&some_key(), &[lying]),
        Err(SegmentError::UnfitEnvelope { index: 0 })
    ));
    let large = Bytes::from(vec![0; MAX_SEGMENT_BYTES as usize / 2]);
    let large = Batch::new(
        SourceKind::Event,
        DateTime::UNIX_EPOCH,
        None,
        Vec::new(),
        large,
    );
    let two = [large.clone(), large];
    assert!(matches!(
        encode(&some_key(), &two),
        Err(SegmentError::TooLarge { .. })
    ));
}

prop_compose! {
    fn any_batch()(
        event: bool,
        micros in 0..4_102_444_800_000_000_i64,
        batch_id in proptest::option::of(".{0,40}"),
        headers in proptest::collection::vec(("[a-z-]{1,20}", ".{0,20}"), 0..4),
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            proptest::collection::vec(prop_oneof![Just(b'\n'), Just(0), Just(b'{')], 0..60),
        ],
    ) -> Batch {
        let source = if event { SourceKind::Event } else { SourceKind::Alert };
        let received_at = DateTime::from_timestamp_micros(micros).unwrap();
        Batch::new(source, received_at, batch_id, headers, body.into())
    }
}

proptest! {
    #[test]
    fn segments_round_trip(batches in proptest::collection::vec(any_batch(), 0..8)) {
        let bytes = encode(&some_key(), &batches).unwrap();
        let segment = decode(Some(&some_key()), &bytes).unwrap();
        prop_assert_eq!(segment.batches, batches);
    }

    #[test]
    fn damage_is_an_error_or_changes_nothing(
        batches in proptest::collection::vec(any_batch(), 1..5),
        at: prop::sample::Index,
        mask in 1..=255_u8,
        cut: prop::sample::Index,
    ) {
        let bytes = encode(&some_key(), &batches).unwrap();
        prop_assert!(decode(None, &bytes[..cut.index(bytes.len())]).is_err());
        let mut altered = bytes.to_vec();
        altered[at.index(bytes.len())] ^= mask;
        if let Ok(segment) = decode(Some(&some_key()), &altered) {
            prop_assert_eq!(segment.batches, batches);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(decode(None, &bytes).is_err());
        prop_assert!(decode(None, &[&[0x28, 0xb5, 0x2f, 0xfd, 0x24][..], &bytes].concat()).is_err());
    }

    #[test]
    fn arbitrary_content_never_panics(tail in proptest::collection::vec(any::<u8>(), 0..400)) {
        let plain = [header_line(&some_key()).unwrap(), tail.clone()].concat();
        prop_assert_eq!(decode(None, &frame(&plain)).is_ok(), tail.is_empty());
    }
}
