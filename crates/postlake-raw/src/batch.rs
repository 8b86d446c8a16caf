//! One received batch: our envelope and the sender's exact bytes.

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Which of the sender's two webhooks a batch came by. It says where it was posted, not what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SourceKind {
    /// The event webhook; `"events"` on disk.
    #[serde(rename = "events")]
    Event,
    /// The alert webhook; `"alerts"` on disk.
    #[serde(rename = "alerts")]
    Alert,
}

impl SourceKind {
    /// The word on disk and in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "events",
            Self::Alert => "alerts",
        }
    }
}

impl std::fmt::Display for SourceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What we say about a batch; on disk one line of JSON before the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The webhook the batch came by.
    pub source: SourceKind,
    /// When the body was complete, in whole microseconds.
    pub received_at: DateTime<Utc>,
    /// The sender's `X-MessageSystems-Batch-ID`; alerts have none.
    pub batch_id: Option<String>,
    /// The request headers that were chosen to be kept, names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// Length of the body.
    pub body_bytes: u64,
    /// SHA-256 of the body.
    #[serde(with = "hex_digest")]
    pub sha256: [u8; 32],
}

/// An envelope and the body's bytes as they came, not decoded and not decompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What we say about the body.
    pub envelope: Envelope,
    /// The sender's bytes.
    pub body: Bytes,
}

impl Batch {
    /// A batch around `body`. Hashes the body (one pass over it; the caller decides on which thread)
    /// and cuts `received_at` to microseconds, so that the disk gives back what was put in.
    pub fn new(
        source: SourceKind,
        received_at: DateTime<Utc>,
        batch_id: Option<String>,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Self {
        let envelope = Envelope {
            source,
            received_at: received_at.trunc_subsecs(6),
            batch_id,
            headers,
            body_bytes: body.len() as u64,
            sha256: digest(&body),
        };
        Self { envelope, body }
    }
}

/// SHA-256 of `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

mod hex_digest {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        digest: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(digest))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut digest = [0; 32];
        hex::decode_to_slice(&text, &mut digest).map_err(D::Error::custom)?;
        Ok(digest)
    }
}
