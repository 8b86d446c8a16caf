//! What the system says of this process.

use std::fs;

use crate::admin::status::Process;

/// Linux counts processor time in hundredths of a second towards programs, whatever its own tick is.
const TICKS_PER_SEC: f64 = 100.0;

/// Reads `/proc/self`; on a system without it everything but the limit of files is zero.
pub(super) fn read() -> Process {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Process {
        cpu_secs: cpu_secs(&stat).unwrap_or(0.0),
        resident_bytes: field(&status, "VmRSS:").unwrap_or(0) * 1024,
        threads: field(&status, "Threads:").unwrap_or(0),
        open_fds: fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
        max_fds: limit.current.unwrap_or(u64::MAX),
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time: fields 14 and 15. The name in brackets may hold anything.
fn cpu_secs(stat: &str) -> Option<f64> {
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SEC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let process = read();
        assert!(process.resident_bytes > 1 << 20, "{process:?}");
        assert!(process.threads >= 1 && process.open_fds >= 3, "{process:?}");
        assert!(process.max_fds >= process.open_fds, "{process:?}");
    }

    #[test]
    fn times_are_found_behind_a_name_with_brackets() {
        let stat = "7 (a) b) S 1 1 1 0 -1 4194304 1 2 3 4 150 50 0 0 20 0";
        assert_eq!(cpu_secs(stat), Some(2.0));
    }
}
