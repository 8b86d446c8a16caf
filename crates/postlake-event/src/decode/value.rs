//! Scalars out of JSON text, lenient where nothing is lost by it.
//!
//! The sender's fields change between number, text and boolean over the years and between its
//! products; a value that means the same is read as the same, and one that does not fit is kept
//! elsewhere rather than bent.

use std::borrow::Cow;

use crate::time;

/// The outcome of reading a scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading<T> {
    /// A value that fits.
    Value(T),
    /// `null` or empty text.
    Absent,
    /// Something else; the caller keeps its text.
    Misfit,
}

/// The characters of a JSON string, unescaped, NUL replaced by U+FFFD since no text column of
/// PostgreSQL can hold it; numbers and booleans as their text. `None` for `null`, objects, arrays
/// and strings that are not Unicode.
pub(super) fn text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes() {
        [b'"', .., b'"'] => unescape(raw),
        [b'n' | b'{' | b'[', ..] | [] => None,
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// The string behind a quoted JSON text; `None` if an escape is half a surrogate pair.
fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.get(1..raw.len() - 1)?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    let text: String = serde_json::from_str(raw).ok()?;
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Some(Cow::Owned(text.replace('\0', "\u{fffd}")));
    }
    Some(Cow::Owned(text))
}

/// The text of a scalar that is about to be read as a number, boolean or time.
fn scalar(raw: &str) -> Reading<Cow<'_, str>> {
    match text(raw) {
        Some(text) if text.trim().is_empty() => Reading::Absent,
        Some(text) => Reading::Value(text),
        None if raw == "null" => Reading::Absent,
        None => Reading::Misfit,
    }
}

fn read<T>(raw: &str, parse: impl FnOnce(&str) -> Option<T>) -> Reading<T> {
    match scalar(raw) {
        Reading::Value(text) => match parse(text.trim()) {
            Some(value) => Reading::Value(value),
            None => Reading::Misfit,
        },
        Reading::Absent => Reading::Absent,
        Reading::Misfit => Reading::Misfit,
    }
}

/// A whole number: `12`, `"12"`, `12.0`.
pub(super) fn int(raw: &str) -> Reading<i64> {
    read(raw, |text| {
        text.parse().ok().or_else(|| {
            let (whole, fraction) = text.split_once('.')?;
            let zeros = !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0');
            zeros.then(|| whole.parse().ok()).flatten()
        })
    })
}

/// A finite number, correctly rounded from its digits.
pub(super) fn float(raw: &str) -> Reading<f64> {
    read(raw, |text| {
        let number: f64 = text.parse().ok()?;
        let digits = text.bytes().any(|byte| byte.is_ascii_digit());
        (digits && number.is_finite()).then_some(number)
    })
}

/// `true`, `"true"`, `"1"`, `1` and their opposites.
pub(super) fn boolean(raw: &str) -> Reading<bool> {
    read(raw, |text| match text {
        "true" | "1" | "True" | "TRUE" => Some(true),
        "false" | "0" | "False" | "FALSE" => Some(false),
        _ => None,
    })
}

/// A time within the sane window, in microseconds since the epoch.
pub(super) fn micros(raw: &str) -> Reading<i64> {
    read(raw, time::parse_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_the_digits_of_numbers() {
        assert_eq!(text("92356927693813856").unwrap(), "92356927693813856");
        assert_eq!(text("\"a\\u0041\\n\"").unwrap(), "aA\n");
        assert_eq!(text("\"a\\u0000b\"").unwrap(), "a\u{fffd}b");
        assert_eq!(text("true").unwrap(), "true");
        assert_eq!(text("\"\\ud800\""), None);
        assert_eq!(text("null"), None);
        assert_eq!(text("[1]"), None);
    }

    #[test]
    fn numbers_are_read_from_either_form() {
        for raw in ["12", "\"12\"", "12.0", "\" 12 \""] {
            assert_eq!(int(raw), Reading::Value(12), "{raw}");
        }
        assert_eq!(int("\"-1\""), Reading::Value(-1));
        for raw in ["[12]", "12.5", "\"x\"", "99999999999999999999"] {
            assert_eq!(int(raw), Reading::Misfit, "{raw}");
        }
        assert_eq!(int("\"\""), Reading::Absent);
        assert_eq!(int("null"), Reading::Absent);
        assert_eq!(
            float("78.27250957000001"),
            Reading::Value(78.272_509_570_000_01)
        );
        assert_eq!(float("\"37.5\""), Reading::Value(37.5));
        assert_eq!(float("1e400"), Reading::Misfit);
        assert_eq!(float("\"NaN\""), Reading::Misfit);
        assert_eq!(float("\"inf\""), Reading::Misfit);
    }

    #[test]
    fn booleans_are_read_from_each_form() {
        for raw in ["true", "\"true\"", "\"1\"", "1"] {
            assert_eq!(boolean(raw), Reading::Value(true), "{raw}");
        }
        assert_eq!(boolean("\"0\""), Reading::Value(false));
        assert_eq!(boolean("2"), Reading::Misfit);
    }
}
