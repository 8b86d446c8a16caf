//! Access tokens: signed, so that any process with the same configuration knows them, and none keeps
//! them.
//!
//! A token is `postlake_token_` and the base64 (URL alphabet, no padding) of 57 bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | form of the token: 1 |
//! | 8 | key id |
//! | 8 | end of its life, seconds since 1970, big-endian |
//! | 8 | the first of the SHA-256 of its audience |
//! | 32 | HMAC-SHA-256 over the bytes before, the audience and a name of this use |
//!
//! There is no field for an algorithm, so there is none to choose. Each client secret has a key of its
//! own, derived from it and the client's id: taking a secret out of the configuration ends its tokens.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use postlake_raw::clock::Clock;
use sha2::Sha256;

use super::secret::Digest;
use super::settings::{AuthSettings, OAuthClient};

/// How every token begins, so that a scanner for secrets knows one.
const PREFIX: &[u8] = b"postlake_token_";
const FORM: u8 = 1;
const KEY_USE: &[u8] = b"postlake ingest token key 1";
const TOKEN_USE: &[u8] = b"postlake ingest token 1";
const SIGNED_BYTES: usize = 25;
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
    nobody: Hmac<Sha256>,
    audience: String,
    audience_tag: [u8; 8],
    lifetime: Duration,
    clock: Arc<dyn Clock>,
}

struct Client {
    login: Digest,
    key_id: [u8; 8],
    key: Hmac<Sha256>,
}

impl Client {
    fn new(client: &OAuthClient) -> Self {
        let secret = client.client_secret.as_bytes();
        let mut derive = keyed(secret);
        derive.update(KEY_USE);
        derive.update(client.client_id.as_bytes());
        let key = derive.finalize().into_bytes();
        Self {
            login: Digest::of_pair(client.client_id.as_bytes(), secret),
            key_id: first_bytes(&Digest::of_pair(b"postlake key id", &key)),
            key: keyed(&key),
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
            clients: settings.oauth2.iter().map(Client::new).collect(),
            nobody: keyed(b"nobody"),
            audience: settings.token_audience.clone(),
            audience_tag: first_bytes(&Digest::of(settings.token_audience.as_bytes())),
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
            token: self.signed(known, self.now_secs().saturating_add(expires_in)),
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
        let genuine = self.mac(key, signed).verify_slice(mac).is_ok();
        if !genuine || client.is_none() || fields.audience_tag != self.audience_tag {
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

    fn signed(&self, client: &Client, expires_at: u64) -> String {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.push(FORM);
        bytes.extend_from_slice(&client.key_id);
        bytes.extend_from_slice(&expires_at.to_be_bytes());
        bytes.extend_from_slice(&self.audience_tag);
        let mac = self.mac(&client.key, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        let prefix = String::from_utf8_lossy(PREFIX);
        format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    fn mac(&self, key: &Hmac<Sha256>, signed: &[u8]) -> Hmac<Sha256> {
        let mut mac = key.clone();
        mac.update(signed);
        mac.update(TOKEN_USE);
        mac.update(self.audience.as_bytes());
        mac
    }

    fn now_secs(&self) -> u64 {
        u64::try_from(self.clock.now().timestamp()).unwrap_or(0)
    }
}

/// The signed part of a token, not verified yet.
struct Fields {
    key_id: [u8; 8],
    expires_at: u64,
    audience_tag: [u8; 8],
}

impl Fields {
    fn read(signed: &[u8]) -> Option<Self> {
        let rest = signed.strip_prefix(&[FORM])?;
        let (key_id, rest) = rest.split_first_chunk()?;
        let (expires_at, rest) = rest.split_first_chunk()?;
        Some(Self {
            key_id: *key_id,
            expires_at: u64::from_be_bytes(*expires_at),
            audience_tag: rest.try_into().ok()?,
        })
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
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
