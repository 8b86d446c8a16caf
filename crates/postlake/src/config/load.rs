//! What `[load]` says.

use std::time::Duration;

use figment::Figment;

use super::duration;
use super::faults::Faults;

/// How the loader works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadSettings {
    /// From one pass to the next, at least.
    pub(crate) interval: Duration,
    /// When a pass commits, by age and by size.
    pub(crate) commit_age: Duration,
    pub(crate) commit_rows: usize,
    /// For the keys of loaded rows.
    pub(crate) key_memory_bytes: u64,
    pub(crate) key_disk_bytes: u64,
}

const INTERVAL: Duration = Duration::from_secs(2);
const COMMIT_AGE: Duration = Duration::from_secs(3);
const COMMIT_ROWS: usize = 100_000;
const KEY_MEMORY_BYTES: u64 = 64 << 20;
const KEY_DISK_BYTES: u64 = 2 << 30;

pub(super) fn read(figment: &Figment, faults: &mut Faults) -> Option<LoadSettings> {
    let interval = duration(figment, "load.interval", INTERVAL, faults);
    let commit_age = duration(figment, "load.commit_age", COMMIT_AGE, faults);
    let commit_rows = faults.value(figment, "load.commit_rows", COMMIT_ROWS);
    if commit_rows == Some(0) {
        faults.add("load.commit_rows", "must be more than nothing");
    }
    let key_memory_bytes = faults.value(figment, "load.key_memory_bytes", KEY_MEMORY_BYTES);
    let key_disk_bytes = faults.value(figment, "load.key_disk_bytes", KEY_DISK_BYTES);
    Some(LoadSettings {
        interval: interval?,
        commit_age: commit_age?,
        commit_rows: commit_rows?,
        key_memory_bytes: key_memory_bytes?,
        key_disk_bytes: key_disk_bytes?,
    })
}
