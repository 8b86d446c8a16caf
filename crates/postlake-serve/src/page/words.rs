//! Numbers and times as people read them.

use chrono::{DateTime, TimeDelta, Utc};

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        grouped.push('\u{2212}');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A size with a unit of 1,000: `350 kB`.
pub(super) fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut amount = bytes as f64;
    let mut unit = "B";
    for larger in UNITS.into_iter().skip(1) {
        if amount < 1000.0 {
            break;
        }
        amount /= 1000.0;
        unit = larger;
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{amount:.1} {unit}")
    }
}

/// A share of one as per cent with one decimal.
pub(super) fn per_cent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A duration in its two largest units at most: `8 s`, `3 min`, `2 h 5 min`, `4 d`.
pub(super) fn span(length: TimeDelta) -> String {
    let seconds = length.num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..36_000 => match seconds % 3_600 / 60 {
            0 => format!("{} h", seconds / 3_600),
            minutes => format!("{} h {minutes} min", seconds / 3_600),
        },
        36_000..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Milliseconds with a unit: `420 ms`, `2.3 s`, then as [`span`].
pub(super) fn milliseconds(length: i64) -> String {
    match length {
        ..1_000 => format!("{} ms", length.max(0)),
        1_000..60_000 => format!("{}.{} s", length / 1_000, length % 1_000 / 100),
        _ => span(TimeDelta::milliseconds(length)),
    }
}

/// A moment in full, for people.
pub(super) fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A moment for `<time datetime>`.
pub(super) fn machine(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_read_well() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(-1_234_567), "\u{2212}1,234,567");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(350_400), "350.4 kB");
        assert_eq!(per_cent(0.0325), "3.2 %");
        let spans = [
            (-5, "0 s"),
            (59, "59 s"),
            (61, "1 min"),
            (3_600, "1 h"),
            (7_500, "2 h 5 min"),
            (90_000, "25 h"),
            (400_000, "4 d"),
        ];
        for (seconds, words) in spans {
            assert_eq!(span(TimeDelta::seconds(seconds)), words);
        }
        assert_eq!(milliseconds(420), "420 ms");
        assert_eq!(milliseconds(2_340), "2.3 s");
        assert_eq!(milliseconds(61_000), "1 min");
    }
}
