//! The place in a list where a page ends, as text that callers give back. It knows nothing of the lake, so
//! that it can be fuzzed without it (`fuzz/fuzz_targets/cursor.rs` includes this file).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The place of a row in the order of its list.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) stream: String,
    pub(crate) segment: i64,
    pub(crate) batch_index: i64,
    #[serde(default)]
    pub(crate) item_index: Option<i64>,
}

impl Cursor {
    /// Reads what [`Cursor::text`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Cursor> {
        serde_json::from_slice(&hex::decode(text).ok()?).ok()
    }

    /// Letters and digits.
    pub(crate) fn text(&self) -> Option<String> {
        serde_json::to_vec(self).ok().map(hex::encode)
    }
}

/// The path of the next page: the query as it was, with another cursor.
pub(crate) fn next_path(path: &str, query: &str, cursor: &str) -> String {
    let kept = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="))
        .map(|pair| format!("{pair}&"))
        .collect::<String>();
    format!("{path}?{kept}cursor={cursor}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) {
        if let Some(cursor) = Cursor::parse(text) {
            let again = cursor.text().unwrap();
            assert!(again.bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert_eq!(Cursor::parse(&again), Some(cursor));
        }
        let path = next_path("/api/v1/batches", text, "00");
        assert!(path.ends_with("cursor=00"), "{path}");
    }

    /// The corpus of `fuzz/`, and what stands in it hidden from the reader of digits.
    #[test]
    fn cursors_of_the_corpus_are_refused_or_read_and_written_as_they_were() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/cursor");
        let mut read = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            for text in [text.clone().into_owned(), hex::encode(&*bytes)] {
                check(&text);
                read += usize::from(Cursor::parse(&text).is_some());
            }
        }
        assert!(read >= 3, "{read}");
    }

    proptest! {
        #[test]
        fn any_cursor_is_refused_or_read_and_written_as_it_was(
            text in "\\PC{0,60}",
            stream in "\\PC{0,30}",
            numbers in any::<(i64, i64, Option<i64>)>(),
            micros in 0..i64::from(u32::MAX) * 1_000_000,
        ) {
            check(&text);
            check(&hex::encode(&text));
            let cursor = Cursor {
                received_at: DateTime::from_timestamp_micros(micros).unwrap(),
                stream,
                segment: numbers.0,
                batch_index: numbers.1,
                item_index: numbers.2,
            };
            prop_assert_eq!(Cursor::parse(&cursor.text().unwrap()), Some(cursor));
        }
    }
}
