//! What the server says about itself, once, as one value: `/api/v1/status` sends it, `/metrics` is made
//! of it, `postlake top` reads it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A reading of the whole server. Parts that this process does not run are absent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) now: DateTime<Utc>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) ready: bool,
    pub(crate) checks: Vec<Check>,
    pub(crate) ingest: Option<Ingest>,
    pub(crate) load: Option<Load>,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) read: Option<Read>,
    #[serde(default)]
    pub(crate) upkeep: Option<Upkeep>,
    pub(crate) process: Process,
    pub(crate) logs: Logs,
    #[serde(default)]
    pub(crate) traces: Traces,
}

/// What a server that loads has done for its lake by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upkeep {
    /// `compact`, `merge`, `retain`, `vacuum`: those that have run.
    pub(crate) jobs: BTreeMap<String, UpkeepJob>,
    pub(crate) files_merged: u64,
    pub(crate) bytes_merged: u64,
    pub(crate) segments_merged: u64,
    pub(crate) rows_expired: u64,
    pub(crate) days_retired: u64,
    pub(crate) files_deleted: u64,
    pub(crate) bytes_deleted: u64,
}

impl Upkeep {
    /// Adds what another one counts.
    pub(crate) fn add(&mut self, done: &Upkeep) {
        self.files_merged += done.files_merged;
        self.bytes_merged += done.bytes_merged;
        self.segments_merged += done.segments_merged;
        self.rows_expired += done.rows_expired;
        self.days_retired += done.days_retired;
        self.files_deleted += done.files_deleted;
        self.bytes_deleted += done.bytes_deleted;
    }
}

/// One of its jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UpkeepJob {
    pub(crate) failures: u64,
    pub(crate) last_success_at: Option<DateTime<Utc>>,
}

/// One condition of being ready, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) ok: bool,
    /// Whether the server counts as not ready without it.
    pub(crate) required: bool,
    pub(crate) detail: String,
}

/// The receive role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ingest {
    pub(crate) ready: bool,
    pub(crate) events_held: bool,
    pub(crate) inflight_bytes: u64,
    /// Free space where the data lies; absent on S3.
    pub(crate) free_bytes: Option<u64>,
    pub(crate) batches: u64,
    pub(crate) body_bytes: u64,
    pub(crate) late_batches: u64,
    pub(crate) withdrawn_batches: u64,
    pub(crate) alerts_given_up: u64,
    pub(crate) segments: u64,
    pub(crate) failed_landings: u64,
    pub(crate) failed_landings_by: BTreeMap<String, u64>,
    pub(crate) streams: u64,
    pub(crate) spoilt_streams: u64,
    pub(crate) rewritten_batches: u64,
    pub(crate) reserve_given: u64,
    pub(crate) abandoned_puts: u64,
    pub(crate) panics: u64,
    pub(crate) refusals: BTreeMap<String, u64>,
    pub(crate) answer_seconds: BTreeMap<String, Histogram>,
    pub(crate) put_seconds: Histogram,
    pub(crate) segment_bytes: Histogram,
    pub(crate) segment_batches: Histogram,
    #[serde(default)]
    pub(crate) connections: Connections,
}

/// The connections of the ingest listener and its certificate.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Connections {
    pub(crate) open: u64,
    pub(crate) accepted: u64,
    /// What went wrong with connections, by the name of it.
    pub(crate) troubles: BTreeMap<String, u64>,
    /// Seconds since 1970; absent without TLS and before the first certificate.
    pub(crate) certificate_ends_secs: Option<i64>,
    pub(crate) certificate_reloads: u64,
    pub(crate) certificate_reload_failures: u64,
    /// Absent when the certificate comes from files, or there is no TLS.
    #[serde(default)]
    pub(crate) acme: Option<Acme>,
}

/// The dealings with the authority that gives the certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acme {
    /// Certificates given, and attempts that brought none.
    pub(crate) orders: u64,
    pub(crate) failures: u64,
    /// Handshakes in which the authority got its answer.
    pub(crate) challenges_answered: u64,
    /// When it is asked next, in seconds since 1970.
    pub(crate) next_at_secs: i64,
}

/// A distribution in base units.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Histogram {
    /// Upper bounds, each belonging to its class.
    pub(crate) bounds: Vec<f64>,
    /// Values in each class, one more class than bounds.
    pub(crate) counts: Vec<u64>,
    pub(crate) sum: f64,
}

impl Histogram {
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What came since `earlier`, a reading of the same histogram.
    pub(crate) fn since(&self, earlier: &Histogram) -> Histogram {
        let before = |index: usize| earlier.counts.get(index).copied().unwrap_or(0);
        Histogram {
            bounds: self.bounds.clone(),
            counts: self
                .counts
                .iter()
                .enumerate()
                .map(|(index, count)| count.saturating_sub(before(index)))
                .collect(),
            sum: self.sum - earlier.sum,
        }
    }

    /// The bound below which this share of the values lies; `None` without values, infinity beyond
    /// the last bound.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rank need not be exact")]
        let rank = share * count as f64;
        let mut seen = 0;
        for (index, in_class) in self.counts.iter().enumerate() {
            seen += in_class;
            #[expect(clippy::cast_precision_loss, reason = "a rank need not be exact")]
            if seen as f64 >= rank {
                return Some(self.bounds.get(index).copied().unwrap_or(f64::INFINITY));
            }
        }
        Some(f64::INFINITY)
    }
}

/// The load role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) passes: u64,
    pub(crate) failures: u64,
    pub(crate) conflicts: u64,
    pub(crate) segments: u64,
    pub(crate) damaged_segments: u64,
    pub(crate) batches: u64,
    pub(crate) events: u64,
    pub(crate) alerts: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejects: u64,
    pub(crate) blocked_streams: u64,
    /// What is received and not loaded.
    pub(crate) backlog: Backlog,
    /// Age of the oldest of it; zero when everything is loaded.
    pub(crate) lag_secs: f64,
    pub(crate) last_success_at: Option<DateTime<Utc>>,
    pub(crate) last_failure_at: Option<DateTime<Utc>>,
    /// Version of each table of the lake, by name.
    pub(crate) lake_versions: BTreeMap<String, u64>,
}

/// Segments that are received and not loaded, as the last listing said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Backlog {
    pub(crate) streams: u64,
    pub(crate) segments: u64,
    pub(crate) bytes: u64,
}

/// A sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sink {
    pub(crate) name: String,
    pub(crate) rows: u64,
    pub(crate) versions: u64,
    /// Rows that its destination never takes.
    #[serde(default)]
    pub(crate) refused: u64,
    pub(crate) failures: u64,
    pub(crate) last_success_at: Option<DateTime<Utc>>,
    pub(crate) last_failure_at: Option<DateTime<Utc>>,
    /// Versions of the lake that the sink does not hold, by table.
    pub(crate) versions_behind: BTreeMap<String, u64>,
}

/// The supervised read process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Read {
    pub(crate) running: bool,
    pub(crate) restarts: u64,
}

/// This process, as the system sees it; zero where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) cpu_secs: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) threads: u64,
    pub(crate) open_fds: u64,
    pub(crate) max_fds: u64,
}

/// Lines of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logs {
    pub(crate) errors: u64,
    pub(crate) warnings: u64,
    /// Of these, lines like the ones before them that were left out.
    pub(crate) left_out: u64,
}

/// Spans for a collector of traces; those of the read process are not counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traces {
    pub(crate) exported: u64,
    /// The queue was full.
    pub(crate) dropped: u64,
    /// The collector did not take them.
    pub(crate) failed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_bounds_of_their_class() {
        let histogram = Histogram {
            bounds: vec![0.01, 0.1, 1.0],
            counts: vec![90, 9, 0, 1],
            sum: 3.0,
        };
        assert_eq!(histogram.quantile(0.5), Some(0.01));
        assert_eq!(histogram.quantile(0.95), Some(0.1));
        assert_eq!(histogram.quantile(1.0), Some(f64::INFINITY));
        let since = histogram.since(&Histogram {
            bounds: vec![0.01, 0.1, 1.0],
            counts: vec![90, 0, 0, 1],
            sum: 2.0,
        });
        assert_eq!((since.count(), since.sum), (9, 1.0));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
