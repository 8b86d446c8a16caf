//! Whether the clock can be right: what it says is held against what was received.
//!
//! A clock that has jumped ahead would let go of everything at once. It is noticed when it jumps, by the
//! newest batch, which is far away then; and for a week of traffic after that, by the gap that stands
//! between the days before and after.

use std::collections::BTreeSet;

use arrow::array::AsArray as _;
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::TryStreamExt as _;
use postlake_event::schema::Table;
use postlake_lake::{Lake, LakeTable};
use postlake_raw::RawStore;

use super::open;
use crate::clock_fault::ClockFault;
use crate::error::LoadError;

/// The clock may be so far from the newest thing that was received.
const TOLERANCE: TimeDelta = TimeDelta::hours(24);

/// Days without anything, after which a gap may be a jump of the clock.
const GAP_DAYS: i64 = 7;

/// Days that must have come since such a gap.
const DAYS_SINCE_GAP: i64 = 7;

/// # Errors
/// [`LoadError::Clock`] when the clock is not believed.
pub(super) async fn check(
    raw: &RawStore,
    lake: &Lake,
    now: DateTime<Utc>,
) -> Result<(), LoadError> {
    let mut days: BTreeSet<NaiveDate> = BTreeSet::new();
    days.extend(raw.dates().await.map_err(LoadError::List)?);
    let mut newest = None;
    if let Some(batches) = open(lake, Table::Batches).await? {
        days.extend(days_of(&batches)?);
        newest = newest_batch(&batches).await?;
    }
    if days.is_empty() && was_used(lake).await? {
        return Err(LoadError::Clock(ClockFault::Unknown { now }));
    }
    match judge(now, newest, &days) {
        Some(fault) => Err(LoadError::Clock(fault)),
        None => Ok(()),
    }
}

/// True if anything was ever committed.
async fn was_used(lake: &Lake) -> Result<bool, LoadError> {
    for table in Table::ALL {
        if open(lake, table)
            .await?
            .is_some_and(|open| open.version() > 0)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn judge(
    now: DateTime<Utc>,
    newest: Option<DateTime<Utc>>,
    days: &BTreeSet<NaiveDate>,
) -> Option<ClockFault> {
    let day = days.last().and_then(|day| day.and_hms_opt(0, 0, 0))?;
    let (first, last) = match newest.filter(|newest| newest.naive_utc() >= day) {
        Some(newest) => (newest, newest),
        // What is not loaded is known by its day alone, which is the day in which its stream began.
        None => (day.and_utc(), day.and_utc() + TimeDelta::days(1)),
    };
    if now - last > TOLERANCE {
        return Some(ClockFault::Ahead { now, newest: first });
    }
    if first - now > TOLERANCE {
        return Some(ClockFault::Behind { now, newest: first });
    }
    gap(days)
}

fn gap(days: &BTreeSet<NaiveDate>) -> Option<ClockFault> {
    let newest = *days.last()?;
    let mut next = newest;
    for last in days.iter().rev() {
        if (newest - next).num_days() >= DAYS_SINCE_GAP {
            return None;
        }
        if (next - *last).num_days() > GAP_DAYS {
            return Some(ClockFault::Gap { last: *last, next });
        }
        next = *last;
    }
    None
}

fn days_of(batches: &LakeTable) -> Result<Vec<NaiveDate>, LoadError> {
    let files = batches.data_files().map_err(LoadError::Lake)?;
    let days = files.iter().filter_map(|file| file.day);
    let date = |day: i32| {
        let since = TimeDelta::days(i64::from(day));
        DateTime::UNIX_EPOCH.date_naive().checked_add_signed(since)
    };
    Ok(days.filter_map(date).collect())
}

async fn newest_batch(batches: &LakeTable) -> Result<Option<DateTime<Utc>>, LoadError> {
    let sql = "SELECT max(received_at) FROM batches \
               WHERE received_date = (SELECT max(received_date) FROM batches)";
    let rows = batches.select(sql).await.map_err(LoadError::Lake)?;
    let rows: Vec<_> = rows.try_collect().await.map_err(LoadError::Lake)?;
    let times = rows.iter().flat_map(|rows| {
        let times = rows.column(0).as_primitive::<TimestampMicrosecondType>();
        times.iter().flatten().collect::<Vec<_>>()
    });
    Ok(times.max().and_then(DateTime::from_timestamp_micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(day: i64) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, 1).unwrap() + TimeDelta::days(day)
    }

    fn at(day: i64, hour: u32) -> DateTime<Utc> {
        date(day).and_hms_opt(hour, 0, 0).unwrap().and_utc()
    }

    /// Judged with batches on these days, the last of them at 18:00.
    fn judged(now: DateTime<Utc>, days: &[i64]) -> Option<ClockFault> {
        let dates = days.iter().map(|day| date(*day)).collect();
        let newest = days.last().map(|day| at(*day, 18));
        judge(now, newest, &dates)
    }

    #[test]
    fn a_clock_that_is_a_day_away_is_not_believed_in_either_direction() {
        let days: Vec<i64> = (0..=30).collect();
        let newest = at(30, 18);
        assert_eq!(judged(newest, &days), None);
        assert_eq!(judged(newest + TimeDelta::hours(24), &days), None);
        assert_eq!(judged(newest - TimeDelta::hours(24), &days), None);
        let ahead = newest + TimeDelta::hours(25);
        assert_eq!(
            judged(ahead, &days),
            Some(ClockFault::Ahead { now: ahead, newest })
        );
        let behind = newest - TimeDelta::hours(25);
        assert_eq!(
            judged(behind, &days),
            Some(ClockFault::Behind {
                now: behind,
                newest
            })
        );
        assert_eq!(judged(newest, &[]), None);
    }

    #[test]
    fn a_segment_that_is_not_loaded_counts_by_its_day() {
        let days = [date(3)].into();
        assert_eq!(judge(at(4, 23), None, &days), None);
        let (now, newest) = (at(5, 1), at(3, 0));
        let fault = ClockFault::Ahead { now, newest };
        assert_eq!(judge(now, Some(at(1, 0)), &days), Some(fault));
    }

    #[test]
    fn a_year_that_was_jumped_over_stays_a_gap_for_a_week() {
        let mut days: Vec<i64> = (0..=30).collect();
        for day in 395..=401 {
            days.push(day);
            let gap = ClockFault::Gap {
                last: date(30),
                next: date(395),
            };
            assert_eq!(judged(at(day, 19), &days), Some(gap), "{day}");
        }
        days.push(402);
        assert_eq!(judged(at(402, 19), &days), None);
    }
}
