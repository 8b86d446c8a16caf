//! A place for data, and its text.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place for data: a local directory or `s3://bucket/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataUrl(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Directory(PathBuf),
    S3 { bucket: String, prefix: String },
}

/// Why a text does not name a place for data.
#[derive(Debug, thiserror::Error)]
pub enum DataUrlError {
    /// Neither a path nor an S3 address.
    #[error("{0} is neither a directory nor an s3://bucket/prefix address")]
    Scheme(String),
    /// An S3 address without a bucket.
    #[error("{0} names no bucket; write s3://bucket/prefix")]
    NoBucket(String),
    /// A path with a character that the lake library does not keep as it is.
    #[error(
        "the path {0} holds a percent sign before two hex digits, a backslash or a control character, \
         which the lake cannot use; choose another directory"
    )]
    Unusable(String),
    /// The current directory, which a relative path starts from, cannot be read.
    #[error("the path {0} cannot be made absolute")]
    Absolute(String, #[source] std::io::Error),
}

impl DataUrl {
    /// Reads the text of `--data`.
    ///
    /// # Errors
    /// When the text names neither a directory nor an S3 prefix.
    pub fn parse(text: &str) -> Result<DataUrl, DataUrlError> {
        if let Some(address) = text.strip_prefix("s3://") {
            let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
            if bucket.is_empty() {
                return Err(DataUrlError::NoBucket(text.to_owned()));
            }
            return Ok(DataUrl(Place::S3 {
                bucket: bucket.to_owned(),
                prefix: prefix.trim_matches('/').to_owned(),
            }));
        }
        let path = text.strip_prefix("file://").unwrap_or(text);
        if path.is_empty() || path.contains("://") {
            return Err(DataUrlError::Scheme(text.to_owned()));
        }
        if is_unusable(path) {
            return Err(DataUrlError::Unusable(path.escape_debug().to_string()));
        }
        let absolute = std::path::absolute(path)
            .map_err(|source| DataUrlError::Absolute(path.to_owned(), source))?;
        Ok(DataUrl(Place::Directory(absolute)))
    }

    /// The directory, if the data lies on this machine.
    pub fn directory(&self) -> Option<&Path> {
        match &self.0 {
            Place::Directory(path) => Some(path),
            Place::S3 { .. } => None,
        }
    }

    /// Bucket and prefix, if the data lies on S3.
    pub fn s3(&self) -> Option<(&str, &str)> {
        match &self.0 {
            Place::Directory(_) => None,
            Place::S3 { bucket, prefix } => Some((bucket, prefix)),
        }
    }
}

/// The lake library decodes the address of a table twice: `%41` would become another directory.
fn is_unusable(path: &str) -> bool {
    let escape = path.split('%').skip(1).any(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    escape
        || path
            .chars()
            .any(|letter| letter == '\\' || letter.is_control())
}

impl fmt::Display for DataUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Directory(path) => write!(formatter, "{}", path.display()),
            Place::S3 { bucket, prefix } => write!(formatter, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_text() {
        let bucket = DataUrl::parse("s3://bucket/a/b/").unwrap();
        assert_eq!(bucket.s3(), Some(("bucket", "a/b")));
        let directory = DataUrl::parse("/tmp/x").unwrap();
        assert_eq!(directory.directory(), Some(Path::new("/tmp/x")));
        assert!(
            DataUrl::parse("relative")
                .unwrap()
                .directory()
                .unwrap()
                .is_absolute()
        );
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "s3://",
            "s3:///prefix",
            "gs://bucket",
            "http://x",
            "a%41",
            "a\\b",
            "a\nb",
        ] {
            assert!(DataUrl::parse(text).is_err(), "{text}");
        }
    }
}
