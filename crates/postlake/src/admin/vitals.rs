//! What the parts of the server report while they work. Each part notes what it did; nobody waits for
//! a reader, and a reader sees the newest notes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use postlake_loader::{Backlog, Delivered, PassReport};
use postlake_raw::clock::Clock;

use crate::admin::ingest::{self, Ingesting};
use crate::admin::process;
use crate::admin::status::{
    self, Check, Load, Logs, Read, Sink, Status, Traces, Upkeep, UpkeepJob,
};
use crate::telemetry;

/// Notes of one server process. Made once, given to its parts.
pub(crate) struct Vitals {
    clock: Arc<dyn Clock>,
    started_at: DateTime<Utc>,
    /// The data directory; none on S3.
    directory: Option<PathBuf>,
    ingest: OnceLock<Ingesting>,
    read: OnceLock<Arc<ReadNotes>>,
    load: Mutex<Option<LoadNotes>>,
    upkeep: Mutex<Option<Upkeep>>,
}

/// What the supervisor of the read process notes.
#[derive(Debug, Default)]
pub(crate) struct ReadNotes {
    running: AtomicBool,
    restarts: AtomicU64,
}

impl ReadNotes {
    pub(crate) fn started(&self) {
        self.running.store(true, Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.running.store(false, Relaxed);
        self.restarts.fetch_add(1, Relaxed);
    }
}

#[derive(Debug, Default)]
struct LoadNotes {
    load: Load,
    sinks: Vec<Sink>,
    /// When the first segment landed that no round of passes has begun to look for.
    landed_since: Option<DateTime<Utc>>,
    /// The same, of the round that is under way or has failed.
    in_round_since: Option<DateTime<Utc>>,
    /// The oldest segment of the last listing of what is left.
    oldest_left: Option<DateTime<Utc>>,
}

impl fmt::Debug for Vitals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Vitals")
            .field("started_at", &self.started_at)
            .finish_non_exhaustive()
    }
}

impl Vitals {
    pub(crate) fn new(clock: Arc<dyn Clock>, directory: Option<PathBuf>) -> Arc<Vitals> {
        Arc::new(Vitals {
            started_at: clock.now(),
            clock,
            directory,
            ingest: OnceLock::new(),
            read: OnceLock::new(),
            load: Mutex::new(None),
            upkeep: Mutex::new(None),
        })
    }

    /// The receiver of this process, from now on.
    pub(crate) fn has_receiver(&self, receiver: Ingesting) {
        // A second receiver there is not; if there were, the first would be told of.
        drop(self.ingest.set(receiver));
    }

    /// The read process of this server, from now on.
    pub(crate) fn has_reader(&self, notes: Arc<ReadNotes>) {
        drop(self.read.set(notes));
    }

    /// This process loads, with these sinks.
    pub(crate) fn has_loader<'a>(&self, sinks: impl Iterator<Item = &'a str>) {
        let sinks = sinks.map(|name| Sink {
            name: name.to_owned(),
            rows: 0,
            versions: 0,
            refused: 0,
            failures: 0,
            last_success_at: None,
            last_failure_at: None,
            versions_behind: BTreeMap::new(),
        });
        let notes = LoadNotes {
            sinks: sinks.collect(),
            ..LoadNotes::default()
        };
        *self.notes() = Some(notes);
    }

    /// A segment became durable in this process.
    pub(crate) fn landed(&self) {
        let now = self.clock.now();
        self.note(|notes| {
            notes.landed_since.get_or_insert(now);
        });
    }

    /// A round of passes begins: what has landed until now is its to load.
    pub(crate) fn round_began(&self) {
        self.note(|notes| {
            notes.in_round_since = earlier(notes.in_round_since, notes.landed_since.take());
        });
    }

    /// A pass ended well.
    pub(crate) fn passed(&self, report: &PassReport, versions: &[(&'static str, u64)]) {
        let now = self.clock.now();
        self.note(|notes| {
            let load = &mut notes.load;
            load.passes += 1;
            load.segments += report.segments;
            load.damaged_segments += report.damaged_segments;
            load.batches += report.batches;
            load.events += report.events;
            load.alerts += report.alerts;
            load.duplicates += report.duplicates;
            load.rejects += report.rejects;
            load.blocked_streams = report.blocked_streams;
            load.last_success_at = Some(now);
            for (table, version) in versions {
                load.lake_versions.insert((*table).to_owned(), *version);
            }
        });
    }

    /// A pass was turned back by another loader.
    pub(crate) fn turned_back(&self) {
        self.note(|notes| notes.load.conflicts += 1);
    }

    /// A pass failed.
    pub(crate) fn pass_failed(&self) {
        let now = self.clock.now();
        self.note(|notes| {
            notes.load.failures += 1;
            notes.load.last_failure_at = Some(now);
        });
    }

    /// What a round of passes has left, as a listing says; nothing at all after a round that ended
    /// by itself.
    pub(crate) fn left(&self, backlog: &Backlog) {
        self.note(|notes| {
            notes.load.backlog = status::Backlog {
                streams: backlog.streams,
                segments: backlog.segments,
                bytes: backlog.bytes,
            };
            notes.oldest_left = backlog.oldest;
            // The listing knows better than the hints of this process.
            notes.in_round_since = None;
        });
    }

    /// What a round of deliveries to a sink came to.
    pub(crate) fn delivered(&self, sink: &str, delivered: &Delivered, failed: bool) {
        let now = self.clock.now();
        self.note(|notes| {
            let Some(sink) = notes.sinks.iter_mut().find(|known| known.name == sink) else {
                return;
            };
            sink.rows += delivered.rows;
            sink.versions += delivered.versions;
            sink.refused += delivered.refused;
            if failed {
                sink.failures += 1;
                sink.last_failure_at = Some(now);
            } else {
                sink.last_success_at = Some(now);
            }
            for reach in &delivered.reached {
                let behind = reach.lake_versions.saturating_sub(reach.sink_versions);
                sink.versions_behind
                    .insert(reach.table.name().to_owned(), behind);
            }
        });
    }

    /// The server keeps its lake, with these jobs.
    pub(crate) fn has_upkeep(&self, jobs: &[&str]) {
        let jobs = jobs
            .iter()
            .map(|job| ((*job).to_owned(), UpkeepJob::default()));
        *self.upkeep() = Some(Upkeep {
            jobs: jobs.collect(),
            ..Upkeep::default()
        });
    }

    /// A job of the upkeep has ended: what it did, or that it failed.
    pub(crate) fn upkept(&self, job: &str, done: Option<&Upkeep>) {
        let now = self.clock.now();
        if let Some(upkeep) = self.upkeep().as_mut() {
            let noted = upkeep.jobs.entry(job.to_owned()).or_default();
            match done {
                Some(_) => noted.last_success_at = Some(now),
                None => noted.failures += 1,
            }
            if let Some(done) = done {
                upkeep.add(done);
            }
        }
    }

    fn upkeep(&self) -> MutexGuard<'_, Option<Upkeep>> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything, as it is now.
    pub(crate) fn status(&self) -> Status {
        let now = self.clock.now();
        let free_bytes = self.directory.as_deref().and_then(|directory| {
            let disk = rustix::fs::statvfs(directory).ok()?;
            Some(disk.f_bavail.saturating_mul(disk.f_frsize))
        });
        let ingest = self
            .ingest
            .get()
            .map(|ingesting| ingest::read(ingesting, free_bytes));
        let (load, sinks) = match self.notes().as_ref() {
            Some(notes) => (Some(notes.load_at(now)), notes.sinks.clone()),
            None => (None, Vec::new()),
        };
        let read = self.read.get().map(|notes| Read {
            running: notes.running.load(Relaxed),
            restarts: notes.restarts.load(Relaxed),
        });
        let checks = self.checks(load.as_ref(), &sinks, read);
        let (errors, warnings, left_out) = telemetry::counts();
        let (exported, dropped, failed) = telemetry::span_counts();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now,
            started_at: self.started_at,
            ready: checks.iter().all(|check| check.ok || !check.required),
            checks,
            ingest,
            load,
            sinks,
            read,
            upkeep: self.upkeep().clone(),
            process: process::read(),
            logs: Logs {
                errors,
                warnings,
                left_out,
            },
            traces: Traces {
                exported,
                dropped,
                failed,
            },
        }
    }

    fn checks(&self, load: Option<&Load>, sinks: &[Sink], read: Option<Read>) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut add = |name: &str, required, fault: Option<&str>| {
            checks.push(Check {
                name: name.to_owned(),
                ok: fault.is_none(),
                required,
                detail: fault.unwrap_or("ok").to_owned(),
            });
        };
        if let Some(ingesting) = self.ingest.get() {
            let receiver = &ingesting.receiver;
            add("receive", true, receiver.unready_reason());
            let fault = ingesting.certificate_fault(self.clock.now().timestamp());
            match fault {
                Some((required, fault)) => add("certificate", required, Some(&fault)),
                None if ingesting.keeper.is_some() => add("certificate", true, None),
                None => {}
            }
            let held = receiver
                .events_are_held()
                .then_some("the disk is nearly full");
            add("disk", false, held);
        }
        if let Some(load) = load {
            let failing = is_failing(load.last_success_at, load.last_failure_at);
            add("load", false, failing.then_some("the last pass failed"));
        }
        for sink in sinks {
            let failing = is_failing(sink.last_success_at, sink.last_failure_at);
            let fault = failing.then_some("the last delivery failed");
            add(&format!("sink {}", sink.name), false, fault);
        }
        if let Some(read) = read {
            let fault = (!read.running).then_some("the read process is being started again");
            add("read", true, fault);
        }
        checks
    }

    fn note(&self, change: impl FnOnce(&mut LoadNotes)) {
        if let Some(notes) = self.notes().as_mut() {
            change(notes);
        }
    }

    fn notes(&self) -> MutexGuard<'_, Option<LoadNotes>> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoadNotes {
    fn load_at(&self, now: DateTime<Utc>) -> Load {
        let oldest = earlier(
            earlier(self.landed_since, self.in_round_since),
            self.oldest_left,
        );
        let age = oldest.map_or(chrono::TimeDelta::zero(), |oldest| now - oldest);
        Load {
            lag_secs: age.as_seconds_f64().max(0.0),
            ..self.load.clone()
        }
    }
}

fn earlier(one: Option<DateTime<Utc>>, two: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (one, two) {
        (Some(one), Some(two)) => Some(one.min(two)),
        (one, two) => one.or(two),
    }
}

fn is_failing(success: Option<DateTime<Utc>>, failure: Option<DateTime<Utc>>) -> bool {
    failure.is_some_and(|failure| success.is_none_or(|success| failure >= success))
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, TimeZone as _};
    use postlake_raw::clock::ManualClock;

    use super::*;

    #[test]
    fn lag_counts_from_the_oldest_segment_that_is_not_loaded() {
        let start = Utc.with_ymd_and_hms(2026, 1, 2, 3, 0, 0).unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let vitals = Vitals::new(Arc::clone(&clock) as _, None);
        vitals.has_loader(["csv"].into_iter());
        let lag = || vitals.status().load.unwrap().lag_secs;
        assert_eq!(lag(), 0.0);

        vitals.landed();
        clock.advance(TimeDelta::seconds(3));
        vitals.landed();
        assert_eq!(lag(), 3.0);

        vitals.round_began();
        clock.advance(TimeDelta::seconds(2));
        vitals.landed();
        vitals.pass_failed();
        assert_eq!(lag(), 5.0, "a failed round has loaded nothing");
        vitals.round_began();
        vitals.left(&Backlog::default());
        assert_eq!(lag(), 0.0);
        vitals.left(&Backlog {
            oldest: Some(start),
            segments: 1,
            ..Backlog::default()
        });
        assert_eq!(lag(), 5.0);
    }

    #[test]
    fn rows_that_a_sink_never_takes_are_counted() {
        let start = Utc.with_ymd_and_hms(2026, 1, 2, 3, 0, 0).unwrap();
        let vitals = Vitals::new(Arc::new(ManualClock::new(start)), None);
        vitals.has_loader(["store"].into_iter());
        let delivered = Delivered {
            rows: 5,
            refused: 2,
            ..Delivered::default()
        };
        vitals.delivered("store", &delivered, false);
        vitals.delivered("store", &delivered, false);
        let page = crate::admin::metrics::page(vitals.status()).unwrap();
        let line = "postlake_sink_refused_rows_total{sink=\"store\"} 4";
        assert!(page.lines().any(|said| said == line), "{page}");
    }

    #[test]
    fn a_failing_sink_is_told_and_does_not_make_the_server_unready() {
        let start = Utc.with_ymd_and_hms(2026, 1, 2, 3, 0, 0).unwrap();
        let vitals = Vitals::new(Arc::new(ManualClock::new(start)), None);
        vitals.has_loader(["csv"].into_iter());
        vitals.delivered("csv", &Delivered::default(), true);
        let status = vitals.status();
        assert!(status.ready);
        let sink = status.checks.iter().find(|check| check.name == "sink csv");
        assert!(!sink.unwrap().ok);
    }
}
