use chrono::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;

const NAME: &str = "raw/2026-01-02/20260102T030405Z-0123456789abcdef/0000000007.seg.zst";

fn some_key() -> SegmentKey {
    let started = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap();
    let stream = StreamName::from_parts(started, 0x0123_4567_89ab_cdef);
    SegmentKey::new(stream, SegmentNumber::new(7).unwrap())
}

prop_compose! {
    fn any_key()(secs in STARTED_SECS, random: u64, number in 1..=SegmentNumber::LAST.get()) -> SegmentKey {
        let started = DateTime::from_timestamp(secs, 0).unwrap();
        SegmentKey::new(StreamName::from_parts(started, random), SegmentNumber::new(number).unwrap())
    }
}

#[test]
fn a_name_is_as_the_design_says() {
    assert_eq!(some_key().to_string(), NAME);
    assert_eq!(some_key().path().as_ref(), NAME);
    assert_eq!(SegmentKey::parse(NAME), Ok(some_key()));
}

#[test]
fn other_names_are_refused() {
    for name in [
        "",
        "raw",
        "raw/2026-01-02",
        "raw/2026-01-03/20260102T030405Z-0123456789abcdef/0000000007.seg.zst",
        "raw/2026-01-02/20260102T030405Z-0123456789ABCDEF/0000000007.seg.zst",
        "raw/2026-01-02/20260102T030405Z-+123456789abcdef/0000000007.seg.zst",
        "raw/2026-01-02/20260102T030460Z-0123456789abcdef/0000000007.seg.zst",
        "raw/2026-01-02/20260102T030405Z-0123456789abcdef/0000000000.seg.zst",
        "raw/2026-01-02/20260102T030405Z-0123456789abcdef/7.seg.zst",
        "raw/2026-01-02/20260102T030405Z-0123456789abcdef/+000000007.seg.zst",
        "raw/2026-01-02/20260102T030405Z-0123456789abcdef/0000000007.seg",
        "raw/2026-01-02/20260102T030405Z-0123456789abcdef/0000000007.seg.zst#1",
        "raw/2026-01-02/20260102T030405Z-0123456789abcdef/x/0000000007.seg.zst",
        "/raw/2026-01-02/20260102T030405Z-0123456789abcdef/0000000007.seg.zst",
        "RAW/2026-01-02/20260102T030405Z-0123456789abcdef/0000000007.seg.zst",
    ] {
        assert_eq!(
            SegmentKey::parse(name),
            Err(KeyError::Object(name.to_owned()))
        );
    }
}

#[test]
fn numbers_have_one_to_ten_digits_and_no_zero() {
    assert_eq!(SegmentNumber::new(0), Err(KeyError::Number(0)));
    assert_eq!(
        SegmentNumber::new(10_000_000_000),
        Err(KeyError::Number(10_000_000_000))
    );
    assert_eq!(SegmentNumber::FIRST.next().map(SegmentNumber::get), Some(2));
    assert_eq!(SegmentNumber::LAST.next(), None);
}

#[test]
fn two_streams_of_the_same_second_differ() {
    let clock = ManualClock::new(Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap());
    let (one, two) = (StreamName::new(&clock), StreamName::new(&clock));
    assert_ne!(one, two);
    assert_eq!(one.date(), two.date());
}

#[test]
fn a_clock_far_out_still_gives_a_name_that_parses() {
    for now in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        let name = StreamName::new(&ManualClock::new(now));
        assert_eq!(StreamName::parse(&name.to_string()), Ok(name));
    }
}

proptest! {
    #[test]
    fn keys_round_trip(key in any_key()) {
        prop_assert_eq!(SegmentKey::parse(&key.to_string()), Ok(key));
        prop_assert_eq!(SegmentKey::parse(key.path().as_ref()), Ok(key));
        prop_assert_eq!(parse_date_prefix(&date_prefix(key.date())), Some(key.date()));
        prop_assert_eq!(parse_stream_prefix(&stream_prefix(key.stream())), Some(key.stream()));
    }

    #[test]
    fn keys_sort_as_their_names(one in any_key(), two in any_key()) {
        prop_assert_eq!(one.cmp(&two), one.to_string().cmp(&two.to_string()));
    }

    #[test]
    fn a_listing_offset_splits_a_stream_at_the_number(key in any_key(), after in 0..=SegmentNumber::LAST.get()) {
        let behind = key.path() > listing_offset(key.stream(), after);
        prop_assert_eq!(behind, key.number().get() > after);
    }

    #[test]
    fn any_text_is_refused_or_is_the_name_of_what_it_parses_to(text in ".{0,90}") {
        if let Ok(key) = SegmentKey::parse(&text) {
            prop_assert_eq!(key.to_string(), text);
        }
    }
}
