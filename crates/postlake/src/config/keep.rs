//! What `[lake]` and `[retention]` say: how the lake is kept.

use std::time::Duration;

use figment::Figment;

use super::duration;
use super::faults::Faults;

/// How the lake is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepSettings {
    /// Whether a server that loads merges files by itself.
    pub(crate) compact: bool,
    /// From one turn of upkeep to the next.
    pub(crate) upkeep_interval: Duration,
    /// How long files that were replaced are kept.
    pub(crate) vacuum_after: Duration,
    /// How long everything else is.
    pub(crate) rules: KeptDays,
}

/// How many days are kept besides today; none is for ever. The loader's own rules are not named here: who only
/// receives reads these settings too, and has no loader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptDays {
    pub(crate) raw: Option<u32>,
    pub(crate) events: Option<u32>,
    pub(crate) alerts: Option<u32>,
    pub(crate) quarantine: Option<u32>,
    pub(crate) batches: Option<u32>,
}

const UPKEEP_INTERVAL: Duration = Duration::from_secs(60);
const VACUUM_AFTER: Duration = Duration::from_hours(7 * 24);
/// That of the lake; `wire` holds the two against each other.
pub(crate) const LONGEST_VACUUM_AFTER: Duration = Duration::from_hours(7 * 24);
const LEAST_VACUUM_AFTER: Duration = Duration::from_hours(1);
const DAY: u64 = 24 * 60 * 60;

pub(super) fn read(figment: &Figment, faults: &mut Faults) -> Option<KeepSettings> {
    let compact = faults.value(figment, "lake.compact", true);
    let upkeep_interval = duration(figment, "lake.upkeep_interval", UPKEEP_INTERVAL, faults);
    let vacuum_after = duration(figment, "lake.vacuum_after", VACUUM_AFTER, faults);
    if upkeep_interval.is_some_and(|interval| interval.is_zero()) {
        faults.add("lake.upkeep_interval", "must be more than nothing");
    }
    let longest = LONGEST_VACUUM_AFTER;
    if vacuum_after.is_some_and(|after| !(LEAST_VACUUM_AFTER..=longest).contains(&after)) {
        let message = "must be between 1h and 7d: readers need the one, and the log forgets after the other \
                       when a file was replaced";
        faults.add("lake.vacuum_after", message);
    }
    let mut days = |name: &str| whole_days(figment, &format!("retention.{name}"), faults);
    let rules = KeptDays {
        raw: days("raw"),
        events: days("events"),
        alerts: days("alerts"),
        quarantine: days("quarantine"),
        batches: days("batches"),
    };
    Some(KeepSettings {
        compact: compact?,
        upkeep_interval: upkeep_interval?,
        vacuum_after: vacuum_after?,
        rules,
    })
}

/// A rule; none if nothing is said, which is for ever.
fn whole_days(figment: &Figment, key: &str, faults: &mut Faults) -> Option<u32> {
    if figment.find_value(key).is_err() {
        return None;
    }
    let time = duration(figment, key, Duration::ZERO, faults)?;
    let days = u32::try_from(time.as_secs() / DAY).unwrap_or(u32::MAX);
    if time.as_secs() % DAY != 0 || days == 0 || time.subsec_nanos() != 0 {
        faults.add(key, "must be whole days, one at least, as \"30d\"");
        return None;
    }
    Some(days)
}
