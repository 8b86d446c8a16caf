//! The books by the hour, in words.

use super::view::{Moment, Tone};
use super::words::thousands;
use crate::ledger::LedgerHour;

/// An hour of the ledger.
#[derive(Debug)]
pub(super) struct HourLine {
    pub(super) hour: Moment,
    pub(super) batches: String,
    pub(super) items: String,
    pub(super) events: String,
    pub(super) alerts: String,
    pub(super) duplicates: String,
    pub(super) rejects: String,
    pub(super) balanced: bool,
    pub(super) tone: Tone,
    pub(super) words: String,
}

impl HourLine {
    pub(super) fn of(hour: &LedgerHour) -> HourLine {
        let (tone, words) = verdict(hour);
        HourLine {
            hour: Moment::of(hour.hour),
            batches: thousands(hour.batches),
            items: thousands(hour.items),
            events: thousands(hour.events),
            alerts: thousands(hour.alerts),
            duplicates: thousands(hour.duplicates),
            rejects: thousands(hour.rejects),
            balanced: hour.balanced,
            tone,
            words,
        }
    }
}

fn verdict(hour: &LedgerHour) -> (Tone, String) {
    if !hour.balanced {
        let differences = [
            (hour.unaccounted_items, "items unaccounted for"),
            (hour.events_difference, "events"),
            (hour.alerts_difference, "alerts"),
            (hour.quarantine_difference, "quarantined"),
        ];
        let differences = differences
            .iter()
            .filter(|(difference, _)| *difference != 0);
        let said: Vec<_> = differences
            .map(|(difference, what)| format!("{difference:+} {what}"))
            .collect();
        return (Tone::Bad, format!("do not balance: {}", said.join(", ")));
    }
    match hour.damaged_segments {
        0 => (Tone::Good, "balance".to_owned()),
        1 => (Tone::Warn, "balance, but for 1 damaged segment".to_owned()),
        segments => (
            Tone::Warn,
            format!("balance, but for {segments} damaged segments"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn an_hour_says_what_is_wrong_with_it() {
        let good = LedgerHour {
            hour: DateTime::UNIX_EPOCH,
            batches: 1,
            bytes: 2,
            items: 3,
            events: 3,
            alerts: 0,
            duplicates: 0,
            rejects: 0,
            damaged_segments: 0,
            unaccounted_items: 0,
            events_difference: 0,
            alerts_difference: 0,
            quarantine_difference: 0,
            balanced: true,
        };
        let damaged = LedgerHour {
            damaged_segments: 2,
            ..good
        };
        let wrong = LedgerHour {
            events_difference: -1,
            quarantine_difference: 2,
            balanced: false,
            ..good
        };
        for (hour, tone, words) in [
            (good, Tone::Good, "balance"),
            (damaged, Tone::Warn, "balance, but for 2 damaged segments"),
            (
                wrong,
                Tone::Bad,
                "do not balance: -1 events, +2 quarantined",
            ),
        ] {
            let line = HourLine::of(&hour);
            assert_eq!((line.tone, line.words.as_str()), (tone, words));
        }
    }
}
