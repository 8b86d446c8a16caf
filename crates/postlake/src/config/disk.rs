//! How much of the disk of a data directory is left alone.

use postlake_raw::data_directory::FreeSpace;

const MIB: u64 = 1024 * 1024;
/// What is kept free, unless a twentieth of the disk is less.
const MIN_FREE_BYTES: u64 = 512 * MIB;
const MIN_FREE_SHARE: u64 = 20;
/// The reserve, unless a sixty-fourth of the disk is less.
const RESERVE_BYTES: u64 = 64 * MIB;
const RESERVE_SHARE: u64 = 64;

/// What is asked for in the configuration; what is not depends on the size of the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DiskSettings {
    /// Events are held back while less is free.
    pub(crate) min_free_bytes: Option<u64>,
    /// Kept back for alerts in a file.
    pub(crate) reserve_bytes: Option<u64>,
}

impl DiskSettings {
    /// Below this events are held back.
    pub(crate) fn min_free_bytes(self, disk: FreeSpace) -> u64 {
        let usual = (disk.total_bytes / MIN_FREE_SHARE).min(MIN_FREE_BYTES);
        self.min_free_bytes.unwrap_or(usual)
    }

    /// Below this nothing is loaded.
    pub(crate) fn loads_nothing_below(self, disk: FreeSpace) -> u64 {
        self.min_free_bytes(disk) / 2
    }

    pub(crate) fn reserve_bytes(self, disk: FreeSpace) -> u64 {
        let usual = (disk.total_bytes / RESERVE_SHARE).min(RESERVE_BYTES);
        self.reserve_bytes.unwrap_or(usual)
    }
}
