//! Moments on the command line: a day, a time, or so long ago.

use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::parse_duration;

/// A moment, or one that counts back from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    At(DateTime<Utc>),
    Ago(TimeDelta),
}

impl Moment {
    /// The moment itself.
    pub(crate) fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Moment::At(at) => at,
            Moment::Ago(time) => now.checked_sub_signed(time).unwrap_or(now),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Ok(Moment::At(at.with_timezone(&Utc)));
        }
        if let Ok(day) = text.parse::<NaiveDate>() {
            return Ok(Moment::At(day.and_time(NaiveTime::MIN).and_utc()));
        }
        let ago = parse_duration(text).ok();
        let ago = ago.and_then(|time| TimeDelta::from_std(time).ok());
        ago.map(Moment::Ago).ok_or_else(|| {
            format!(
                "`{text}` is no moment; write it as 2026-03-01, 2026-03-01T10:00:00Z, or 24h for so long ago"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_times_and_durations_are_moments() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let seconds = |text: &str| text.parse::<Moment>().unwrap().at(now).timestamp();
        assert_eq!(seconds("1970-01-02"), 86_400);
        assert_eq!(seconds("1970-01-02T01:00:00+01:00"), 86_400);
        assert_eq!(seconds("2m"), 999_880);
        assert_eq!(seconds("1d"), 913_600);
        for text in ["", "yesterday", "2026-13-01", "1970-01-02T01:00:00"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
