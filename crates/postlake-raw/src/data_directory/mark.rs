//! The mark of a data directory, and the place of a directory in the system.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Name of the file that holds the mark: 32 hexadecimal digits, made once, never changed.
pub const MARK_FILE: &str = "postlake.id";

const MAX_MARK_BYTES: u64 = 64;

/// Device and number of a directory; cheap to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    device: u64,
    number: u64,
}

impl Place {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        if !found.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            device: found.dev(),
            number: found.ino(),
        })
    }
}

/// The mark of the directory.
pub(super) fn read(directory: &Path) -> io::Result<String> {
    let mut mark = String::new();
    #[expect(clippy::disallowed_methods, reason = "the reader is cut by take")]
    File::open(directory.join(MARK_FILE))?
        .take(MAX_MARK_BYTES)
        .read_to_string(&mut mark)?;
    Ok(mark.trim().to_owned())
}

/// The mark of the directory, durable; made if there is none. Two that make one at the same time
/// agree on one.
pub(super) fn read_or_make(directory: &Path) -> io::Result<String> {
    match read(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(directory)?,
        other => return other,
    }
    read(directory)
}

fn make(directory: &Path) -> io::Result<()> {
    let random = rand::random::<u128>();
    let draft = directory.join(format!("{MARK_FILE}.{random:032x}"));
    let mut file = File::create_new(&draft)?;
    let written = writeln!(file, "{random:032x}").and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&draft, directory.join(MARK_FILE)));
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(directory)?.sync_all()
}
