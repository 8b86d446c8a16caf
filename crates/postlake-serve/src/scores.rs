//! Health Scores: the latest of every subject, worst first, and the history of one.
//!
//! All scores here are on the 0 to 100 scale of the alert webhook. A **subject** is a subaccount
//! (or the whole account, or the primary account), alone or narrowed to one facet such as an IP pool.
//!
//! The **change** of a score is the difference to the day before: the newest score of the subject minus
//! its newest score of the previous UTC calendar day. When that day has no score there is no change,
//! rather than a difference over a gap.

use arrow::array::RecordBatch;
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::common::ScalarValue;
use postlake_event::health::Band;
use serde::Deserialize;

use crate::sql::{Reader, SqlEngine, SqlError, rows};
use crate::subject::Subaccount;

/// How far back trends reach, in days before the newest score of all.
const TREND_DAYS: i64 = 30;

/// The latest score of one subject.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ScoreRow {
    /// `None` whole account, 0 primary account, else the subaccount's number.
    pub subaccount_id: Option<i64>,
    /// The subject in words: "whole account", "primary account", "subaccount 6257".
    pub subject: String,
    /// Name of the facet, such as `ip_pool`; `None` for the subaccount as a whole.
    pub facet_name: Option<String>,
    /// The facet's value.
    pub facet_value: Option<String>,
    /// 0 to 100, three decimals.
    pub score: f64,
    /// The band's name: `bad`, `needs_improvement`, `good`.
    pub band: String,
    /// The band in words.
    pub verdict: String,
    /// Score minus the score of the previous UTC day; `None` when that day has none.
    pub change: Option<f64>,
    /// The score that `change` is measured from.
    pub previous_score: Option<f64>,
    /// When that one was triggered.
    pub previous_triggered_at: Option<DateTime<Utc>>,
    /// When the score was triggered, as the sender says.
    pub triggered_at: DateTime<Utc>,
    /// When we received it.
    pub received_at: DateTime<Utc>,
    /// The alert's number at the sender.
    pub alert_id: Option<i64>,
    /// The alert's name at the sender.
    pub name: Option<String>,
    /// The row's key in `alerts`.
    pub record_id: String,
}

impl ScoreRow {
    /// The score's band.
    pub fn band(&self) -> Band {
        Band::of(self.score)
    }

    /// Time since the score was triggered; zero when the sender's clock is ahead of ours.
    pub fn age(&self, now: DateTime<Utc>) -> TimeDelta {
        (now - self.triggered_at).max(TimeDelta::zero())
    }
}

/// A score with one decimal, cut and not rounded: 79.96 reads 79.9, since 80.0 would be another band.
pub fn shown(score: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "scores have three decimals and end at 100"
    )]
    let thousandths = (score * 1000.0).round() as i64;
    format!(
        "{}.{}",
        thousandths / 1000,
        (thousandths % 1000 / 100).abs()
    )
}

/// One score of a subject's history.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct TrendPoint {
    pub(crate) subaccount_id: Option<i64>,
    pub(crate) facet_name: Option<String>,
    pub(crate) facet_value: Option<String>,
    pub(crate) day: chrono::NaiveDate,
    pub(crate) score: f64,
}

/// The latest score of every subject, worst first; equal scores by account, primary account, number.
///
/// # Errors
///
/// [`SqlErrorKind::Unavailable`](crate::SqlErrorKind::Unavailable) when the lake cannot be read.
pub async fn latest(engine: &SqlEngine) -> Result<Vec<ScoreRow>, SqlError> {
    let tables = engine.tables().await?;
    let reader = engine.reader(&tables).await?;
    rows(&latest_batch(&reader).await?)
}

/// The rows of [`latest`] as a record batch, for every format.
pub(crate) async fn latest_batch(reader: &Reader) -> Result<RecordBatch, SqlError> {
    reader.batch(&latest_statement(), Vec::new()).await
}

/// One row per subject: its newest day, beside the newest of the day before.
fn latest_statement() -> String {
    let subject = subject_words();
    let verdict = verdict_words();
    format!(
        "with daily as ( \
             select *, cast(triggered_at as date) as day, row_number() over ( \
                 partition by subaccount_id, facet_name, facet_value, cast(triggered_at as date) \
                 order by triggered_at desc, received_at desc, record_id desc) as place \
             from health_scores), \
         stepped as ( \
             select *, \
                 lag(score) over (partition by subaccount_id, facet_name, facet_value order by day) as earlier_score, \
                 lag(triggered_at) over (partition by subaccount_id, facet_name, facet_value order by day) as earlier_at, \
                 lag(day) over (partition by subaccount_id, facet_name, facet_value order by day) as earlier_day, \
                 row_number() over (partition by subaccount_id, facet_name, facet_value order by day desc) as recency \
             from daily where place = 1), \
         newest as ( \
             select *, earlier_day = day - interval '1 day' as adjacent from stepped where recency = 1) \
         select subaccount_id, {subject} as subject, facet_name, facet_value, score, band, {verdict} as verdict, \
             case when adjacent then round(score - earlier_score, 3) end as \"change\", \
             case when adjacent then earlier_score end as previous_score, \
             case when adjacent then earlier_at end as previous_triggered_at, \
             triggered_at, received_at, alert_id, name, record_id \
         from newest \
         order by score, subaccount_id nulls first, facet_name nulls first, facet_value nulls first"
    )
}

/// What part of a history is asked for.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) subaccount: Subaccount,
    pub(crate) facet: Option<(String, String)>,
    pub(crate) from: Option<DateTime<Utc>>,
    pub(crate) to: Option<DateTime<Utc>>,
    pub(crate) limit: usize,
}

/// The scores of one subject, newest first, `from <= triggered_at < to`; one row more than `limit` when
/// there are more.
pub(crate) async fn history_batch(
    reader: &Reader,
    history: &History,
) -> Result<RecordBatch, SqlError> {
    let mut parameters = Vec::new();
    let mut conditions = Vec::new();
    let mut bind = |column: &str, operator: &str, value: ScalarValue| {
        parameters.push(value);
        conditions.push(format!("{column} {operator} ${}", parameters.len()));
    };
    if let Some(number) = history.subaccount.column() {
        bind("subaccount_id", "=", ScalarValue::from(number));
    }
    if let Some((name, value)) = &history.facet {
        bind("facet_name", "=", ScalarValue::from(name.as_str()));
        bind("facet_value", "=", ScalarValue::from(value.as_str()));
    }
    if let Some(from) = history.from {
        bind("triggered_at", ">=", instant(from));
    }
    if let Some(to) = history.to {
        bind("triggered_at", "<", instant(to));
    }
    if history.subaccount.column().is_none() {
        conditions.push("subaccount_id is null".to_owned());
    }
    if history.facet.is_none() {
        conditions.push("facet_name is null".to_owned());
    }
    let statement = format!(
        "select subaccount_id, {} as subject, facet_name, facet_value, score, band, {} as verdict, triggered_at, \
             triggered_value, received_at, alert_id, name, record_id \
         from health_scores where {} \
         order by triggered_at desc, received_at desc, record_id desc limit {}",
        subject_words(),
        verdict_words(),
        conditions.join(" and "),
        history.limit.saturating_add(1),
    );
    reader.batch(&statement, parameters).await
}

/// The daily scores of all subjects over the last 30 days before the newest one, by subject and day.
pub(crate) async fn trends(reader: &Reader) -> Result<Vec<TrendPoint>, SqlError> {
    let statement = format!(
        "select subaccount_id, facet_name, facet_value, day, score from ( \
             select subaccount_id, facet_name, facet_value, cast(triggered_at as date) as day, score, \
                 row_number() over ( \
                     partition by subaccount_id, facet_name, facet_value, cast(triggered_at as date) \
                     order by triggered_at desc, received_at desc, record_id desc) as place \
             from health_scores) as daily \
         where place = 1 and day > \
             (select max(cast(triggered_at as date)) from health_scores) - interval '{TREND_DAYS} days' \
         order by subaccount_id nulls first, facet_name nulls first, facet_value nulls first, day"
    );
    rows(&reader.batch(&statement, Vec::new()).await?)
}

pub(crate) fn instant(at: DateTime<Utc>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(at.timestamp_micros()), Some("UTC".into()))
}

/// SQL for a subject's name; the same words as [`Subaccount`].
pub(crate) fn subject_words() -> String {
    format!(
        "case when subaccount_id is null then '{}' when subaccount_id = 0 then '{}' \
         else concat('subaccount ', cast(subaccount_id as varchar)) end",
        Subaccount::WholeAccount,
        Subaccount::Primary
    )
}

fn verdict_words() -> String {
    let arms: Vec<String> = [Band::Bad, Band::NeedsImprovement, Band::Good]
        .map(|band| format!("when '{}' then '{}'", band.name(), band.words()))
        .into();
    format!("case band {} end", arms.join(" "))
}

#[cfg(test)]
mod tests;
