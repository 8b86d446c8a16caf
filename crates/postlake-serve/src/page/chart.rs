//! Small SVG charts as numbers: the template draws them, words beside them say the same.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::summary::Arrivals;

/// The trend's canvas; the template's `viewBox` is the same.
const TREND_WIDTH: f64 = 120.0;
const TREND_HEIGHT: f64 = 36.0;

/// Days that a trend spans.
const TREND_DAYS: i64 = 30;

/// A line of daily scores. Days without a score are gaps, not lines over them.
#[derive(Debug, Default)]
pub(super) struct Trend {
    /// Points of each unbroken run, as `x,y x,y`.
    pub(super) runs: Vec<String>,
    /// Runs of a single day.
    pub(super) dots: Vec<Place>,
    /// The newest score.
    pub(super) end: Place,
    /// The same in words.
    pub(super) words: String,
}

/// A point of the canvas.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Place {
    pub(super) x: String,
    pub(super) y: String,
}

impl Trend {
    /// The trend of one subject, days rising; `newest` is the newest day of all subjects, so that a
    /// subject that fell silent ends early.
    pub(super) fn of(days: &[(NaiveDate, f64)], newest: NaiveDate) -> Option<Trend> {
        let (first_day, first) = *days.first()?;
        let (_, last) = *days.last()?;
        let lowest = days.iter().map(|(_, score)| *score).fold(100.0, f64::min);
        let mut trend = Trend {
            words: format!(
                "{} daily scores since {first_day}: {first:.1} then, {last:.1} last, lowest {lowest:.1}",
                days.len()
            ),
            ..Trend::default()
        };
        let mut run: Vec<(NaiveDate, Place)> = Vec::new();
        for (day, score) in days {
            let follows = run
                .last()
                .is_none_or(|(before, _)| *day - *before == TimeDelta::days(1));
            if !follows {
                trend.close(std::mem::take(&mut run));
            }
            run.push((*day, place(*day, *score, newest)));
        }
        trend.end = run.last().map(|(_, place)| place.clone())?;
        trend.close(run);
        Some(trend)
    }

    fn close(&mut self, run: Vec<(NaiveDate, Place)>) {
        let places: Vec<Place> = run.into_iter().map(|(_, place)| place).collect();
        if places.len() > 1 {
            let points: Vec<String> = places
                .iter()
                .map(|place| format!("{},{}", place.x, place.y))
                .collect();
            self.runs.push(points.join(" "));
        } else {
            self.dots.extend(places);
        }
    }
}

fn place(day: NaiveDate, score: f64, newest: NaiveDate) -> Place {
    let days_ago = (newest - day).num_days().clamp(0, TREND_DAYS - 1);
    #[expect(clippy::cast_precision_loss, reason = "at most 30 days")]
    let share = 1.0 - days_ago as f64 / (TREND_DAYS - 1) as f64;
    Place {
        x: format!("{:.1}", 3.0 + share * (TREND_WIDTH - 6.0)),
        y: format!(
            "{:.1}",
            (1.0 - score.clamp(0.0, 100.0) / 100.0) * TREND_HEIGHT
        ),
    }
}

/// One bar of the arrivals: a minute.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) x: i64,
    pub(super) y: String,
    pub(super) height: String,
}

/// Minutes that the arrivals show; the canvas is 4 wide for each and 40 high.
const MINUTES: i64 = 60;

/// The bars of the newest hour; minutes without arrivals have none.
pub(super) fn bars(arrivals: &[Arrivals]) -> Vec<Bar> {
    let Some(newest) = arrivals.last() else {
        return Vec::new();
    };
    let highest = arrivals
        .iter()
        .map(|each| each.items)
        .max()
        .unwrap_or(0)
        .max(1);
    arrivals
        .iter()
        .filter_map(|each| {
            let ago = minutes_between(each.minute, newest.minute);
            if !(0..MINUTES).contains(&ago) {
                return None;
            }
            #[expect(clippy::cast_precision_loss, reason = "drawn, not counted")]
            let height = (each.items as f64 / highest as f64 * 38.0).max(2.0);
            Some(Bar {
                x: (MINUTES - 1 - ago) * 4,
                y: format!("{:.1}", 40.0 - height),
                height: format!("{height:.1}"),
            })
        })
        .collect()
}

fn minutes_between(earlier: DateTime<Utc>, later: DateTime<Utc>) -> i64 {
    (later - earlier).num_minutes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 3, day).unwrap()
    }

    #[test]
    fn missing_days_are_gaps() {
        let days = [
            (day(1), 80.0),
            (day(2), 78.0),
            (day(4), 50.0),
            (day(6), 55.0),
            (day(7), 60.0),
        ];
        let trend = Trend::of(&days, day(7)).unwrap();
        assert_eq!(trend.runs.len(), 2);
        assert_eq!(trend.dots.len(), 1);
        assert_eq!(trend.end.x, "117.0");
        assert_eq!(
            trend.words,
            "5 daily scores since 2026-03-01: 80.0 then, 60.0 last, lowest 50.0"
        );
        assert!(Trend::of(&[], day(1)).is_none());
    }

    #[test]
    fn one_bar_for_each_minute_with_arrivals() {
        let minute = |minute: i64| DateTime::from_timestamp(minute * 60, 0).unwrap();
        let at = |start: i64, items: i64| Arrivals {
            minute: minute(start),
            batches: 1,
            items,
        };
        let bars = bars(&[at(1, 10), at(100, 10), at(159, 5)]);
        let places: Vec<_> = bars
            .iter()
            .map(|bar| (bar.x, bar.height.as_str()))
            .collect();
        assert_eq!(places, [(0, "38.0"), (236, "19.0")]);
    }
}
