//! Scalars out of JSON text, lenient where nothing is lost by it.
//!
//! The sender's fields change between number, text and boolean over the years and between its
//! products; a value that means the same is read as the same, and one that does not fit is kept
//! elsewhere rather than bent.

use std::borrow::Cow;

use crate::time;

/// What kind of JSON value a text is, as far as reading it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A string that stands there as it is meant.
    Plain,
    /// A string with escapes in it.
    Escaped,
    /// A number or a boolean.
    Bare,
    /// `null`.
    Null,
    /// An object or an array.
    Nested,
}

/// A well-formed JSON value, still text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a> {
    pub(super) text: &'a str,
    pub(super) form: Form,
}

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

impl<'a> Raw<'a> {
    /// A value that was found to be well-formed earlier.
    pub(super) fn of(text: &'a str) -> Raw<'a> {
        let form = match text.as_bytes() {
            [b'"', inner @ ..] if memchr::memchr(b'\\', inner).is_none() => Form::Plain,
            [b'"', ..] => Form::Escaped,
            [b'n', ..] | [] => Form::Null,
            [b'{' | b'[', ..] => Form::Nested,
            _ => Form::Bare,
        };
        Raw { text, form }
    }

    /// The characters of a string, unescaped, NUL replaced by U+FFFD since no text column of
    /// PostgreSQL can hold it; numbers and booleans as their text. `None` for `null`, objects, arrays
    /// and strings that are not Unicode.
    #[inline]
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self.form {
            Form::Plain => Some(Cow::Borrowed(self.inner())),
            Form::Escaped => unescape(self.text),
            Form::Bare => Some(Cow::Borrowed(self.text)),
            Form::Null | Form::Nested => None,
        }
    }

    pub(super) fn is_null(self) -> bool {
        self.form == Form::Null
    }

    /// The text between a string's quotes.
    #[inline]
    pub(super) fn inner(self) -> &'a str {
        let end = self.text.len().saturating_sub(1);
        self.text.get(1..end).unwrap_or_default()
    }

    /// A whole number: `12`, `"12"`, `12.0`.
    pub(super) fn int(self) -> Reading<i64> {
        self.read(|text| {
            text.parse().ok().or_else(|| {
                let (whole, fraction) = text.split_once('.')?;
                let zeros = !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0');
                zeros.then(|| whole.parse().ok()).flatten()
            })
        })
    }

    /// A finite number, correctly rounded from its digits.
    pub(super) fn float(self) -> Reading<f64> {
        self.read(|text| {
            let number: f64 = text.parse().ok()?;
            let digits = text.bytes().any(|byte| byte.is_ascii_digit());
            (digits && number.is_finite()).then_some(number)
        })
    }

    /// `true`, `"true"`, `"1"`, `1` and their opposites.
    pub(super) fn boolean(self) -> Reading<bool> {
        self.read(|text| match text {
            "true" | "1" | "True" | "TRUE" => Some(true),
            "false" | "0" | "False" | "FALSE" => Some(false),
            _ => None,
        })
    }

    /// A time within the sane window, in microseconds since the epoch.
    pub(super) fn micros(self) -> Reading<i64> {
        self.read(time::parse_micros)
    }

    /// Reads the text of a scalar; white space around it does not count.
    #[inline]
    fn read<T>(self, parse: impl Fn(&str) -> Option<T>) -> Reading<T> {
        let text = match self.form {
            Form::Null => return Reading::Absent,
            Form::Nested => return Reading::Misfit,
            Form::Plain => Cow::Borrowed(self.inner()),
            Form::Bare => Cow::Borrowed(self.text),
            Form::Escaped => match unescape(self.text) {
                Some(text) => text,
                None => return Reading::Misfit,
            },
        };
        if let Some(value) = parse(&text) {
            return Reading::Value(value);
        }
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Reading::Absent;
        }
        parse(trimmed).map_or(Reading::Misfit, Reading::Value)
    }
}

/// The string behind a quoted JSON text; `None` if an escape is half a surrogate pair.
fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    let text: String = serde_json::from_str(raw).ok()?;
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Some(Cow::Owned(text.replace('\0', "\u{fffd}")));
    }
    Some(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_the_digits_of_numbers() {
        assert_eq!(
            Raw::of("92356927693813856").text().unwrap(),
            "92356927693813856"
        );
        assert_eq!(Raw::of("\"a\\u0041\\n\"").text().unwrap(), "aA\n");
        assert_eq!(Raw::of("\"a\\u0000b\"").text().unwrap(), "a\u{fffd}b");
        assert_eq!(Raw::of("true").text().unwrap(), "true");
        assert_eq!(Raw::of("\"\\ud800\"").text(), None);
        assert_eq!(Raw::of("null").text(), None);
        assert_eq!(Raw::of("[1]").text(), None);
    }

    #[test]
    fn numbers_are_read_from_either_form() {
        for raw in ["12", "\"12\"", "12.0", "\" 12 \""] {
            assert_eq!(Raw::of(raw).int(), Reading::Value(12), "{raw}");
        }
        assert_eq!(Raw::of("\"-1\"").int(), Reading::Value(-1));
        for raw in ["[12]", "12.5", "\"x\"", "99999999999999999999"] {
            assert_eq!(Raw::of(raw).int(), Reading::Misfit, "{raw}");
        }
        assert_eq!(Raw::of("\"\"").int(), Reading::Absent);
        assert_eq!(Raw::of("null").int(), Reading::Absent);
        assert_eq!(
            Raw::of("78.27250957000001").float(),
            Reading::Value(78.272_509_570_000_01)
        );
        assert_eq!(Raw::of("\"37.5\"").float(), Reading::Value(37.5));
        assert_eq!(Raw::of("1e400").float(), Reading::Misfit);
        assert_eq!(Raw::of("\"NaN\"").float(), Reading::Misfit);
        assert_eq!(Raw::of("\"inf\"").float(), Reading::Misfit);
    }

    #[test]
    fn booleans_are_read_from_each_form() {
        for raw in ["true", "\"true\"", "\"1\"", "1"] {
            assert_eq!(Raw::of(raw).boolean(), Reading::Value(true), "{raw}");
        }
        assert_eq!(Raw::of("\"0\"").boolean(), Reading::Value(false));
        assert_eq!(Raw::of("2").boolean(), Reading::Misfit);
    }
}
