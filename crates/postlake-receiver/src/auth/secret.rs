//! Secrets, and the digests that stand for them.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// A secret as somebody has configured it: long enough to withstand guessing without a slow hash,
/// which would be an attack on the processor under load. Never shown.
#[derive(Clone)]
pub struct Secret(Box<str>);

/// Why a text is no secret. Says nothing of the text but its length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretFault {
    /// Too short: it could be guessed.
    #[error("has {bytes} bytes, a secret needs at least {}", Secret::LEAST_BYTES)]
    TooShort {
        /// Its length.
        bytes: usize,
    },
    /// Longer than what the sender's form and headers take.
    #[error("has {bytes} bytes, a secret has at most {}", Secret::MOST_BYTES)]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The same few characters again and again.
    #[error(
        "has fewer than {} different characters and could be guessed",
        Secret::LEAST_DIFFERENT
    )]
    TooUniform,
    /// Something that a header or a form would change on its way.
    #[error("has spaces, control characters or characters outside of ASCII")]
    NotPlain,
    /// Something that would have to be escaped in a path.
    #[error("has characters other than letters, digits, `-`, `_`, `.` and `~`, which a path needs")]
    NotForPath,
}

impl Secret {
    /// 22 characters of base64 are 128 bits; `openssl rand -hex 32` gives 64.
    pub const LEAST_BYTES: usize = 22;
    /// SparkPost's custom headers have under 3,000 bytes in all (webhooks guide, custom headers).
    pub const MOST_BYTES: usize = 1024;
    /// A random secret of the least length has more by far.
    pub const LEAST_DIFFERENT: usize = 8;

    /// A secret for a password, a header or a client.
    ///
    /// # Errors
    /// The text is too short, too long, too uniform, or not of visible ASCII characters.
    pub fn new(text: &str) -> Result<Self, SecretFault> {
        let bytes = text.len();
        if bytes < Self::LEAST_BYTES {
            return Err(SecretFault::TooShort { bytes });
        }
        if bytes > Self::MOST_BYTES {
            return Err(SecretFault::TooLong { bytes });
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretFault::NotPlain);
        }
        let mut seen = [false; 128];
        for byte in text.bytes() {
            if let Some(seen) = seen.get_mut(usize::from(byte)) {
                *seen = true;
            }
        }
        if seen.iter().filter(|seen| **seen).count() < Self::LEAST_DIFFERENT {
            return Err(SecretFault::TooUniform);
        }
        Ok(Self(text.into()))
    }

    /// A secret for a path: only characters that stand in it as they are (RFC 3986, 2.3).
    ///
    /// # Errors
    /// As [`Secret::new`], and when a character would have to be escaped.
    pub fn for_path(text: &str) -> Result<Self, SecretFault> {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let secret = Self::new(text)?;
        if text.bytes().all(unreserved) {
            Ok(secret)
        } else {
            Err(SecretFault::NotForPath)
        }
    }

    /// The secret itself, for digests and for whoever sends it.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What stands for a secret in memory: SHA-256. Has no `==`: comparing is in constant time.
#[derive(Clone, Copy)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of two parts that no byte of either can move from one to the other.
    pub(crate) fn of_pair(first: &[u8], second: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update((first.len() as u64).to_be_bytes());
        hash.update(first);
        hash.update(second);
        Self(hash.finalize().into())
    }

    /// Whether it is one of the known ones. Looks at all of them.
    pub(crate) fn is_among<'a>(&self, known: impl IntoIterator<Item = &'a Digest>) -> bool {
        let none = Choice::from(0);
        known
            .into_iter()
            .fold(none, |found, digest| found | self.0.ct_eq(&digest.0))
            .into()
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}
