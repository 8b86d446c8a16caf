//! One server for a data directory: the second is told which process holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::path::Path;

use crate::exit::{Exit, Failure};

/// Longest content that is read of a lock file.
const MAX_LOCK_BYTES: u64 = 64;

/// Held as long as the process lives; the system lets go of it however the process ends.
#[derive(Debug)]
pub(crate) struct DataLock {
    _file: File,
}

impl DataLock {
    /// Makes the directory if it is missing and locks it.
    ///
    /// # Errors
    /// When the directory cannot be made or another server holds it.
    pub(crate) fn take(directory: &Path) -> Result<DataLock, Failure> {
        let failed = |source| {
            let doing = format!("use {} as data directory", directory.display());
            Failure::caused(Exit::CannotCreate, doing, source)
        };
        create_synced(directory).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join("postlake.lock"))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(directory, &file)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        match write_id(&mut file) {
            // The lock counts; who holds it is a courtesy that a full disk need not allow.
            Err(error) if error.kind() != std::io::ErrorKind::StorageFull => Err(failed(error)),
            _ => Ok(DataLock { _file: file }),
        }
    }
}

fn write_id(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Makes the directory with its missing parents, and has the entries of all of them on the disk before
/// anything in it is acknowledged. Also of those that were there: an earlier start may have made them
/// and been killed before it could sync them.
pub(crate) fn create_synced(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for place in std::path::absolute(directory)?.ancestors() {
        match File::open(place) {
            Ok(folder) => folder.sync_all()?,
            // Somebody else's, so nothing in it that we have made.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn held(directory: &Path, file: &File) -> Failure {
    let mut pid = String::new();
    #[expect(clippy::disallowed_methods, reason = "the reader is cut by take")]
    let read = file.take(MAX_LOCK_BYTES).read_to_string(&mut pid);
    let holder = match read {
        Ok(_) if !pid.trim().is_empty() => format!("the process {}", pid.trim()),
        _ => "another process".to_owned(),
    };
    let message = format!(
        "{} is in use by {holder}; stop it, or give this server another place with --data",
        directory.display()
    );
    Failure::new(Exit::CannotCreate, message)
}
