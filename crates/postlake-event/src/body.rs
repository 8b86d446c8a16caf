//! Request bodies that came compressed: opened under caps, never on the way in.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;

/// Largest body after decompression.
pub const MAX_DECOMPRESSED_BYTES: u64 = 64 << 20;

/// Beyond [`RATIO_FREE_BYTES`] a body that grows more than this is taken for a bomb; real batches
/// grow about 21-fold.
const MAX_RATIO: u64 = 200;

const RATIO_FREE_BYTES: u64 = 1 << 20;

/// Why a body could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The label names an encoding that is not read here.
    #[error("content encoding is not one of gzip, identity")]
    UnknownEncoding,
    /// The bytes are not what the label says.
    #[error("body is labelled gzip but does not decompress")]
    NotGzip(#[source] std::io::Error),
    /// More than [`MAX_DECOMPRESSED_BYTES`], or more than 200 bytes out of each byte in.
    #[error(
        "body decompresses to more than the cap of {MAX_DECOMPRESSED_BYTES} bytes or 200 times its size"
    )]
    TooLarge,
}

/// The body's JSON bytes: borrowed as they are, or decompressed within the caps.
pub(crate) fn open<'a>(
    body: &'a [u8],
    content_encoding: Option<&str>,
) -> Result<Cow<'a, [u8]>, BodyError> {
    let encoding = content_encoding.unwrap_or_default().trim();
    if encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") {
        return Ok(Cow::Borrowed(body));
    }
    if encoding.eq_ignore_ascii_case("gzip") || encoding.eq_ignore_ascii_case("x-gzip") {
        return gunzip(body).map(Cow::Owned);
    }
    Err(BodyError::UnknownEncoding)
}

fn gunzip(body: &[u8]) -> Result<Vec<u8>, BodyError> {
    let by_ratio = (body.len() as u64).saturating_mul(MAX_RATIO);
    let cap = by_ratio.clamp(RATIO_FREE_BYTES, MAX_DECOMPRESSED_BYTES);
    let mut opened = Vec::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "the reader is cut at the cap by take"
    )]
    MultiGzDecoder::new(body)
        .take(cap + 1)
        .read_to_end(&mut opened)
        .map_err(BodyError::NotGzip)?;
    if opened.len() as u64 > cap {
        return Err(BodyError::TooLarge);
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn labelled_bodies_are_opened() {
        assert_eq!(open(b"[]", None).unwrap().as_ref(), b"[]");
        assert_eq!(open(b"[]", Some("identity")).unwrap().as_ref(), b"[]");
        assert_eq!(open(&gzip(b"[1]"), Some("GZIP")).unwrap().as_ref(), b"[1]");
    }

    #[test]
    fn wrong_labels_and_bombs_are_refused() {
        assert!(matches!(
            open(b"[]", Some("br")),
            Err(BodyError::UnknownEncoding)
        ));
        assert!(matches!(
            open(b"[]", Some("gzip")),
            Err(BodyError::NotGzip(_))
        ));
        let bomb = gzip(&vec![b'a'; 10 << 20]);
        assert!(matches!(
            open(&bomb, Some("gzip")),
            Err(BodyError::TooLarge)
        ));
    }
}
