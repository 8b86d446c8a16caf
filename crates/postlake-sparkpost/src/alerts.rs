//! Bodies of alert webhooks: Health Scores of the account and its subaccounts, day by day, and the
//! other metrics.
//!
//! Sources: the capture of 2021 (shape A), the documented sample (shape B), SparkPost's alert pages for
//! metrics and facets.

use bytes::Bytes;
use chrono::{DateTime, Days, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use crate::dice::Dice;
use crate::json::{Json, Style};
use crate::population::{STORM_SUBACCOUNT, SUBACCOUNTS, Subaccount};

/// The days in which the falling subaccount goes from good to bad.
const FALL_DAYS: u32 = 6;
/// The bottom of the fall.
const FALL_FLOOR: f64 = 34.0;

/// The two forms of an alert object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// Shape A, as captured in 2021: `evaluator`, no `incident_id`.
    #[default]
    Capture,
    /// Shape B, as documented: `threshold_evaluator` and `incident_id`.
    Documented,
}

/// The body of one alert webhook.
#[derive(Debug, Clone)]
pub struct AlertPost {
    /// A JSON array of alert objects.
    pub body: Bytes,
    /// How many there are, each with an identity of its own.
    pub alerts: usize,
    /// The time in all of them, in whole milliseconds.
    pub triggered_at: DateTime<Utc>,
}

/// A deterministic source of alerts: one random walk of the Health Score for each sender.
#[derive(Debug)]
pub struct AlertFeed {
    dice: Dice,
    walks: Vec<Walk>,
    falling: Option<u32>,
    incidents: u64,
}

#[derive(Debug)]
struct Walk {
    subaccount: &'static Subaccount,
    /// 0 to 100.
    score: f64,
}

impl AlertFeed {
    /// All senders start near their usual score.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let walks = SUBACCOUNTS
            .iter()
            .map(|subaccount| Walk {
                subaccount,
                score: f64::from(subaccount.score) + dice.wobble() * 2.0,
            })
            .collect();
        Self {
            dice,
            walks,
            falling: None,
            incidents: 40_000,
        }
    }

    /// Makes this subaccount lose seven to eleven points with each [`next_scores`](Self::next_scores),
    /// down to a floor below 40.
    pub fn let_fall(&mut self, subaccount_id: u32) {
        self.falling = Some(subaccount_id);
    }

    /// The score a subaccount has now, 0 to 100; `None` for an unknown number.
    #[must_use]
    pub fn score(&self, subaccount_id: u32) -> Option<f64> {
        self.walks
            .iter()
            .find(|walk| walk.subaccount.id == subaccount_id)
            .map(|walk| walk.score)
    }

    /// One post a day, oldest first, each at about 08:30 UTC and the last one in the 24 hours before
    /// `now`. In the last six days subaccount [`STORM_SUBACCOUNT`] falls from good to bad.
    pub fn history(&mut self, days: u32, now: DateTime<Utc>) -> Vec<AlertPost> {
        let last = last_evaluation(now);
        (0..days)
            .rev()
            .map(|days_ago| {
                if days_ago < FALL_DAYS {
                    self.let_fall(STORM_SUBACCOUNT);
                }
                let at = last
                    .checked_sub_days(Days::new(u64::from(days_ago)))
                    .unwrap_or(last);
                let at = at + TimeDelta::milliseconds(self.dice.below(119_999) as i64);
                self.next_scores(at, Shape::Capture)
            })
            .collect()
    }

    /// Moves every score by a day and reports them: one object for the whole account, one for the primary
    /// account, one for each subaccount. The alert is the "score above 1" that users set up as a daily feed.
    pub fn next_scores(&mut self, triggered_at: DateTime<Utc>, shape: Shape) -> AlertPost {
        self.walk();
        let mut writer = Writer::new(triggered_at, shape, self.incidents);
        let daily = Alert {
            id: 20_417,
            name: "Daily Health Score",
            metric: "health_score",
            operator: "gt",
            source: "raw",
            threshold: 1,
        };
        writer.alert(&daily, noisy(self.account_score()), |_| {});
        for walk in &self.walks {
            writer.alert(&daily, noisy(walk.score), |json| {
                subaccount_filter(walk.subaccount.id, json);
            });
        }
        self.finish(writer)
    }

    /// A Health Score alert of one subaccount: it went below 55. Its score falls by some points first.
    pub fn score_fell(&mut self, subaccount_id: u32, triggered_at: DateTime<Utc>) -> AlertPost {
        let drop = 1.0 + self.dice.wobble().abs() * 4.0;
        let mut score = 0.0;
        if let Some(walk) = self
            .walks
            .iter_mut()
            .find(|walk| walk.subaccount.id == subaccount_id)
        {
            walk.score = (walk.score - drop).clamp(1.0, 54.0);
            score = walk.score;
        }
        let mut writer = Writer::new(triggered_at, Shape::Documented, self.incidents);
        let fell = Alert {
            id: 20_418,
            name: "Health Score below 55",
            metric: "health_score",
            operator: "lt",
            source: "raw",
            threshold: 55,
        };
        writer.alert(&fell, noisy(score), |json| {
            subaccount_filter(subaccount_id, json);
        });
        self.finish(writer)
    }

    /// Block bounce alerts of one subaccount, for two mailbox providers.
    pub fn blocks_rose(&mut self, subaccount_id: u32, triggered_at: DateTime<Utc>) -> AlertPost {
        let mut writer = Writer::new(triggered_at, Shape::Documented, self.incidents);
        let blocks = Alert {
            id: 20_425,
            name: "Block bounces, \"too many\"",
            metric: "block_bounce_rate",
            operator: "gt",
            source: "raw",
            threshold: 5,
        };
        for provider in ["gmail", "microsoft"] {
            let rate = 42.0 + self.dice.wobble() * 15.0;
            writer.alert(&blocks, noisy(rate), |json| {
                subaccount_filter(subaccount_id, json);
                json.raw(",");
                json.key("mailbox_provider");
                json.text(provider);
            });
        }
        self.finish(writer)
    }

    /// One alert for each metric and facet that SparkPost knows; a post such as this is not seen in one
    /// piece in real life.
    pub fn all_metrics(&mut self, triggered_at: DateTime<Utc>, shape: Shape) -> AlertPost {
        let mut writer = Writer::new(triggered_at, shape, self.incidents);
        for (index, (metric, operator, source, threshold, filters)) in METRICS.iter().enumerate() {
            let alert = Alert {
                id: 20_430 + index as u64,
                name: "Überwachung (all metrics)",
                metric,
                operator,
                source,
                threshold: *threshold,
            };
            let beyond = f64::from(*threshold) * (1.2 + self.dice.wobble().abs());
            let value = match *operator {
                "lt" => f64::from(*threshold) * 0.8,
                _ if index == 0 => f64::from(*threshold) + 11.0,
                _ => noisy(beyond),
            };
            writer.alert(&alert, value, |json| {
                for (index, (name, text)) in filters.iter().enumerate() {
                    json.raw(if index > 0 { "," } else { "" });
                    json.key(name);
                    match *name {
                        "subaccount_id" => json.raw(text),
                        _ => json.text(text),
                    }
                }
            });
        }
        self.finish(writer)
    }

    fn finish(&mut self, writer: Writer) -> AlertPost {
        self.incidents = writer.incident;
        writer.finish()
    }

    /// One day: back towards the usual score, with noise; the falling one goes down.
    fn walk(&mut self) {
        for walk in &mut self.walks {
            let noise = self.dice.wobble();
            if self.falling == Some(walk.subaccount.id) {
                walk.score = (walk.score - 9.0 - noise * 2.0).max(FALL_FLOOR + noise * 2.0);
            } else {
                let usual = f64::from(walk.subaccount.score);
                walk.score =
                    (walk.score + (usual - walk.score) * 0.3 + noise * 3.0).clamp(1.0, 99.9);
            }
        }
    }

    /// The mean of all senders, by their share of the traffic.
    fn account_score(&self) -> f64 {
        let (sum, weights) = self.walks.iter().fold((0.0, 0.0), |(sum, weights), walk| {
            let weight = f64::from(walk.subaccount.weight);
            (sum + walk.score * weight, weights + weight)
        });
        sum / weights
    }
}

type Filters = &'static [(&'static str, &'static str)];

/// Metric, operator, source, threshold, filters.
#[rustfmt::skip]
static METRICS: [(&str, &str, &str, u32, Filters); 8] = [
    ("monthly_sending_limit", "gt", "raw", 80, &[]),
    ("health_score", "lt", "raw", 55, &[("subaccount_id", "109"), ("ip_pool", "shared")]),
    ("health_score", "lt", "day_over_day", 10, &[("mailbox_provider", "gmail")]),
    ("block_bounce_rate", "gt", "raw", 5, &[("subaccount_id", "108"), ("mailbox_provider", "microsoft")]),
    ("hard_bounce_rate", "gt", "week_over_week", 20, &[("sending_domain", "marrowmoss.example.org")]),
    ("soft_bounce_rate", "gt", "day_over_day", 30, &[("sending_ip", "192.0.2.41")]),
    ("injection_count", "lt", "raw", 1_000, &[("subaccount_id", "0")]),
    ("blocklist", "gt", "raw", 1, &[("blocklist_provider", "bl.example.net"), ("blocklist_resource", "192.0.2.41")]),
];

/// The definition of an alert, as its user set it up.
struct Alert<'a> {
    id: u64,
    name: &'a str,
    metric: &'a str,
    operator: &'a str,
    source: &'a str,
    threshold: u32,
}

/// Writes the objects of one post.
struct Writer {
    json: Json,
    alerts: usize,
    at: DateTime<Utc>,
    shape: Shape,
    incident: u64,
}

impl Writer {
    fn new(at: DateTime<Utc>, shape: Shape, incident: u64) -> Self {
        let mut json = Json::new(4_096, Style::Current);
        json.raw("[");
        Self {
            json,
            alerts: 0,
            at: DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at),
            shape,
            incident,
        }
    }

    /// Appends one object; `filters` writes the members of its filter object.
    fn alert(&mut self, alert: &Alert<'_>, value: f64, filters: impl FnOnce(&mut Json)) {
        let json = &mut self.json;
        json.raw(if self.alerts == 0 {
            "{\"alert_id\":"
        } else {
            ",{\"alert_id\":"
        });
        json.number(alert.id);
        if self.shape == Shape::Documented {
            self.incident += 1;
            json.raw(",\"incident_id\":");
            json.number(self.incident);
        }
        json.raw(",\"name\":");
        json.text(alert.name);
        json.raw(",\"metric\":");
        json.text(alert.metric);
        if self.shape == Shape::Capture {
            evaluator("evaluator", alert, json);
        }
        json.raw(",\"triggered_value\":");
        json.raw(&value.to_string());
        json.raw(",\"triggered_at\":");
        json.instant(self.at.timestamp_millis());
        if self.shape == Shape::Documented {
            evaluator("threshold_evaluator", alert, json);
        }
        json.raw(",\"filters\":{");
        filters(json);
        json.raw("}}");
        self.alerts += 1;
    }

    fn finish(mut self) -> AlertPost {
        self.json.raw("]");
        AlertPost {
            body: Bytes::from(self.json.into_bytes()),
            alerts: self.alerts,
            triggered_at: self.at,
        }
    }
}

fn evaluator(name: &str, alert: &Alert<'_>, json: &mut Json) {
    json.raw(",");
    json.key(name);
    json.raw("{\"operator\":");
    json.text(alert.operator);
    json.raw(",\"source\":");
    json.text(alert.source);
    json.raw(",\"value\":");
    json.number(u64::from(alert.threshold));
    json.raw("}");
}

fn subaccount_filter(id: u32, json: &mut Json) {
    json.key("subaccount_id");
    json.number(u64::from(id));
}

/// SparkPost keeps ten decimals of the score as a fraction of one; times a hundred, the binary
/// arithmetic leaves noise in the last digits (78.27250957000001).
fn noisy(value: f64) -> f64 {
    let fraction = (value * 1e8).round() / 1e10;
    fraction * 100.0
}

/// The last 08:30 UTC of which two minutes later is not after `now`.
fn last_evaluation(now: DateTime<Utc>) -> DateTime<Utc> {
    let time = NaiveTime::from_num_seconds_from_midnight_opt(8 * 3600 + 30 * 60, 0)
        .unwrap_or(NaiveTime::MIN);
    let today = NaiveDateTime::new(now.date_naive(), time).and_utc();
    if today + TimeDelta::minutes(2) <= now {
        today
    } else {
        today.checked_sub_days(Days::new(1)).unwrap_or(today)
    }
}

#[cfg(test)]
mod tests;
