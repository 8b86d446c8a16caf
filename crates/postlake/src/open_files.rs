//! How many files and connections the system allows this process to have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept back from connections, so that segments and tables can always be opened.
const FOR_FILES: u64 = 512;

/// Raises the limit as far as it goes without rights, and returns how many connections may be open so
/// that files can still be.
pub(crate) fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!("the limit of open files stays as it is: {error}");
            limit.current
        }
    };
    let for_connections = current.map_or(u64::MAX, |all| all - FOR_FILES.min(all / 2));
    usize::try_from(for_connections)
        .unwrap_or(usize::MAX)
        .max(1)
}
