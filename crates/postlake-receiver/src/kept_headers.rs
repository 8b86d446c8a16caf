//! The request headers that go into the envelope. An allow list: credentials and cookies never do.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The sender's batch id; the case of the name does not matter (SparkPost webhooks guide).
const BATCH_ID: HeaderName = HeaderName::from_static("x-messagesystems-batch-id");
const KEPT: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::USER_AGENT,
    BATCH_ID,
];
/// Longest text kept of a value, in bytes.
const MAX_VALUE_BYTES: usize = 1024;
/// Most values kept of one name.
const MAX_VALUES: usize = 4;

/// The batch id, if the request has one: the first, when it has several.
pub(crate) fn batch_id(headers: &HeaderMap) -> Option<String> {
    headers.get(BATCH_ID).map(text)
}

/// Whether values of the header are stored.
pub(crate) fn is_kept(name: &HeaderName) -> bool {
    KEPT.contains(name)
}

/// The headers to keep, names in lower case.
pub(crate) fn kept(headers: &HeaderMap) -> Vec<(String, String)> {
    let values = |name: HeaderName| {
        let values = headers
            .get_all(&name)
            .iter()
            .take(MAX_VALUES)
            .map(text)
            .collect::<Vec<_>>();
        values
            .into_iter()
            .map(move |value| (name.to_string(), value))
    };
    KEPT.into_iter().flat_map(values).collect()
}

/// The value as text: UTF-8 as it is, anything else as `hex:` and its bytes in hexadecimal; cut to
/// [`MAX_VALUE_BYTES`] at a character's border. A value is data: it never becomes part of a name.
fn text(value: &HeaderValue) -> String {
    let mut text = match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => hex_text(value.as_bytes()),
    };
    text.truncate(text.floor_char_boundary(MAX_VALUE_BYTES));
    text
}

fn hex_text(bytes: &[u8]) -> String {
    let digits = bytes
        .iter()
        .take(MAX_VALUE_BYTES)
        .map(|byte| format!("{byte:02x}"));
    std::iter::once("hex:".to_owned()).chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[(&'static str, &[u8])]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &[u8])| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value).unwrap(),
            )
        };
        values.iter().map(pair).collect()
    }

    fn check_batch_id(value: &[u8], expected: &str) {
        let headers = headers(&[("x-messagesystems-batch-id", value)]);
        assert_eq!(batch_id(&headers).as_deref(), Some(expected));
    }

    #[test]
    fn a_batch_id_is_data() {
        assert_eq!(batch_id(&HeaderMap::new()), None);
        check_batch_id(
            b"77c2b630-d712-11e4-9642-efc2723b99c1",
            "77c2b630-d712-11e4-9642-efc2723b99c1",
        );
        check_batch_id(b"", "");
        check_batch_id(b"None", "None");
        check_batch_id(b"../../etc/passwd", "../../etc/passwd");
        check_batch_id("\u{1F600}".as_bytes(), "\u{1F600}");
        check_batch_id(b"a\xff", "hex:61ff");
        check_batch_id(&[b'x'; 5000], &"x".repeat(1024));
        check_batch_id("\u{20ac}".repeat(500).as_bytes(), &"\u{20ac}".repeat(341));
        check_batch_id(&[0xff; 5000], &format!("hex:{}", "ff".repeat(510)));
    }

    #[test]
    fn credentials_are_not_kept() {
        let headers = headers(&[
            ("authorization", b"Basic c2VjcmV0"),
            ("cookie", b"secret"),
            ("x-messagesystems-webhook-token", b"secret"),
            ("user-agent", b"SparkPost"),
            ("content-type", b"application/json"),
            ("content-type", b"text/plain"),
        ]);
        let expected = [
            ("content-type", "application/json"),
            ("content-type", "text/plain"),
            ("user-agent", "SparkPost"),
        ];
        assert_eq!(
            kept(&headers),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
