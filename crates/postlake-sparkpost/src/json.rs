//! Writes JSON by hand into one buffer: no tree, no allocation per value.

use chrono::{DateTime, Datelike, Timelike, Utc};

/// How the generator spells values whose JSON type has changed over the years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// As sent today: numbers in text, true booleans.
    #[default]
    Current,
    /// As seen until about 2018: integer timestamps, `"1"` for true, numbers where text is sent today.
    Old,
}

/// A buffer with one method for each form of value.
#[derive(Debug, Default)]
pub(crate) struct Json {
    out: Vec<u8>,
    style: Style,
}

impl Json {
    pub(crate) fn new(capacity: usize, style: Style) -> Self {
        Self {
            out: Vec::with_capacity(capacity),
            style,
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Bytes as they are: punctuation, and text known to need no escape.
    pub(crate) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Bytes as they are, even if they are not UTF-8.
    pub(crate) fn raw_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A member's name and colon; the name needs no escape.
    pub(crate) fn key(&mut self, name: &str) {
        self.out.push(b'"');
        self.raw(name);
        self.raw("\":");
    }

    /// A string, escaped.
    pub(crate) fn text(&mut self, text: &str) {
        self.out.push(b'"');
        self.escaped(text);
        self.out.push(b'"');
    }

    /// The inside of a string, escaped, without quotes.
    pub(crate) fn escaped(&mut self, text: &str) {
        if !text.bytes().any(needs_escape) {
            return self.raw(text);
        }
        for byte in text.bytes() {
            match byte {
                b'"' => self.raw("\\\""),
                b'\\' => self.raw("\\\\"),
                b'\n' => self.raw("\\n"),
                b'\r' => self.raw("\\r"),
                b'\t' => self.raw("\\t"),
                control if needs_escape(control) => {
                    self.raw("\\u00");
                    self.hex(u128::from(control), 2);
                }
                plain => self.out.push(plain),
            }
        }
    }

    /// The inside of a string in lower case; ASCII without characters to escape.
    pub(crate) fn lower(&mut self, text: &str) {
        self.out
            .extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
    }

    /// A quote, where a string is put together from pieces.
    pub(crate) fn quote(&mut self) {
        self.out.push(b'"');
    }

    /// A whole number that SparkPost sends as text (as a number in the old style).
    pub(crate) fn digits(&mut self, number: u64) {
        match self.style {
            Style::Current => self.long_id(number),
            Style::Old => self.number(number),
        }
    }

    /// A whole number as text in every style: ids beyond 2^53.
    pub(crate) fn long_id(&mut self, number: u64) {
        self.out.push(b'"');
        self.number(number);
        self.out.push(b'"');
    }

    /// A whole number.
    pub(crate) fn number(&mut self, number: u64) {
        let start = self.out.len();
        let mut left = number;
        loop {
            self.out.push(b'0' + (left % 10) as u8);
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if let Some(digits) = self.out.get_mut(start..) {
            digits.reverse();
        }
    }

    /// A whole number with leading zeros.
    pub(crate) fn padded(&mut self, number: u64, width: usize) {
        let mut scale = 10_u64.pow(width.saturating_sub(1) as u32);
        while scale > 0 {
            self.out.push(b'0' + (number / scale % 10) as u8);
            scale /= 10;
        }
    }

    /// Lower case hexadecimal digits, the lowest `width` of the number.
    pub(crate) fn hex(&mut self, number: u128, width: usize) {
        for place in (0..width).rev() {
            let digit = ((number >> (4 * place)) & 0xf) as u8;
            self.out.push(match digit {
                0..=9 => b'0' + digit,
                _ => b'a' + digit - 10,
            });
        }
    }

    /// The inside of a string: a UUID.
    pub(crate) fn uuid(&mut self, uuid: u128) {
        for (shift, width) in [(96, 8), (80, 4), (64, 4), (48, 4), (0, 12)] {
            self.hex(uuid >> shift, width);
            if shift > 0 {
                self.out.push(b'-');
            }
        }
    }

    /// A boolean (`"1"` or `"0"` in the old style).
    pub(crate) fn boolean(&mut self, value: bool) {
        self.raw(match (self.style, value) {
            (Style::Current, true) => "true",
            (Style::Current, false) => "false",
            (Style::Old, true) => "\"1\"",
            (Style::Old, false) => "\"0\"",
        });
    }

    /// A number with four decimals, as geographic positions have (text in the old style).
    pub(crate) fn degrees(&mut self, ten_thousandths: i64) {
        if self.style == Style::Old {
            self.out.push(b'"');
        }
        if ten_thousandths < 0 {
            self.out.push(b'-');
        }
        let size = ten_thousandths.unsigned_abs();
        self.number(size / 10_000);
        self.out.push(b'.');
        self.padded(size % 10_000, 4);
        if self.style == Style::Old {
            self.out.push(b'"');
        }
    }

    /// Unix seconds as text (as a number in the old style).
    pub(crate) fn unix_secs(&mut self, at_ms: i64) {
        self.digits(at_ms.div_euclid(1000).max(0) as u64);
    }

    /// ISO 8601 text with milliseconds and `Z`.
    pub(crate) fn instant(&mut self, at_ms: i64) {
        let at = DateTime::<Utc>::from_timestamp_millis(at_ms).unwrap_or_default();
        let (date, time) = (at.date_naive(), at.time());
        self.out.push(b'"');
        self.padded(u64::from(date.year().unsigned_abs()), 4);
        self.out.push(b'-');
        self.padded(u64::from(date.month()), 2);
        self.out.push(b'-');
        self.padded(u64::from(date.day()), 2);
        self.out.push(b'T');
        self.padded(u64::from(time.hour()), 2);
        self.out.push(b':');
        self.padded(u64::from(time.minute()), 2);
        self.out.push(b':');
        self.padded(u64::from(time.second()), 2);
        self.out.push(b'.');
        self.padded(at_ms.rem_euclid(1000) as u64, 3);
        self.raw("Z\"");
    }

    /// A list of strings.
    pub(crate) fn texts(&mut self, texts: &[&str]) {
        let mut separator = "[";
        for text in texts {
            self.raw(separator);
            self.text(text);
            separator = ",";
        }
        self.raw(if texts.is_empty() { "[]" } else { "]" });
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Json)) -> String {
        let mut json = Json::new(0, Style::Current);
        write(&mut json);
        String::from_utf8(json.into_bytes()).unwrap()
    }

    #[test]
    fn values_have_their_documented_forms() {
        assert_eq!(written(|j| j.digits(1_460_989_507)), "\"1460989507\"");
        assert_eq!(
            written(|j| j.instant(1_616_488_288_999)),
            "\"2021-03-23T08:31:28.999Z\""
        );
        assert_eq!(written(|j| j.degrees(-768_375)), "-76.8375");
        assert_eq!(written(|j| j.degrees(5)), "0.0005");
        assert_eq!(written(|j| j.texts(&[])), "[]");
        assert_eq!(written(|j| j.texts(&["a", "b"])), "[\"a\",\"b\"]");
        assert_eq!(
            written(|j| j.uuid(0x0123_4567_89ab_4def_8123_4567_89ab_cdef)),
            "01234567-89ab-4def-8123-456789abcdef"
        );
    }

    #[test]
    fn the_old_style_drifts() {
        let mut json = Json::new(0, Style::Old);
        json.unix_secs(1_454_442_600_000);
        json.boolean(true);
        json.degrees(391_749);
        assert_eq!(json.into_bytes(), b"1454442600\"1\"\"39.1749\"");
    }

    proptest! {
        #[test]
        fn any_text_reads_back(text in ".*") {
            let json = written(|j| j.text(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn any_number_reads_back(number: u64) {
            prop_assert_eq!(written(|j| j.number(number)), number.to_string());
        }
    }
}
