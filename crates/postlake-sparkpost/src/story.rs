//! The script of the demo: what SparkPost sends, in which order and at what pace. No I/O.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use crate::alerts::{AlertFeed, AlertPost, Shape};
use crate::bad::{self, Bad};
use crate::batch::Batch;
use crate::population::STORM_SUBACCOUNT;
use crate::request::Request;
use crate::traffic::Traffic;

/// Days of Health Scores posted at the start.
const SCORE_DAYS: u32 = 30;
/// The day before the live part, posted at the start.
const HISTORY_BATCHES: u32 = 12;
/// The size of a full batch; SparkPost sends "350 or more".
const FULL_BATCH_EVENTS: usize = 350;
/// After this much live time the cues start again.
const CYCLE: Duration = Duration::from_secs(40);
/// How many posts a second the live part makes, as long as batches stay below the full size.
const POSTS_PER_SEC: u32 = 2;

/// What the script does at a point of its cycle.
#[derive(Debug, Clone, Copy)]
enum Cue {
    Resend,
    Bad(Bad),
    Mixed,
    StormBegins,
    StormEnds,
    BlocksRose,
    ScoreFell,
    AllTypes,
    AllMetrics,
}

/// Second of the cycle, cue; in order of time. All of it happens in the first half minute.
static CUES: [(u64, Cue); 14] = [
    (3, Cue::Resend),
    (4, Cue::Bad(Bad::Json)),
    (5, Cue::Bad(Bad::Envelope)),
    (6, Cue::Bad(Bad::Utf8)),
    (7, Cue::Mixed),
    (8, Cue::StormBegins),
    (10, Cue::BlocksRose),
    (12, Cue::ScoreFell),
    (13, Cue::Resend),
    (16, Cue::StormEnds),
    (18, Cue::AllTypes),
    (20, Cue::AllMetrics),
    (22, Cue::Bad(Bad::Envelope)),
    (24, Cue::Resend),
];

/// What a step shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// SparkPost's test of a new webhook.
    Ping,
    /// A day of Health Scores of all senders.
    Scores,
    /// A batch of the day before.
    DayBefore,
    /// Normal traffic.
    Normal,
    /// Traffic while one subaccount is being blocked.
    Storm,
    /// The batch before once more: same id, same bytes.
    Resent,
    /// A broken body.
    Broken(Bad),
    /// A good batch with one broken item.
    Mixed,
    /// One event of each of the 27 types, with every documented field.
    AllTypes,
    /// Alert: the block bounce rate of the storm's subaccount.
    BlocksRose,
    /// Alert: the Health Score of the storm's subaccount is bad.
    ScoreFell,
    /// Alerts of every metric.
    AllMetrics,
}

impl fmt::Display for StepKind {
    /// A few words for the terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping => f.write_str("ping"),
            Self::Scores => f.write_str("health scores of a day"),
            Self::DayBefore => f.write_str("events of the day before"),
            Self::Normal => f.write_str("normal traffic"),
            Self::Storm => write!(f, "bounce storm of subaccount {STORM_SUBACCOUNT}"),
            Self::Resent => f.write_str("the same batch again"),
            Self::Broken(bad) => write!(f, "broken body ({bad})"),
            Self::Mixed => f.write_str("one broken item among good ones"),
            Self::AllTypes => f.write_str("all 27 event types"),
            Self::BlocksRose => write!(f, "alert: blocks of subaccount {STORM_SUBACCOUNT}"),
            Self::ScoreFell => write!(f, "alert: score of subaccount {STORM_SUBACCOUNT} is bad"),
            Self::AllMetrics => f.write_str("alerts of every metric"),
        }
    }
}

/// What a request holds, for the ledger.
#[derive(Debug, Clone)]
pub enum Contents {
    /// An event webhook.
    Events(Batch),
    /// An alert webhook.
    Alerts(AlertPost),
}

/// One post of the script.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it shows.
    pub what: StepKind,
    /// What to send.
    pub request: Request,
    /// How long to wait after the step before was due; zero means at once.
    pub after: Duration,
    /// What is in it.
    pub contents: Contents,
}

impl Step {
    fn events(what: StepKind, after: Duration, batch: Batch) -> Self {
        Self {
            what,
            request: Request::events(&batch),
            after,
            contents: Contents::Events(batch),
        }
    }

    fn alerts(what: StepKind, post: AlertPost) -> Self {
        Self {
            what,
            request: Request::alerts(&post),
            after: Duration::ZERO,
            contents: Contents::Alerts(post),
        }
    }
}

/// An endless script: a ping, thirty days of Health Scores, the day before, then live traffic with a
/// bounce storm, a falling score, resent batches and broken bodies every forty seconds.
///
/// The same seed, rate and `now` give the same steps. Give each step that was answered 200 to
/// [`Ledger::record`](crate::Ledger::record).
#[derive(Debug)]
pub struct Story {
    traffic: Traffic,
    rare: Traffic,
    alerts: AlertFeed,
    now: DateTime<Utc>,
    rate: u32,
    live_events: usize,
    queue: VecDeque<Step>,
    history_left: u32,
    /// Live time so far.
    elapsed: Duration,
    /// Cues passed, over all cycles.
    cues_passed: usize,
    storm: bool,
    last_batch: Option<Batch>,
}

impl Story {
    /// A story whose live part begins at `now`. A rate of zero is taken as one event a second.
    #[must_use]
    pub fn new(seed: u64, rate_events_per_sec: u32, now: DateTime<Utc>) -> Self {
        let rate = rate_events_per_sec.max(1);
        let day_before = now - TimeDelta::days(1);
        let mut traffic = Traffic::new(seed, day_before);
        traffic.set_gap(Duration::from_secs(86_400) / (HISTORY_BATCHES * FULL_BATCH_EVENTS as u32));
        let rare = traffic.sibling_of_all_types(!seed);
        let mut alerts = AlertFeed::new(seed);
        let mut queue = VecDeque::from([Step::events(
            StepKind::Ping,
            Duration::ZERO,
            ping(&mut traffic),
        )]);
        queue.extend(
            alerts
                .history(SCORE_DAYS, now)
                .into_iter()
                .map(|post| Step::alerts(StepKind::Scores, post)),
        );
        Self {
            traffic,
            rare,
            alerts,
            now,
            rate,
            live_events: ((rate / POSTS_PER_SEC).max(1) as usize).min(FULL_BATCH_EVENTS),
            queue,
            history_left: HISTORY_BATCHES,
            elapsed: Duration::ZERO,
            cues_passed: 0,
            storm: false,
            last_batch: None,
        }
    }

    /// Live time that the steps given so far stand for.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    fn next_step(&mut self) -> Step {
        if let Some(step) = self.queue.pop_front() {
            return step;
        }
        if self.history_left > 0 {
            self.history_left -= 1;
            let batch = self.traffic.next_batch(FULL_BATCH_EVENTS);
            return Step::events(StepKind::DayBefore, Duration::ZERO, batch);
        }
        self.live_step()
    }

    /// Normal traffic for a while, then whatever cues have come due are queued behind it.
    fn live_step(&mut self) -> Step {
        let after = Duration::from_secs(self.live_events as u64) / self.rate;
        self.traffic.set_clock(self.at(self.elapsed));
        self.traffic.set_gap(Duration::from_secs(1) / self.rate);
        self.elapsed += after;
        let batch = self.traffic.next_batch(self.live_events);
        self.last_batch = Some(batch.clone());
        let what = if self.storm {
            StepKind::Storm
        } else {
            StepKind::Normal
        };
        while let Some(cue) = self.due_cue() {
            self.play(cue);
        }
        Step::events(what, after, batch)
    }

    fn at(&self, live: Duration) -> DateTime<Utc> {
        self.now + TimeDelta::from_std(live).unwrap_or(TimeDelta::MAX)
    }

    fn due_cue(&mut self) -> Option<Cue> {
        let cycle = self.cues_passed / CUES.len();
        let (second, cue) = CUES.get(self.cues_passed % CUES.len())?;
        let due = CYCLE * u32::try_from(cycle).unwrap_or(u32::MAX) + Duration::from_secs(*second);
        if self.elapsed < due {
            return None;
        }
        self.cues_passed += 1;
        Some(*cue)
    }

    fn play(&mut self, cue: Cue) {
        let step = match cue {
            Cue::StormBegins => return self.set_storm(true),
            Cue::StormEnds => return self.set_storm(false),
            Cue::Resend => match self.last_batch.clone() {
                Some(batch) => Step::events(StepKind::Resent, Duration::ZERO, batch),
                None => return,
            },
            Cue::Bad(kind) => self.now_step(StepKind::Broken(kind), |story| {
                kind.batch(&mut story.traffic)
            }),
            Cue::Mixed => self.now_step(StepKind::Mixed, |story| {
                bad::mixed(&mut story.traffic, story.live_events)
            }),
            Cue::AllTypes => self.now_step(StepKind::AllTypes, |story| {
                story.rare.set_clock(story.traffic.now());
                story.rare.next_batch(27)
            }),
            Cue::BlocksRose => self.alert_step(StepKind::BlocksRose, |alerts, at| {
                alerts.blocks_rose(STORM_SUBACCOUNT, at)
            }),
            Cue::ScoreFell => self.alert_step(StepKind::ScoreFell, |alerts, at| {
                alerts.score_fell(STORM_SUBACCOUNT, at)
            }),
            Cue::AllMetrics => self.alert_step(StepKind::AllMetrics, |alerts, at| {
                alerts.all_metrics(at, Shape::Documented)
            }),
        };
        self.queue.push_back(step);
    }

    fn set_storm(&mut self, on: bool) {
        self.storm = on;
        self.traffic.set_storm(on.then_some(STORM_SUBACCOUNT));
    }

    fn now_step(&mut self, what: StepKind, batch: impl FnOnce(&mut Self) -> Batch) -> Step {
        let batch = batch(self);
        Step::events(what, Duration::ZERO, batch)
    }

    fn alert_step(
        &mut self,
        what: StepKind,
        post: impl FnOnce(&mut AlertFeed, DateTime<Utc>) -> AlertPost,
    ) -> Step {
        let at = self.at(self.elapsed);
        Step::alerts(what, post(&mut self.alerts, at))
    }
}

impl Iterator for Story {
    type Item = Step;

    /// Never `None`.
    fn next(&mut self) -> Option<Step> {
        Some(self.next_step())
    }
}

/// The body that SparkPost posts when a webhook is set up.
pub(crate) fn ping(traffic: &mut Traffic) -> Batch {
    let mut batch = traffic.next_batch(0);
    batch.body = Bytes::from_static(b"[{\"msys\":{}}]");
    batch
}

#[cfg(test)]
mod tests;
