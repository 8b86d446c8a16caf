//! Times as the sender writes them: Unix seconds as number or text, milliseconds, ISO 8601.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

/// Earliest time that is taken for a real one: 2008-01-01, before the sender existed.
const EARLIEST_SECS: i64 = 1_199_145_600;

/// First time that is not: 2100-01-01.
const LATEST_SECS: i64 = 4_102_444_800;

/// Microseconds since the epoch of a time within the sane window, whatever form it has; `None` for
/// anything else. The window is fixed, so that the answer depends on the text alone.
pub(crate) fn parse_micros(text: &str) -> Option<i64> {
    let text = text.trim();
    let micros = match text.parse::<i64>() {
        Ok(number) => from_number(number)?,
        Err(_) => from_decimal(text).or_else(|| from_iso(text))?,
    };
    let secs = micros.div_euclid(1_000_000);
    (EARLIEST_SECS..LATEST_SECS)
        .contains(&secs)
        .then_some(micros)
}

/// The day of a time, as days since the epoch.
pub(crate) fn day_of(micros: i64) -> i32 {
    i32::try_from(micros.div_euclid(86_400_000_000)).unwrap_or(0)
}

/// Seconds, or milliseconds where seconds would lie beyond the window.
fn from_number(number: i64) -> Option<i64> {
    if number >= LATEST_SECS {
        number.checked_mul(1_000)
    } else {
        number.checked_mul(1_000_000)
    }
}

/// Seconds with a fraction, as `1460989507.25`.
fn from_decimal(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.')?;
    let whole: i64 = whole.parse().ok()?;
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    whole
        .checked_mul(1_000_000)?
        .checked_add(digits.parse().ok()?)
}

/// The form that nearly all have: `2016-04-18T14:25:07.000Z`.
fn from_utc(text: &str) -> Option<i64> {
    let bytes: &[u8; 24] = text.as_bytes().try_into().ok()?;
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
        b'.',
        f1,
        f2,
        f3,
        b'Z',
    ] = *bytes
    else {
        return None;
    };
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(number(&[y1, y2, y3, y4])?).ok()?,
        number(&[m1, m2])?,
        number(&[d1, d2])?,
    )?;
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?);
    let time = date.and_hms_milli_opt(hour, minute, second, number(&[f1, f2, f3])?)?;
    Some(time.and_utc().timestamp_micros())
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        Some(number * 10 + digit)
    })
}

fn from_iso(text: &str) -> Option<i64> {
    if let Some(micros) = from_utc(text) {
        return Some(micros);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z") {
        return Some(time.timestamp_micros());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Some(time.and_utc().timestamp_micros());
        }
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let midnight: DateTime<Utc> = date.and_hms_opt(0, 0, 0)?.and_utc();
    Some(midnight.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(parse_micros(text), expected, "{text}");
    }

    #[test]
    fn every_form_that_was_seen_is_read() {
        let expected = Some(1_460_989_507_000_000);
        check("1460989507", expected);
        check("1460989507000", expected);
        check("2016-04-18T14:25:07.000Z", expected);
        check("2016-04-18T14:25:07.000+00:00", expected);
        check("2016-04-18T16:25:07+02:00", expected);
        check("2016-04-18T14:25:07+0000", expected);
        check("2016-04-18 14:25:07", expected);
        check("2016-04-18T14:25:07", expected);
        check("1460989507.5", Some(1_460_989_507_500_000));
    }

    #[test]
    fn senseless_times_are_refused() {
        for text in [
            "",
            "0",
            "-1",
            "x",
            "9999-01-01T00:00:00Z",
            "2021-13-45",
            "1970-01-01",
        ] {
            check(text, None);
        }
        check("99999999999999999999999", None);
        check("9223372036854775807", None);
    }

    proptest! {
        #[test]
        fn the_quick_form_is_read_as_chrono_reads_it(
            text in "20[0-9]{2}-[0-2][0-9]-[0-4][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{3}Z"
        ) {
            let chrono = DateTime::parse_from_rfc3339(&text).ok();
            let chrono = chrono.filter(|_| !text[17..].starts_with("60"));
            prop_assert_eq!(from_utc(&text), chrono.map(|time| time.timestamp_micros()));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            if let Some(micros) = parse_micros(&text) {
                prop_assert!(day_of(micros) > 13_000);
            }
        }
    }
}
