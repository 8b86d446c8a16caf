//! Basic authentication (RFC 7617).

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::secret::{Digest, Secret};
use super::settings::BasicLogin;

/// Senders differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Longest `user:password` that is looked at, in bytes.
const MAX_LOGIN_BYTES: usize = 2048;

/// Digests of `user:password`: name and password are one secret, so that a wrong name costs what a
/// wrong password costs.
#[derive(Debug)]
pub(super) struct Logins(Vec<Digest>);

impl Logins {
    pub(super) fn new(logins: &[BasicLogin]) -> Self {
        let digest = |login: &BasicLogin| {
            let password = login.password.as_ref().map_or(&b""[..], Secret::as_bytes);
            Digest::of(&[login.username.as_bytes(), b":", password].concat())
        };
        Self(logins.iter().map(digest).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets the base64 of `user:password` in, if it is one of ours.
    pub(super) fn admit(&self, encoded: &[u8]) -> Option<()> {
        let mut login = [0; MAX_LOGIN_BYTES + 2];
        let bytes = BASE64.decode_slice(encoded, &mut login).ok()?;
        let login = login.get(..bytes)?;
        Digest::of(login).is_among(&self.0).then_some(())
    }
}

/// Name and password of a login as RFC 6749 (2.3.1) puts client id and secret into it.
pub(crate) fn parts(encoded: &[u8]) -> Option<(String, String)> {
    let login = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    let (name, password) = login.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}
