//! What one fault came to.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use postlake_testkit::{ClientLedger, Place, oracle};
use serde_json::{Value, json};

use crate::load::Answers;

/// Failures that are told in words.
const TOLD: usize = 10;

/// A row of the scoreboard.
#[derive(Debug)]
pub(crate) struct Row {
    name: &'static str,
    what: &'static str,
    /// Times the fault was met, and the program had to live with it or to start again.
    pub(crate) met: u64,
    /// Times it was met where no disk can fail: the runtime's own pipes. Only the data is judged.
    pub(crate) elsewhere: u64,
    acked: u64,
    lost: u64,
    doubled: u64,
    answers: Answers,
    starts: Vec<Duration>,
    failed: u64,
    failures: Vec<String>,
    notes: Vec<(&'static str, Value)>,
    took: Duration,
}

impl Row {
    /// Plays a fault; a panic in there is a failure of the row.
    pub(crate) fn play(name: &'static str, what: &'static str, play: impl FnOnce(&mut Row)) -> Row {
        let started = Instant::now();
        let mut row = Row {
            name,
            what,
            met: 0,
            elsewhere: 0,
            acked: 0,
            lost: 0,
            doubled: 0,
            answers: Answers::default(),
            starts: Vec::new(),
            failed: 0,
            failures: Vec::new(),
            notes: Vec::new(),
            took: Duration::ZERO,
        };
        let played = catch_unwind(AssertUnwindSafe(|| play(&mut row)));
        if let Err(panic) = played {
            row.fail("the rig", &words(&*panic));
        }
        row.took = started.elapsed();
        row
    }

    /// Runs a part of it; a panic in there is a failure, and the next part is played.
    pub(crate) fn part(&mut self, part: &str, play: impl FnOnce(&mut Row)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(&mut *self))) {
            self.fail(part, &words(&*panic));
        }
    }

    /// Notes that a promise was broken.
    pub(crate) fn fail(&mut self, part: &str, what: &str) {
        eprintln!("{} {part}: {what}", self.name);
        self.failed += 1;
        if self.failures.len() < TOLD {
            self.failures.push(format!("{part}: {what}"));
        }
    }

    /// Counts broken promises of which nothing is told.
    pub(crate) fn failed_besides(&mut self, count: u64) {
        self.failed += count;
    }

    /// Notes that a promise was broken unless it was kept.
    pub(crate) fn expect(&mut self, kept: bool, part: &str, what: &str) {
        if !kept {
            self.fail(part, what);
        }
    }

    /// A figure beside the common ones.
    pub(crate) fn note(&mut self, name: &'static str, value: impl Into<Value>) {
        self.notes.push((name, value.into()));
    }

    /// How long a start took, from the process to the ready line.
    pub(crate) fn started(&mut self, took: Duration) {
        self.starts.push(took);
    }

    /// Adds what clients were answered.
    pub(crate) fn answered(&mut self, answers: &Answers) {
        self.answers.add(answers);
    }

    /// What others have counted.
    pub(crate) fn count(&mut self, acked: u64, lost: u64) {
        self.acked += acked;
        self.lost += lost;
    }

    /// Loads everything and holds raw store, lake and CSV files against the ledger and its file.
    pub(crate) fn judge(&mut self, part: &str, place: &Place, ledger: &ClientLedger) {
        self.acked += ledger.answers();
        self.judge_copy(part, place, ledger);
    }

    /// The same with data whose answers are counted elsewhere.
    pub(crate) fn judge_copy(&mut self, part: &str, place: &Place, ledger: &ClientLedger) {
        place.load();
        let score = oracle::score(place, ledger);
        self.lost += score.lost + score.items_lost;
        self.doubled += score.items_doubled;
        self.part(part, |_| {
            ledger.assert_kept_in(&place.home().join(crate::rig::LEDGER));
            oracle::check(place, ledger);
        });
    }

    pub(crate) fn line(&self) -> String {
        format!(
            "{:<10} {:>5} met, {:>7} acked, {} lost, {} doubled, {} failed, {:.0} s: {}",
            self.name,
            self.met,
            self.acked,
            self.lost,
            self.doubled,
            self.failed,
            self.took.as_secs_f64(),
            self.what
        )
    }

    pub(crate) fn json(&self) -> Value {
        let slowest = self.starts.iter().max().map(Duration::as_secs_f64);
        let late = Duration::from_secs(2);
        let notes: serde_json::Map<String, Value> = self
            .notes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        json!({
            "fault": self.name,
            "what": self.what,
            "met": self.met,
            "met_elsewhere": self.elsewhere,
            "acked": self.acked,
            "lost": self.lost,
            "doubled": self.doubled,
            "failed": self.failed,
            "failures": self.failures,
            "answers": self.answers.json(),
            "slowest_start_seconds": slowest,
            "starts": self.starts.len(),
            "starts_over_2_seconds": self.starts.iter().filter(|took| **took > late).count(),
            "seconds": self.took.as_secs_f64(),
            "notes": notes,
        })
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "it panicked".to_owned())
}
