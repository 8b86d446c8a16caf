//! A directory as the home of a raw store: which one it is, how much room it has, what is kept back.
//!
//! A store in a directory makes the folders that it misses. When the directory itself is taken away
//! (unmounted, renamed), that would quietly start an empty one in its place and acknowledge batches
//! that nobody finds when the right one returns. So a [`DataDirectory`] carries a mark, and
//! [`Guarded`] lets nothing through while another directory, or none, stands under the path.

mod guarded;
mod mark;
mod reserve;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use guarded::Guarded;
pub use mark::MARK_FILE;
pub use reserve::{RESERVE_FILE, Reserve};

use mark::Place;

/// A directory that is known again when it comes back.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    mark: String,
    place: Mutex<Place>,
}

/// The data directory is not there: nothing, or another directory, stands under its path.
#[derive(Debug, thiserror::Error)]
#[error("the data directory {} is away, {what}", path.display())]
pub struct Away {
    path: PathBuf,
    what: &'static str,
    /// True when it was found out after the store had been reached, so that something may be
    /// stored, somewhere.
    pub(crate) reached: bool,
    #[source]
    source: Option<io::Error>,
}

/// Room on the file system of a directory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpace {
    /// What may still be written.
    pub free_bytes: u64,
    /// Its size.
    pub total_bytes: u64,
}

impl DataDirectory {
    /// Knows the directory from now on; marks it, durably, if it has no mark yet. The directory must
    /// exist.
    ///
    /// # Errors
    /// When there is no such directory, or it cannot be read or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let mark = mark::read_or_make(&path)?;
        let place = Mutex::new(Place::of(&path)?);
        Ok(Self { path, mark, place })
    }

    /// Where it is, or was.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this very directory stands under its path now. It does also when it has come back
    /// from elsewhere, on another device, with its mark.
    ///
    /// # Errors
    /// When it does not, or nobody can say.
    pub fn check(&self) -> Result<(), Away> {
        let away = |what, source| Away {
            path: self.path.clone(),
            what,
            reached: false,
            source,
        };
        let now = Place::of(&self.path).map_err(|source| {
            let what = match source.kind() {
                io::ErrorKind::NotFound => "there is none under its path",
                _ => "it cannot be looked at",
            };
            away(what, Some(source))
        })?;
        let mut known = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if now == *known {
            return Ok(());
        }
        match mark::read(&self.path) {
            Ok(mark) if mark == self.mark => {
                *known = now;
                Ok(())
            }
            Ok(_) => Err(away("another one stands under its path", None)),
            Err(source) => Err(away("one without its mark stands there", Some(source))),
        }
    }
}

/// Room on the file system that `path` is on. May take as long as the file system does: call it off
/// the async threads.
///
/// # Errors
/// When the file system does not say.
pub fn free_space(path: &Path) -> io::Result<FreeSpace> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(FreeSpace {
        free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        total_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
    })
}
