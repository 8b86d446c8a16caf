//! Space that is kept back for what must be landed on a full disk.
//!
//! A file of allocated blocks in the data directory. When the disk is full it is cut shorter, piece
//! by piece, so that each piece given up is there for the next landing and not at once for whoever
//! else writes to the disk. When space returns the file is made long again. A restart finds it as
//! long as it was left.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::FallocateFlags;

/// Name of the file in the data directory.
pub const RESERVE_FILE: &str = "postlake.reserve";

/// The least that is given up at once: a file system rounds, and a landing needs a folder too.
const LEAST_PIECE_BYTES: u64 = 256 * 1024;
/// Written at once where blocks cannot be allocated unwritten.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Allocated space that can be given up.
#[derive(Debug)]
pub struct Reserve {
    file: Mutex<File>,
    wanted_bytes: u64,
}

impl Reserve {
    /// Opens or makes the file in `directory`, as long as it is; [`Reserve::refill`] makes it as long
    /// as `wanted_bytes`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(directory: &Path, wanted_bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(RESERVE_FILE))?;
        Ok(Self {
            file: Mutex::new(file),
            wanted_bytes,
        })
    }

    /// How long the file is to be.
    pub fn wanted_bytes(&self) -> u64 {
        self.wanted_bytes
    }

    /// How much is kept back now; nothing when the file cannot be looked at.
    pub fn kept_bytes(&self) -> u64 {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.metadata().map_or(0, |found| found.len())
    }

    /// Gives up at least `bytes`, as far as they are there. False when nothing is left, or the file
    /// cannot be cut.
    pub fn give(&self, bytes: u64) -> bool {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(kept) = file.metadata().map(|found| found.len()) else {
            return false;
        };
        let piece = bytes.max(LEAST_PIECE_BYTES).min(kept);
        piece > 0 && file.set_len(kept - piece).is_ok()
    }

    /// Makes the file as long as it is to be, if `free_bytes` leaves room for that and for
    /// `margin_bytes` besides; an existing file that is too long is cut. On `Ok` true when it is as
    /// long as it is to be.
    ///
    /// # Errors
    /// When the disk does not give the space; what was allocated until then is kept.
    pub fn refill(&self, free_bytes: u64, margin_bytes: u64) -> io::Result<bool> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = file.metadata()?.len();
        if kept >= self.wanted_bytes {
            if kept > self.wanted_bytes {
                file.set_len(self.wanted_bytes)?;
            }
            return Ok(true);
        }
        let missing = self.wanted_bytes - kept;
        if free_bytes < missing.saturating_add(margin_bytes) {
            return Ok(false);
        }
        match rustix::fs::fallocate(&*file, FallocateFlags::empty(), kept, missing) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::OPNOTSUPP) => {
                write_zeros(&mut file, kept, missing).map(|()| true)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn write_zeros(file: &mut File, from: u64, bytes: u64) -> io::Result<()> {
    use std::io::Seek as _;
    file.seek(io::SeekFrom::Start(from))?;
    let mut left = bytes;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all(ZEROS.get(..piece).unwrap_or_default())?;
        left -= piece as u64;
    }
    Ok(())
}
