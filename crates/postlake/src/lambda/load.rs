//! The functions that load: on the bucket's notifications, or on a schedule.
//!
//! A notification only wakes the loader; what is loaded is what the listing finds. One loader at a time
//! is at work on a lake: the lake's own commits turn the other one back, and it begins anew.

use std::time::Duration;

use chrono::TimeDelta;
use postlake_lake::Lake;
use postlake_loader::upkeep::{self, Bounds, Compacted, RetainReport, Retention, Vacuuming};
use postlake_loader::{Delivered, LoadError, Loader, PassReport, deliver_pending};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::notice::{self, Message};
use crate::config::Settings;
use crate::exit::{Exit, Failure, chain};
use crate::function::runtime::Invocation;
use crate::role::load_failure;
use crate::wire;

/// No pass begins in the last part of an invocation's time.
const RESERVE: Duration = Duration::from_secs(10);

/// No files are merged in the last part of an invocation's time: a group takes some seconds.
const MERGING: Duration = Duration::from_secs(60);

/// Another loader may turn a pass back this often.
const CONFLICTS: u32 = 20;

pub(super) struct Loading {
    settings: Settings,
    /// Kept from invocation to invocation: what it remembers of the lake. Dropped after an error.
    loader: Mutex<Option<Loader>>,
}

/// What an invocation came to.
#[derive(Debug, Default)]
struct Loaded {
    total: PassReport,
    sinks_failed: Vec<String>,
}

impl Loading {
    pub(super) fn new(settings: Settings) -> Loading {
        Loading {
            settings,
            loader: Mutex::new(None),
        }
    }

    /// Loads what is there. Messages whose segments may not be loaded yet are named in the answer and
    /// come again; so they do when a sink did not take its rows.
    pub(super) async fn take_notices(&self, invocation: &Invocation) -> Result<Vec<u8>, Failure> {
        let (bucket, prefix) = self.settings.data.s3().unwrap_or_default();
        let notices = notice::read(&invocation.event, bucket, prefix);
        let passed_over: usize = notices
            .messages
            .iter()
            .map(|message| message.passed_over)
            .sum();
        if passed_over > 0 {
            tracing::info!(
                records = passed_over,
                "passed over: no raw segments of this lake"
            );
        }
        let speaks_of_us = |message: &&Message| !message.segments.is_empty();
        let ours: Vec<_> = notices.messages.iter().filter(speaks_of_us).collect();
        if ours.is_empty() {
            return Ok(answer(&[]));
        }
        let again = match self.load(invocation).await {
            Ok(loaded) if loaded.is_complete() => Vec::new(),
            Ok(loaded) => {
                tracing::warn!(?loaded, "not everything was loaded and delivered");
                ours
            }
            Err(failure) if notices.from_queue => {
                tracing::error!("{}", chain(&failure));
                ours
            }
            Err(failure) => return Err(failure),
        };
        if !again.is_empty() && !notices.from_queue {
            let message = "not everything was loaded and delivered";
            return Err(Failure::new(Exit::Unavailable, message));
        }
        Ok(answer(&again))
    }

    /// Loads what no notification has led to. Fails, so that an alarm can hear of it, if something is
    /// left.
    pub(super) async fn maintain(&self, invocation: &Invocation) -> Result<Vec<u8>, Failure> {
        let loaded = self.load(invocation).await?;
        let kept = self.keep(invocation).await?;
        let total = &loaded.total;
        let report = json!({
            "batches": total.batches,
            "events": total.events,
            "alerts": total.alerts,
            "duplicates": total.duplicates,
            "rejects": total.rejects,
            "more": total.more,
            "blocked_streams": total.blocked_streams,
            "sinks_failed": loaded.sinks_failed,
            "kept": kept,
        });
        match loaded.is_complete() {
            true => Ok(report.to_string().into_bytes()),
            false => Err(Failure::new(
                Exit::Unavailable,
                format!("something is left: {report}"),
            )),
        }
    }

    /// What a server does by itself: days let go, files deleted, files merged as far as there is time.
    async fn keep(&self, invocation: &Invocation) -> Result<Value, Failure> {
        let failed = |error| Failure::caused(Exit::Unavailable, "keep the lake", error);
        let keep = &self.settings.keep;
        let raw = wire::raw_store(&self.settings.data)?;
        let lake = wire::lake(&self.settings.data)?;
        let now = wire::clock().now();
        let retention = Retention {
            rules: wire::rules(&keep.rules),
            now,
            clock_is_right: false,
            dry_run: false,
        };
        let retained = match upkeep::retain(&raw, &lake, &retention).await {
            Ok(retained) => retained,
            // As after a weekend without mail: no alarm.
            Err(error @ LoadError::Clock(_)) => {
                tracing::warn!("{}", chain(&error));
                RetainReport::default()
            }
            Err(error) => return Err(failed(error)),
        };
        let sinks = wire::sinks(&self.settings)?;
        let after = TimeDelta::from_std(keep.vacuum_after).unwrap_or(TimeDelta::MAX);
        let vacuuming = Vacuuming {
            now,
            keep: after,
            clock_is_right: false,
            dry_run: false,
        };
        let vacuumed = match upkeep::vacuum(&raw, &lake, &sinks, &vacuuming).await {
            Ok(vacuumed) => vacuumed,
            Err(error @ LoadError::Clock(_)) => {
                tracing::warn!("{}", chain(&error));
                Vec::new()
            }
            Err(error) => return Err(failed(error)),
        };
        let mut groups = 0;
        let mut segments_merged = 0;
        if keep.compact {
            let bounds = Bounds {
                until: Some(Instant::now() + invocation.time_left(MERGING)),
                ..Bounds::none(&lake)
            };
            let mut quiet = |_: &Compacted| {};
            let done = upkeep::compact(&lake, now, &bounds, false, &mut quiet).await;
            let done = done.map_err(failed)?;
            groups = done.iter().map(|table| table.groups).sum::<u64>();
            let merged = upkeep::merge_raw(&raw, &lake, now, &bounds, false).await;
            segments_merged = merged.map_err(failed)?.segments;
        }
        let rows = retained.tables.iter().map(|table| table.rows);
        let segments = retained.raw.map_or(0, |raw| raw.segments);
        let files = vacuumed.iter().map(|table| table.vacuumed.files);
        Ok(json!({
            "retained_rows": rows.sum::<u64>(),
            "retained_segments": segments,
            "deleted_files": files.sum::<u64>(),
            "merged_groups": groups,
            "merged_segments": segments_merged,
        }))
    }

    async fn load(&self, invocation: &Invocation) -> Result<Loaded, Failure> {
        let until = Instant::now() + invocation.time_left(RESERVE);
        let mut kept = self.loader.lock().await;
        let mut loader = match kept.take() {
            Some(loader) => loader,
            None => wire::loader(&self.settings)?,
        };
        let total = passes(&mut loader, until)
            .await
            .map_err(|error| load_failure("load", error))?;
        *kept = Some(loader);
        let lake = wire::lake(&self.settings.data)?;
        let sinks_failed = self.deliver(&lake).await?;
        Ok(Loaded {
            total,
            sinks_failed,
        })
    }

    /// The names of the sinks that did not take everything; they hold up neither each other nor the lake.
    async fn deliver(&self, lake: &Lake) -> Result<Vec<String>, Failure> {
        let mut failed = Vec::new();
        for sink in wire::sinks(&self.settings)? {
            let mut delivered = Delivered::default();
            if let Err(error) = deliver_pending(lake, sink.as_ref(), &mut delivered).await {
                tracing::error!(sink.name = sink.name(), "{}", chain(&error));
                failed.push(sink.name().to_owned());
            }
        }
        Ok(failed)
    }
}

impl Loaded {
    fn is_complete(&self) -> bool {
        !self.total.more && self.total.blocked_streams == 0 && self.sinks_failed.is_empty()
    }
}

/// Passes until there is nothing more or no time; the sum of what they did, with what the last one left.
async fn passes(loader: &mut Loader, until: Instant) -> Result<PassReport, LoadError> {
    let mut total = PassReport::default();
    let mut conflicts = 0;
    loop {
        match loader.pass().await {
            Ok(report) => add(&mut total, &report),
            Err(error) if error.is_conflict() && conflicts < CONFLICTS => {
                conflicts += 1;
                total.more = true;
            }
            Err(error) => return Err(error),
        }
        if !total.more || Instant::now() >= until {
            return Ok(total);
        }
    }
}

fn add(total: &mut PassReport, report: &PassReport) {
    total.batches += report.batches;
    total.events += report.events;
    total.alerts += report.alerts;
    total.duplicates += report.duplicates;
    total.rejects += report.rejects;
    total.more = report.more;
    total.blocked_streams = report.blocked_streams;
}

/// Names the messages that the queue has to send again.
fn answer(again: &[&Message]) -> Vec<u8> {
    let failures: Vec<Value> = again
        .iter()
        .map(|message| json!({ "itemIdentifier": message.id }))
        .collect();
    json!({ "batchItemFailures": failures })
        .to_string()
        .into_bytes()
}
