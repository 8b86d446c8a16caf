//! Whether the clock can be right.

use std::path::Path;

use chrono::Datelike as _;

use super::Finding;
use crate::wire;

/// The year of this release: an earlier one is a clock that was never set.
const YEAR: i32 = 2026;

/// What time services leave while the clock is kept right.
const KEEPERS: [(&str, &str); 4] = [
    ("/run/systemd/timesync/synchronized", "systemd-timesyncd"),
    ("/run/chrony/chronyd.sock", "chrony"),
    ("/run/chrony/chronyd.pid", "chrony"),
    ("/run/ntpd.pid", "ntpd"),
];

pub(super) fn examine() -> Finding {
    let now = wire::clock().now();
    let finding = |found: String| Finding::ok("clock", "", found);
    let text = now.format("%Y-%m-%dT%H:%M:%SZ");
    if now.year() < YEAR {
        return finding(format!("it is {text}, which cannot be"))
            .fail("set the clock, or have systemd-timesyncd or chrony keep it");
    }
    let keeper = KEEPERS.iter().find(|(file, _)| Path::new(file).exists());
    match keeper {
        Some((_, name)) => finding(format!("it is {text}, kept right by {name}")),
        None => finding(format!("it is {text}, and nothing here says that it is kept right")).warn(
            "have systemd-timesyncd or chrony keep it; in a container the host does, and this can be passed over",
        ),
    }
}
