//! Why a landing failed, for counters and for who decides what to do about it.

use std::error::Error;
use std::io;

use crate::data_directory::Away;

/// `EIO`: the device has failed; the standard library has no name for it.
const EIO: i32 = 5;

/// Why a landing failed. What it means for the key is another question (see
/// [`crate::LandErrorKind`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LandCause {
    /// No space, or no quota, is left.
    StorageFull,
    /// The file system takes no writes.
    ReadOnly,
    /// The store does not let us: permissions, or credentials that are wrong or have expired.
    Denied,
    /// The data directory is not where it was.
    Away,
    /// The device failed (`EIO`): what was written may be lost even if a later sync succeeds.
    Device,
    /// Other bytes stand under the name, or another put of the name was under way.
    Conflict,
    /// The store did not answer in time.
    TimedOut,
    /// Any other failure: connections, answers 5xx and 429, file descriptors.
    Unavailable,
}

impl LandCause {
    /// Every cause, in the order of the counters.
    pub const ALL: [Self; 8] = [
        Self::StorageFull,
        Self::ReadOnly,
        Self::Denied,
        Self::Away,
        Self::Device,
        Self::Conflict,
        Self::TimedOut,
        Self::Unavailable,
    ];

    /// Stable name, as in metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::StorageFull => "storage_full",
            Self::ReadOnly => "read_only",
            Self::Denied => "denied",
            Self::Away => "away",
            Self::Device => "device",
            Self::Conflict => "conflict",
            Self::TimedOut => "timed_out",
            Self::Unavailable => "unavailable",
        }
    }

    pub(super) fn of(error: &object_store::Error) -> Self {
        use object_store::Error as Store;
        match error {
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => Self::Denied,
            Store::AlreadyExists { .. } | Store::Precondition { .. } => Self::Conflict,
            other => of_chain(other).unwrap_or(Self::Unavailable),
        }
    }
}

/// The cause that the first telling error of the chain names.
fn of_chain(error: &(dyn Error + 'static)) -> Option<LandCause> {
    if error.is::<Away>() {
        return Some(LandCause::Away);
    }
    let Some(io) = error.downcast_ref::<io::Error>() else {
        return of_chain(error.source()?);
    };
    // The source of a wrapping I/O error is that of the error in it, which itself would be passed over.
    of_io(io).or_else(|| of_chain(io.get_ref()?))
}

fn of_io(error: &io::Error) -> Option<LandCause> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(LandCause::StorageFull),
        io::ErrorKind::ReadOnlyFilesystem => Some(LandCause::ReadOnly),
        io::ErrorKind::PermissionDenied => Some(LandCause::Denied),
        io::ErrorKind::TimedOut => Some(LandCause::TimedOut),
        _ if error.raw_os_error() == Some(EIO) => Some(LandCause::Device),
        _ => None,
    }
}

/// Whether the store's side has decided against the put before it published anything. Everything
/// else (a broken connection, a failed sync, a 500) leaves open what has happened.
pub(super) fn is_refusal(error: &object_store::Error) -> bool {
    use object_store::Error as Store;
    let odd = matches!(
        error,
        Store::NotSupported { .. } | Store::NotImplemented { .. } | Store::InvalidPath { .. }
    );
    let cause = LandCause::of(error);
    odd || matches!(
        cause,
        LandCause::StorageFull | LandCause::ReadOnly | LandCause::Denied
    )
}

/// Whether the put was turned back before it reached the store.
pub(crate) fn was_turned_back(error: &(dyn Error + 'static)) -> bool {
    match error.downcast_ref::<Away>() {
        Some(away) => !away.reached,
        None => error.source().is_some_and(was_turned_back),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(source: io::Error) -> object_store::Error {
        object_store::Error::Generic {
            store: "test",
            source: Box::new(source),
        }
    }

    #[test]
    fn causes_are_told_from_the_whole_chain() {
        let device = io::Error::from_raw_os_error(EIO);
        let cases = [
            (wrapped(device), LandCause::Device, false),
            (
                wrapped(io::ErrorKind::StorageFull.into()),
                LandCause::StorageFull,
                true,
            ),
            (
                wrapped(io::ErrorKind::ReadOnlyFilesystem.into()),
                LandCause::ReadOnly,
                true,
            ),
            (
                wrapped(io::Error::other(io::Error::from(io::ErrorKind::TimedOut))),
                LandCause::TimedOut,
                false,
            ),
            (
                wrapped(io::ErrorKind::ConnectionReset.into()),
                LandCause::Unavailable,
                false,
            ),
        ];
        for (error, cause, refused) in cases {
            assert_eq!(LandCause::of(&error), cause, "{error:?}");
            assert_eq!(is_refusal(&error), refused, "{error:?}");
        }
    }
}
