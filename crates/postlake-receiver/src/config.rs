//! Limits of the receiver, each with its unit and its default.

use std::time::Duration;

use postlake_listen::Limits;
use postlake_raw::segment::MAX_SEGMENT_BYTES;

use crate::auth::AuthSettings;
use crate::inflight::BATCH_OVERHEAD_BYTES;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// What a segment has besides bodies, at most, when it holds a single one.
const SEGMENT_OVERHEAD_BYTES: u64 = MIB;

/// What the receiver takes and how long it waits. [`Config::default`] is what the product ships.
#[derive(Debug, Clone)]
pub struct Config {
    /// Largest body taken; a larger one is answered 413. 32 MiB.
    pub max_body_bytes: u64,
    /// Most bytes of bodies that are being read or wait to be durable; above, events get 503. 128 MiB.
    pub max_inflight_bytes: u64,
    /// The same, set aside for alerts, which take from `max_inflight_bytes` when it is used up. 32 MiB.
    pub alert_reserve_bytes: u64,
    /// Bodies in a segment, in bytes; the rest goes into the next one. A single larger body has a
    /// segment of its own. 32 MiB.
    pub max_segment_bytes: u64,
    /// Under load, time from the start of one commit to the start of the next, at least. 20 ms.
    pub commit_interval: Duration,
    /// So many batches that wait do not wait for `commit_interval`, which is there to keep segments
    /// from being small. 32.
    pub commit_batches: usize,
    /// Nor do so many bytes of bodies, which take longer to encode than a disk to sync. 4 MiB.
    pub commit_bytes: u64,
    /// Longest wait for durability after the body's last byte; then 503. The sender cuts at 10 s. 8 s.
    pub answer_timeout: Duration,
    /// Longest wait for the store to answer a put; then its outcome counts as unknown. 60 s.
    pub put_timeout: Duration,
    /// How long a put is waited for when the one before was answered; doubles with each that is not,
    /// up to `put_timeout`. Short for a store whose puts can be given up and tried elsewhere at once,
    /// as long as `put_timeout` for a disk, where an abandoned put goes on. 60 s.
    pub put_patience: Duration,
    /// The committer ends, for the process to end with an I/O error, when the device has failed
    /// (`EIO`) in every landing for so long. 60 s.
    pub device_patience: Duration,
    /// Longest time for a whole body; then 408. 30 s.
    pub body_timeout: Duration,
    /// How long a body may come at any rate. 10 s.
    pub body_grace: Duration,
    /// Rate a body must have kept, over all its time, once the grace is over; else 408. 1,024 bytes a second.
    pub min_body_bytes_per_sec: u64,
    /// Number, headers and times of connections.
    pub connections: Limits,
    /// Who may post. Anybody.
    pub auth: AuthSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 * MIB,
            max_inflight_bytes: 128 * MIB,
            alert_reserve_bytes: 32 * MIB,
            max_segment_bytes: 32 * MIB,
            commit_interval: Duration::from_millis(20),
            commit_batches: 32,
            commit_bytes: 4 * MIB,
            answer_timeout: Duration::from_secs(8),
            put_timeout: Duration::from_secs(60),
            put_patience: Duration::from_secs(60),
            device_patience: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            body_grace: Duration::from_secs(10),
            min_body_bytes_per_sec: KIB,
            connections: Limits::default(),
            auth: AuthSettings::default(),
        }
    }
}

/// A limit that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {value}, it must be from {least} to {most}")]
pub struct ConfigError {
    /// Name of the field.
    pub key: &'static str,
    /// What it is.
    pub value: u64,
    /// The least it may be.
    pub least: u64,
    /// The most it may be.
    pub most: u64,
}

impl Config {
    /// Every limit that cannot work, all at once; empty when the configuration is sound.
    pub fn faults(&self) -> Vec<ConfigError> {
        let most_body = MAX_SEGMENT_BYTES - SEGMENT_OVERHEAD_BYTES;
        let least_inflight = self.max_body_bytes.saturating_add(BATCH_OVERHEAD_BYTES);
        let limits = [
            ("max_body_bytes", self.max_body_bytes, 1, most_body),
            ("max_segment_bytes", self.max_segment_bytes, 1, most_body),
            (
                "max_inflight_bytes",
                self.max_inflight_bytes,
                least_inflight,
                u64::MAX,
            ),
            (
                "min_body_bytes_per_sec",
                self.min_body_bytes_per_sec,
                1,
                u64::MAX,
            ),
            (
                "max_header_bytes",
                self.connections.max_header_bytes as u64,
                8 * KIB,
                MIB,
            ),
            (
                "max_connections",
                self.connections.max_connections as u64,
                1,
                MIB,
            ),
        ];
        limits
            .into_iter()
            .filter(|(_, value, least, most)| !(least..=most).contains(&value))
            .map(|(key, value, least, most)| ConfigError {
                key,
                value,
                least,
                most,
            })
            .collect()
    }
}
