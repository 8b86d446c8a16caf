//! The page's model: everything decided and put into words, so that the template only places it.

use askama::Template;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use postlake_event::health::Band;

use super::chart::{Bar, Trend, bars};
use super::hours::HourLine;
use super::words::{machine, milliseconds, moment, per_cent, size, span, thousands};
use crate::look::{Look, Subject};
use crate::scores::{ScoreRow, shown as score};
use crate::subject::Subaccount;
use crate::summary::{Books, Summary};
use postlake_listen::visible;

/// Rows of a table on the page; the link beside it leads to all.
const MOST_ROWS: usize = 50;

/// The sender posts about once a minute while there is mail.
const QUIET_AFTER: TimeDelta = TimeDelta::minutes(5);

/// A subject that scored daily and is silent for longer has no current score.
const STALE_AFTER: TimeDelta = TimeDelta::hours(26);

/// The page.
#[derive(Debug, Template)]
#[template(path = "overview.html")]
pub(super) struct Overview {
    refreshing: bool,
    empty: bool,
    now: Moment,
    ingest_url: String,
    example_timestamp: i64,
    counts: Vec<Count>,
    arriving: Arriving,
    stuck: Stuck,
    health: Health,
    bounced: Bounced,
    subaccounts: Vec<SubaccountLine>,
    subaccounts_hidden: usize,
    types: Vec<TypeLine>,
    ledger: Vec<HourLine>,
    versions: String,
}

/// The page when the lake cannot be read.
#[derive(Debug, Template)]
#[template(path = "trouble.html")]
pub(super) struct Trouble {
    title: &'static str,
}

impl Trouble {
    pub(super) fn new(title: &'static str) -> Trouble {
        Trouble { title }
    }
}

/// How an answer is marked: by colour, by icon and in its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Warn,
    Bad,
    Idle,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
            Tone::Idle => "idle",
        }
    }

    fn of(band: Band) -> Tone {
        match band {
            Band::Bad => Tone::Bad,
            Band::NeedsImprovement => Tone::Warn,
            Band::Good => Tone::Good,
        }
    }
}

#[derive(Debug)]
pub(super) struct Moment {
    words: String,
    machine: String,
}

impl Moment {
    pub(super) fn of(at: DateTime<Utc>) -> Moment {
        Moment {
            words: moment(at),
            machine: machine(at),
        }
    }
}

/// A figure that a test can find by its name.
#[derive(Debug)]
struct Count {
    name: &'static str,
    label: &'static str,
    value: i64,
    words: String,
}

#[derive(Debug)]
struct Arriving {
    tone: Tone,
    answer: String,
    newest: Option<(String, Moment)>,
    bytes: String,
    bars: Vec<Bar>,
    bars_words: String,
}

#[derive(Debug)]
struct Stuck {
    tone: Tone,
    answer: String,
    lag: Option<String>,
    books_balance: bool,
    books_words: String,
    reasons: Vec<QuarantineLine>,
}

#[derive(Debug)]
struct QuarantineLine {
    code: String,
    source: String,
    items: String,
    last: Moment,
    age: String,
    message: String,
}

#[derive(Debug)]
struct Health {
    tone: Tone,
    answer: String,
    about: String,
    bands: Vec<BandCount>,
    scores: Vec<ScoreLine>,
    hidden: usize,
}

#[derive(Debug)]
struct BandCount {
    tone: Tone,
    name: &'static str,
    words: &'static str,
    subjects: usize,
}

#[derive(Debug)]
struct ScoreLine {
    subject: String,
    path: String,
    facet: Option<String>,
    score: String,
    tone: Tone,
    band: &'static str,
    verdict: &'static str,
    needle: String,
    change: Option<Change>,
    trend: Option<Trend>,
    at: Moment,
    age: String,
    stale: bool,
}

#[derive(Debug)]
struct Change {
    class: &'static str,
    arrow: &'static str,
    direction: &'static str,
    amount: String,
}

#[derive(Debug)]
struct Bounced {
    answer: String,
    about: String,
    bounces: i64,
    classes: Vec<ClassLine>,
    reasons: Vec<ReasonLine>,
}

#[derive(Debug)]
struct ClassLine {
    code: String,
    name: String,
    category: String,
    bounces: String,
    share: String,
    width: String,
}

#[derive(Debug)]
struct ReasonLine {
    reason: String,
    class: String,
    category: String,
    bounces: String,
    subaccounts: i64,
}

#[derive(Debug)]
struct SubaccountLine {
    id: String,
    subject: String,
    events: String,
    deliveries: String,
    bounces: String,
    complaints: String,
    delivered: Option<String>,
    bounced: Option<String>,
    width: String,
}

#[derive(Debug)]
struct TypeLine {
    class: String,
    name: String,
    events: i64,
    words: String,
}

impl Overview {
    /// The page of one look at the lake, as of `now`.
    pub(super) fn of(
        look: &Look,
        ingest_url: &str,
        now: DateTime<Utc>,
        refreshing: bool,
    ) -> Overview {
        let summary = &look.summary;
        Overview {
            refreshing,
            empty: summary.totals.batches == 0 && summary.rows.events + summary.rows.alerts == 0,
            now: Moment::of(now),
            ingest_url: ingest_url.to_owned(),
            example_timestamp: now.timestamp(),
            counts: counts(summary),
            arriving: arriving(summary, now),
            stuck: stuck(summary, now),
            health: health(look, now),
            bounced: bounced(summary),
            subaccounts: subaccounts(summary),
            subaccounts_hidden: summary.subaccounts.len().saturating_sub(MOST_ROWS),
            types: types(summary),
            ledger: look.ledger.iter().map(HourLine::of).collect(),
            versions: versions(summary),
        }
    }
}

fn counts(summary: &Summary) -> Vec<Count> {
    let totals = summary.totals;
    [
        ("batches", "batches", totals.batches),
        ("items", "items", totals.items),
        ("events", "events", summary.rows.events),
        ("alerts", "alerts", summary.rows.alerts),
        ("duplicates", "duplicates", totals.duplicates),
        ("quarantined", "quarantined", summary.rows.quarantine),
    ]
    .map(|(name, label, value)| Count {
        name,
        label,
        value,
        words: thousands(value),
    })
    .into()
}

fn arriving(summary: &Summary, now: DateTime<Utc>) -> Arriving {
    let newest = summary.newest.received_at;
    let age = newest.map(|at| (now - at).max(TimeDelta::zero()));
    let (tone, answer) = match age {
        None => (Tone::Idle, "Nothing yet".to_owned()),
        Some(age) if age > QUIET_AFTER => (Tone::Warn, format!("Quiet for {}", span(age))),
        Some(_) => (Tone::Good, "Yes".to_owned()),
    };
    let items: i64 = summary.arrivals.iter().map(|each| each.items).sum();
    Arriving {
        tone,
        answer,
        newest: newest.zip(age).map(|(at, age)| (span(age), Moment::of(at))),
        bytes: size(summary.totals.bytes),
        bars: bars(&summary.arrivals),
        bars_words: format!(
            "{} items in the hour before the newest batch, by minute",
            thousands(items)
        ),
    }
}

fn stuck(summary: &Summary, now: DateTime<Utc>) -> Stuck {
    let quarantined = summary.rows.quarantine;
    let balanced = summary.books.balanced;
    let (tone, answer) = match (balanced, quarantined) {
        (false, _) => (Tone::Bad, "The books do not balance".to_owned()),
        (true, 0) => (Tone::Good, "No".to_owned()),
        (true, 1) => (Tone::Warn, "1 item in quarantine".to_owned()),
        (true, many) => (
            Tone::Warn,
            format!("{} items in quarantine", thousands(many)),
        ),
    };
    Stuck {
        tone,
        answer,
        lag: summary.newest.load_lag_ms.map(milliseconds),
        books_balance: balanced,
        books_words: books_words(summary.books),
        reasons: summary
            .quarantine
            .iter()
            .take(MOST_ROWS)
            .map(|reason| QuarantineLine {
                code: visible(&reason.code).into_owned(),
                source: visible(&reason.source).into_owned(),
                items: thousands(reason.items),
                last: Moment::of(reason.last_received_at),
                age: span(now - reason.last_received_at),
                message: visible(&reason.last_message).into_owned(),
            })
            .collect(),
    }
}

fn books_words(books: Books) -> String {
    if books.balanced {
        return "balance".to_owned();
    }
    let differences = [
        ("items", books.unaccounted_items),
        ("events", books.events_difference),
        ("alerts", books.alerts_difference),
        ("quarantine", books.quarantine_difference),
    ];
    let words: Vec<String> = differences
        .into_iter()
        .filter(|(_, difference)| *difference != 0)
        .map(|(name, difference)| format!("{name} off by {}", thousands(difference)))
        .collect();
    words.join(", ")
}

fn health(look: &Look, now: DateTime<Utc>) -> Health {
    let scores = &look.scores;
    let (tone, answer, about) = match headline(scores) {
        None => (
            Tone::Idle,
            "No score yet".to_owned(),
            "Health Scores come once a day, by alert webhook.".to_owned(),
        ),
        Some(row) => (
            Tone::of(row.band()),
            format!("{} {}", score(row.score), row.band().words()),
            format!("{}, {} ago", row.subject, span(row.age(now))),
        ),
    };
    let newest = newest_day(look);
    Health {
        tone,
        answer,
        about,
        bands: [Band::Bad, Band::NeedsImprovement, Band::Good]
            .map(|band| BandCount {
                tone: Tone::of(band),
                name: band.name(),
                words: band.words(),
                subjects: scores.iter().filter(|row| row.band() == band).count(),
            })
            .into(),
        scores: scores
            .iter()
            .take(MOST_ROWS)
            .map(|row| score_line(row, look, newest, now))
            .collect(),
        hidden: scores.len().saturating_sub(MOST_ROWS),
    }
}

/// The whole account's own score; without one the worst, which comes first.
fn headline(scores: &[ScoreRow]) -> Option<&ScoreRow> {
    scores
        .iter()
        .find(|row| row.subaccount_id.is_none() && row.facet_name.is_none())
        .or_else(|| scores.first())
}

fn newest_day(look: &Look) -> Option<NaiveDate> {
    look.trends
        .values()
        .filter_map(|days| days.last())
        .map(|(day, _)| *day)
        .max()
}

fn score_line(
    row: &ScoreRow,
    look: &Look,
    newest: Option<NaiveDate>,
    now: DateTime<Utc>,
) -> ScoreLine {
    let subject: Subject = (
        row.subaccount_id,
        row.facet_name.clone(),
        row.facet_value.clone(),
    );
    let days = look.trends.get(&subject).map(Vec::as_slice);
    let band = row.band();
    ScoreLine {
        subject: row.subject.clone(),
        path: Subaccount::from_column(row.subaccount_id).path_segment(),
        facet: row.facet_name.as_ref().map(|name| {
            let value = row.facet_value.as_deref().unwrap_or("?");
            format!("{}: {}", visible(name), visible(value))
        }),
        score: score(row.score),
        tone: Tone::of(band),
        band: band.name(),
        verdict: band.words(),
        needle: format!("{:.1}", row.score.clamp(0.0, 100.0)),
        change: row.change.map(Change::of),
        trend: days
            .zip(newest)
            .and_then(|(days, newest)| Trend::of(days, newest)),
        at: Moment::of(row.triggered_at),
        age: span(row.age(now)),
        stale: row.age(now) > STALE_AFTER,
    }
}

impl Change {
    fn of(difference: f64) -> Change {
        let amount = format!("{:.1}", difference.abs());
        let (class, arrow, direction) = if amount == "0.0" {
            ("level", "=", "unchanged")
        } else if difference < 0.0 {
            ("down", "\u{25bc}", "down")
        } else {
            ("up", "\u{25b2}", "up")
        };
        Change {
            class,
            arrow,
            direction,
            amount,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn bounced(summary: &Summary) -> Bounced {
    let bounces: i64 = summary
        .bounces_by_class
        .iter()
        .map(|class| class.bounces)
        .sum();
    let deliveries: i64 = summary.subaccounts.iter().map(|each| each.deliveries).sum();
    let answer = match (bounces, deliveries) {
        (0, 0) => "Nothing yet".to_owned(),
        (0, _) => "Nothing".to_owned(),
        _ => format!("{} bounces", thousands(bounces)),
    };
    let about = match summary.bounces_by_class.first() {
        Some(most) => format!(
            "against {} deliveries; most: {}",
            thousands(deliveries),
            most.class_name
        ),
        None => format!("{} deliveries", thousands(deliveries)),
    };
    let share = |part: i64| part as f64 / bounces.max(1) as f64;
    Bounced {
        answer,
        about,
        bounces,
        classes: summary
            .bounces_by_class
            .iter()
            .map(|class| ClassLine {
                code: class
                    .bounce_class
                    .map_or("none".to_owned(), |code| code.to_string()),
                name: class.class_name.clone(),
                category: class.category.clone(),
                bounces: thousands(class.bounces),
                share: per_cent(share(class.bounces)),
                width: format!("{:.1}", share(class.bounces) * 100.0),
            })
            .collect(),
        reasons: summary
            .bounce_reasons
            .iter()
            .take(10)
            .map(|reason| ReasonLine {
                reason: reason
                    .reason
                    .as_deref()
                    .map_or("no reason given".to_owned(), |text| {
                        visible(text).into_owned()
                    }),
                class: reason.class_name.clone(),
                category: reason.category.clone(),
                bounces: thousands(reason.bounces),
                subaccounts: reason.subaccounts,
            })
            .collect(),
    }
}

fn subaccounts(summary: &Summary) -> Vec<SubaccountLine> {
    summary
        .subaccounts
        .iter()
        .take(MOST_ROWS)
        .map(|each| SubaccountLine {
            id: each
                .subaccount_id
                .map_or_else(String::new, |id| id.to_string()),
            subject: each.subject.clone(),
            events: thousands(each.events),
            deliveries: thousands(each.deliveries),
            bounces: thousands(each.bounces),
            complaints: thousands(each.complaints),
            delivered: each.delivered_rate.map(per_cent),
            bounced: each.bounced_rate.map(per_cent),
            width: format!("{:.1}", each.bounced_rate.unwrap_or(0.0) * 100.0),
        })
        .collect()
}

fn types(summary: &Summary) -> Vec<TypeLine> {
    summary
        .events_by_type
        .iter()
        .map(|each| TypeLine {
            class: visible(&each.event_class).into_owned(),
            name: each
                .event_type
                .as_deref()
                .map_or("no type given".to_owned(), |name| {
                    visible(name).into_owned()
                }),
            events: each.events,
            words: thousands(each.events),
        })
        .collect()
}

fn versions(summary: &Summary) -> String {
    let versions = summary.versions;
    [
        ("events", versions.events),
        ("alerts", versions.alerts),
        ("quarantine", versions.quarantine),
        ("batches", versions.batches),
    ]
    .map(|(name, version)| match version {
        Some(version) => format!("{name} {version}"),
        None => format!("{name} not there yet"),
    })
    .join(" \u{b7} ")
}
