//! Access tokens: signed, so that any process with the same configuration knows them, and none keeps
//! them.
//!
//! A token is `postlake_token_` and the base64 (URL alphabet, no padding) of 49 bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | form of the token: 1 |
//! | 8 | key id |
//! | 8 | end of its life, seconds since 1970, big-endian |
//! | 32 | HMAC-SHA-256 over the bytes before |
//!
//! There is no field for an algorithm, so there is none to choose. Each client secret has a key of its
//! own, derived from it, the client's id and the audience: a token for another audience is signed by
//! another key, and taking a secret out of the configuration ends its tokens.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postlake_raw::clock::Clock;

use super::secret::Digest;
use super::settings::{AuthSettings, OAuthClient};

/// How every token begins, so that a scanner for secrets knows one.
const PREFIX: &[u8] = b"postlake_token_";
const FORM: u8 = 1;
const KEY_USE: &[u8] = b"postlake ingest token key 1";
const SIGNED_BYTES: usize = 17;
const TOKEN_BYTES: usize = SIGNED_BYTES + 32;
/// A token may outlive its lifetime by this when it is looked at: clocks of two machines differ. A
/// longer life shows that the clock which issued it was wrong.
const LEEWAY_SECS: u64 = 60;

/// What a token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ours, and not expired.
    Valid,
    /// Ours, and expired (or from a clock that was wrong): another one will do.
    Expired,
    /// Not ours.
    Wrong,
}

/// A token that was issued.
#[derive(Debug)]
pub(crate) struct Issued {
    /// The token.
    pub(crate) token: String,
    /// For how long it is valid, in seconds.
    pub(crate) expires_in: u64,
}

/// Issues and verifies tokens.
pub(super) struct Tokens {
    clients: Vec<Client>,
    /// A key that signs nothing: an unknown key id costs what a known one costs.
    nobody: Key,
    lifetime: Duration,
    clock: Arc<dyn Clock>,
}

struct Client {
    login: Digest,
    key_id: [u8; 8],
    key: Key,
}

impl Client {
    fn new(client: &OAuthClient, audience: &str) -> Self {
        let (id, secret) = (client.client_id.as_bytes(), client.client_secret.as_bytes());
        let purpose = Digest::of_pair(id, audience.as_bytes());
        let purpose = [KEY_USE, purpose.bytes()].concat();
        let derived = hmac::sign(&keyed(secret), &purpose);
        Self {
            login: Digest::of_pair(id, secret),
            key_id: first_bytes(&Digest::of_pair(b"postlake key id", derived.as_ref())),
            key: keyed(derived.as_ref()),
        }
    }
}

impl Tokens {
    /// `None` without clients.
    pub(super) fn new(settings: &AuthSettings, clock: Arc<dyn Clock>) -> Option<Self> {
        if settings.oauth2.is_empty() {
            return None;
        }
        Some(Self {
            clients: settings
                .oauth2
                .iter()
                .map(|client| Client::new(client, &settings.token_audience))
                .collect(),
            nobody: keyed(b"nobody"),
            lifetime: settings.token_lifetime,
            clock,
        })
    }

    /// A token for the client, if id and secret are those of one.
    pub(super) fn issue(&self, client_id: &str, client_secret: &str) -> Option<Issued> {
        let login = Digest::of_pair(client_id.as_bytes(), client_secret.as_bytes());
        // Every client is looked at, whichever it is.
        let known = self.clients.iter().fold(None, |found, client| {
            match login.is_among([&client.login]) {
                true => Some(client),
                false => found,
            }
        })?;
        let expires_in = self.lifetime.as_secs();
        Some(Issued {
            token: signed(known, self.now_secs().saturating_add(expires_in)),
            expires_in,
        })
    }

    /// What a token is worth now.
    pub(super) fn verify(&self, token: &[u8]) -> Verdict {
        self.read(token).unwrap_or(Verdict::Wrong)
    }

    fn read(&self, token: &[u8]) -> Option<Verdict> {
        let encoded = token.strip_prefix(PREFIX)?;
        // The decoder wants room for whole groups of three.
        let mut bytes = [0; TOKEN_BYTES + 3];
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()?;
        let (signed, mac) = bytes.get(..length)?.split_at_checked(SIGNED_BYTES)?;
        let fields = Fields::read(signed)?;
        let client = self
            .clients
            .iter()
            .find(|client| client.key_id == fields.key_id);
        let key = client.map_or(&self.nobody, |client| &client.key);
        // In constant time, and only the whole code will do.
        let genuine = hmac::verify(key, signed, mac).is_ok();
        if !genuine || client.is_none() {
            return None;
        }
        let now = self.now_secs();
        let last = now
            .saturating_add(self.lifetime.as_secs())
            .saturating_add(LEEWAY_SECS);
        Some(match fields.expires_at > now && fields.expires_at <= last {
            true => Verdict::Valid,
            false => Verdict::Expired,
        })
    }

    fn now_secs(&self) -> u64 {
        u64::try_from(self.clock.now().timestamp()).unwrap_or(0)
    }
}

/// The signed part of a token, not verified yet.
struct Fields {
    key_id: [u8; 8],
    expires_at: u64,
}

impl Fields {
    fn read(signed: &[u8]) -> Option<Self> {
        let rest = signed.strip_prefix(&[FORM])?;
        let (key_id, expires_at) = rest.split_first_chunk()?;
        Some(Self {
            key_id: *key_id,
            expires_at: u64::from_be_bytes(expires_at.try_into().ok()?),
        })
    }
}

fn signed(client: &Client, expires_at: u64) -> String {
    let mut bytes = Vec::with_capacity(TOKEN_BYTES);
    bytes.push(FORM);
    bytes.extend_from_slice(&client.key_id);
    bytes.extend_from_slice(&expires_at.to_be_bytes());
    let code = hmac::sign(&client.key, &bytes);
    bytes.extend_from_slice(code.as_ref());
    let prefix = String::from_utf8_lossy(PREFIX);
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn keyed(key: &[u8]) -> Key {
    Key::new(HMAC_SHA256, key)
}

fn first_bytes(digest: &Digest) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *digest.bytes();
    [a, b, c, d, e, f, g, h]
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}
