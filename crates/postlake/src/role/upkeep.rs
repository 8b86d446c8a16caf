//! What a server that loads does for its lake by itself: files merged, days let go, files deleted.
//!
//! It has a thread of its own at the lowest priority, so that receiving and loading come first wherever
//! they want the processor; a turn is bounded, and may be cut off anywhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use postlake_event::sink::Sink;
use postlake_lake::Lake;
use postlake_loader::LoadError;
use postlake_loader::upkeep::{self, Bounds, Compacted, Retention, Vacuuming};
use postlake_raw::data_directory::free_space;
use postlake_raw::{CreateOnly, RawStore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::Vitals;
use crate::admin::status::Upkeep;
use crate::config::{DiskSettings, KeepSettings, Settings};
use crate::exit::{Exit, Failure, chain};
use crate::wire;

/// A turn merges no more groups of files than this, and begins none after this time.
const TURN_GROUPS: usize = 16;
const TURN: Duration = Duration::from_secs(30);

/// Days are looked at this often, and files to delete; neither more often than there are turns.
const RETAIN_INTERVAL: Duration = Duration::from_hours(1);
const VACUUM_INTERVAL: Duration = Duration::from_hours(6);
const MERGE_INTERVAL: Duration = Duration::from_hours(6);

/// A turn wants so much room on the disk beyond what is left to alerts, or this part of a small disk.
const ROOM_BYTES: u64 = 2 << 30;
const ROOM_PART: u64 = 8;

/// The priority of the thread: everybody else comes first.
const NICE: i32 = 19;

/// Upkeep that is under way; it ends when this is dropped.
pub(crate) struct Keeping {
    stop: CancellationToken,
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Starts turns.
///
/// # Errors
/// When the stores cannot be set up or there is no thread to be had.
pub(crate) fn start(settings: &Settings, vitals: Arc<Vitals>) -> Result<Keeping, Failure> {
    vitals.has_upkeep(&["compact", "merge", "retain", "vacuum"]);
    let failed = |source| Failure::caused(Exit::Failure, "start the upkeep of the lake", source);
    let stop = CancellationToken::new();
    let work = Work {
        raw: wire::raw_store(&settings.data)?,
        lake: wire::lake(&settings.data)?,
        sinks: wire::sinks(settings)?,
        keep: settings.keep,
        disk: settings
            .data
            .directory()
            .map(|directory| (directory.to_owned(), settings.disk)),
        retained: None,
        vacuumed: None,
        merged: None,
        vitals,
    };
    let token = stop.clone();
    std::thread::Builder::new()
        .name("upkeep".to_owned())
        .spawn(move || run(work, &token))
        .map_err(failed)?;
    Ok(Keeping { stop })
}

fn run(mut work: Work, stop: &CancellationToken) {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!("upkeep runs at the priority of everything else: {error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the lake is not kept: {error}");
            return;
        }
    };
    runtime.block_on(async {
        if !tokio::select! { () = stop.cancelled() => false, may = work.may_write() => may } {
            return;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(work.keep.upkeep_interval) => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = work.turn() => {}
            }
        }
    });
    // As with the loader: a library would panic without its runtime.
    std::mem::forget(runtime);
}

struct Work {
    raw: RawStore,
    lake: Lake,
    sinks: Vec<Box<dyn Sink>>,
    keep: KeepSettings,
    /// The data directory, if it is one, and how much of its disk is left alone.
    disk: Option<(PathBuf, DiskSettings)>,
    retained: Option<Instant>,
    vacuumed: Option<Instant>,
    merged: Option<Instant>,
    vitals: Arc<Vitals>,
}

impl Work {
    /// Whether this second writer of the tables and the loader cannot overwrite each other's commits: not where
    /// a store ignores the condition of a put.
    async fn may_write(&self) -> bool {
        loop {
            match self.raw.probe_create_only().await {
                Ok(CreateOnly::Honoured) => return true,
                Ok(CreateOnly::Ignored) => {
                    tracing::warn!(
                        "the store ignores create-only puts: files are not merged and nothing is let go beside the loader"
                    );
                    return false;
                }
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "the store is not probed yet"
                    );
                    tokio::time::sleep(self.keep.upkeep_interval).await;
                }
            }
        }
    }

    /// What fails is told and tried again at its next turn; nothing depends on it.
    async fn turn(&mut self) {
        if is_due(self.retained, RETAIN_INTERVAL) {
            self.retained = Some(Instant::now());
            let done = self.retain().await;
            self.tell("retain", "letting go of old days", done);
        }
        if is_due(self.vacuumed, VACUUM_INTERVAL) {
            self.vacuumed = Some(Instant::now());
            let done = self.vacuum().await;
            self.tell("vacuum", "deleting files that nobody needs", done);
        }
        if self.keep.compact && self.has_room().await {
            let done = self.compact().await;
            self.tell("compact", "merging files", done);
            if is_due(self.merged, MERGE_INTERVAL) {
                self.merged = Some(Instant::now());
                let done = self.merge_raw().await;
                self.tell("merge", "merging raw segments", done);
            }
        }
    }

    async fn compact(&self) -> Result<Upkeep, LoadError> {
        let bounds = Bounds {
            groups: Some(TURN_GROUPS),
            until: Some(Instant::now() + TURN),
            ..Bounds::none(&self.lake)
        };
        let mut note = |done: &Compacted| tracing::debug!(?done, "merged files");
        let now = wire::clock().now();
        let done = upkeep::compact(&self.lake, now, &bounds, false, &mut note).await?;
        Ok(Upkeep {
            files_merged: done.iter().map(|table| table.amounts.files_removed).sum(),
            bytes_merged: done.iter().map(|table| table.amounts.bytes_removed).sum(),
            ..Upkeep::default()
        })
    }

    async fn merge_raw(&mut self) -> Result<Upkeep, LoadError> {
        let bounds = Bounds {
            until: Some(Instant::now() + TURN),
            ..Bounds::none(&self.lake)
        };
        let now = wire::clock().now();
        let done = upkeep::merge_raw(&self.raw, &self.lake, now, &bounds, false).await?;
        if done.left > 0 {
            // The next turn goes on.
            self.merged = None;
        }
        if done.objects > 0 {
            tracing::debug!(?done, "merged raw segments");
        }
        Ok(Upkeep {
            segments_merged: done.segments,
            ..Upkeep::default()
        })
    }

    async fn retain(&self) -> Result<Upkeep, LoadError> {
        let retention = Retention {
            rules: wire::rules(&self.keep.rules),
            now: wire::clock().now(),
            clock_is_right: false,
            dry_run: false,
        };
        let done = upkeep::retain(&self.raw, &self.lake, &retention).await?;
        for table in done.tables.iter().filter(|table| table.files > 0) {
            let (name, before) = (table.table.name(), table.before);
            tracing::info!(rows = table.rows, "{name}: what is before {before} went");
        }
        if let Some(raw) = done.raw.as_ref().filter(|raw| !raw.days.is_empty()) {
            let before = raw.before;
            tracing::info!(segments = raw.segments, "raw: what is before {before} went");
        }
        Ok(Upkeep {
            rows_expired: done.tables.iter().map(|table| table.rows).sum(),
            days_retired: done.raw.map_or(0, |raw| raw.days.len() as u64),
            ..Upkeep::default()
        })
    }

    async fn vacuum(&self) -> Result<Upkeep, LoadError> {
        let keep = TimeDelta::from_std(self.keep.vacuum_after).unwrap_or(TimeDelta::MAX);
        let vacuuming = Vacuuming {
            now: wire::clock().now(),
            keep,
            clock_is_right: false,
            dry_run: false,
        };
        let done = upkeep::vacuum(&self.raw, &self.lake, &self.sinks, &vacuuming).await?;
        for table in done.iter().filter(|done| done.vacuumed.files > 0) {
            tracing::debug!(?table, "deleted files that nobody needs");
        }
        Ok(Upkeep {
            files_deleted: done.iter().map(|table| table.vacuumed.files).sum(),
            bytes_deleted: done.iter().map(|table| table.vacuumed.bytes).sum(),
            ..Upkeep::default()
        })
    }

    fn tell(&self, job: &str, doing: &str, done: Result<Upkeep, LoadError>) {
        self.vitals.upkept(job, done.as_ref().ok());
        tell(doing, done.map(drop));
    }

    /// Rows that are sorted lie on the disk meanwhile, beside the old files and the new ones.
    async fn has_room(&self) -> bool {
        let Some((directory, settings)) = self.disk.clone() else {
            return true;
        };
        let look = move || {
            free_space(&directory).map(|disk| {
                let room = ROOM_BYTES.min(disk.total_bytes / ROOM_PART);
                disk.free_bytes >= settings.min_free_bytes(disk) + room
            })
        };
        matches!(tokio::task::spawn_blocking(look).await, Ok(Ok(true)))
    }
}

fn is_due(last: Option<Instant>, interval: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= interval)
}

fn tell(doing: &str, done: Result<(), LoadError>) {
    match done {
        Ok(()) => {}
        // An operator has to look, or time has to pass.
        Err(error @ LoadError::Clock(_)) => tracing::warn!("{doing}: {}", chain(&error)),
        Err(error) if error.is_conflict() => tracing::debug!("{doing}: {}", chain(&error)),
        Err(error) => tracing::error!("{doing} failed and is tried again: {}", chain(&error)),
    }
}
