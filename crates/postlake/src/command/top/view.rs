//! Two looks as lines for a person.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use postlake_serve::visible;

use crate::admin::status::{Histogram, Ingest, Load, Sink, Status};

/// What happened between the looks; totals are those of the second.
pub(super) fn lines(url: &str, before: &Status, now: &Status) -> Vec<String> {
    let secs = (now.now - before.now).as_seconds_f64().max(1e-3);
    // A restart between the looks makes every difference one since the start.
    let restarted = now.started_at != before.started_at;
    let mut lines = vec![format!(
        "postlake {} at {}, up {}, {}",
        visible(&now.version),
        visible(url),
        span(now.now - now.started_at),
        if now.ready { "ready" } else { "NOT READY" }
    )];
    if let Some(ingest) = &now.ingest {
        let earlier = before.ingest.as_ref().filter(|_| !restarted);
        lines.extend(ingest_lines(earlier, ingest, secs));
    }
    if let Some(load) = &now.load {
        let earlier = before.load.as_ref().filter(|_| !restarted);
        lines.extend(load_lines(earlier, load, secs, now.now));
    }
    for sink in &now.sinks {
        let same = |earlier: &&Sink| earlier.name == sink.name && !restarted;
        let earlier = before.sinks.iter().find(same);
        lines.push(sink_line(earlier, sink, secs, now.now));
    }
    if let Some(read) = &now.read {
        let state = if read.running { "running" } else { "DOWN" };
        lines.push(format!("read      {state}, {} restarts", read.restarts));
    }
    let earlier = if restarted {
        0.0
    } else {
        before.process.cpu_secs
    };
    lines.push(format!(
        "process   {:.0} % of a core, {} memory, {} threads, {} of {} files",
        (now.process.cpu_secs - earlier).max(0.0) / secs * 100.0,
        bytes(now.process.resident_bytes),
        now.process.threads,
        now.process.open_fds,
        now.process.max_fds
    ));
    lines.push(format!(
        "log       {} errors, {} warnings since the start",
        now.logs.errors, now.logs.warnings
    ));
    for check in now.checks.iter().filter(|check| !check.ok) {
        lines.push(format!(
            "!         {}: {}",
            visible(&check.name),
            visible(&check.detail)
        ));
    }
    lines
}

fn ingest_lines(earlier: Option<&Ingest>, now: &Ingest, secs: f64) -> Vec<String> {
    let rate = |of: fn(&Ingest) -> u64| per_second(of(now), earlier.map_or(0, of), secs);
    let recent = |of: &dyn Fn(&Ingest) -> Histogram| match earlier {
        Some(earlier) => of(now).since(&of(earlier)),
        None => of(now),
    };
    let answers = recent(&|ingest| {
        ingest
            .answer_seconds
            .get("events")
            .cloned()
            .unwrap_or_default()
    });
    let puts = recent(&|ingest| ingest.put_seconds.clone());
    let per_segment = recent(&|ingest| ingest.segment_batches.clone());
    let mut refusals = String::new();
    for (code, count) in now.refusals.iter().filter(|(_, count)| **count > 0) {
        // Writing to a String cannot fail.
        write!(refusals, ", {} {count}", visible(code)).unwrap_or_default();
    }
    let mut lines = vec![
        format!(
            "ingest    {:.1} batches/s, {}/s; answers {}; puts {}; {} batches a segment",
            rate(|ingest| ingest.batches),
            bytes_of(rate(|ingest| ingest.body_bytes)),
            quantiles(&answers),
            quantiles(&puts),
            mean(&per_segment)
        ),
        format!(
            "          {} batches in {} segments, {} in flight{}",
            now.batches,
            now.segments,
            bytes(now.inflight_bytes),
            now.free_bytes.map_or(String::new(), |free| format!(
                ", {} free on the disk",
                bytes(free)
            ))
        ),
    ];
    if !refusals.is_empty() || now.failed_landings > 0 {
        lines.push(format!(
            "          refused{}; {} landings failed",
            if refusals.is_empty() {
                " 0"
            } else {
                refusals.trim_start_matches(',')
            },
            now.failed_landings
        ));
    }
    lines
}

fn load_lines(earlier: Option<&Load>, now: &Load, secs: f64, at: DateTime<Utc>) -> Vec<String> {
    let rate = |of: fn(&Load) -> u64| per_second(of(now), earlier.map_or(0, of), secs);
    vec![
        format!(
            "load      {:.1} events/s, {:.1} alerts/s; lag {:.1} s; backlog {} segments, {}",
            rate(|load| load.events),
            rate(|load| load.alerts),
            now.lag_secs,
            now.backlog.segments,
            bytes(now.backlog.bytes)
        ),
        format!(
            "          {} events, {} alerts, {} duplicates, {} quarantined; {} failures, last pass {}",
            now.events,
            now.alerts,
            now.duplicates,
            now.rejects,
            now.failures,
            ago(now.last_success_at, at)
        ),
    ]
}

fn sink_line(earlier: Option<&Sink>, now: &Sink, secs: f64, at: DateTime<Utc>) -> String {
    let behind: u64 = now.versions_behind.values().sum();
    format!(
        "sink      {}: {:.1} rows/s; {behind} versions behind; {} failures, last delivery {}",
        visible(&now.name),
        per_second(now.rows, earlier.map_or(0, |sink| sink.rows), secs),
        now.failures,
        ago(now.last_success_at, at)
    )
}

#[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
fn per_second(now: u64, before: u64, secs: f64) -> f64 {
    now.saturating_sub(before) as f64 / secs
}

fn quantiles(histogram: &Histogram) -> String {
    match (histogram.quantile(0.5), histogram.quantile(0.99)) {
        (Some(half), Some(most)) => format!("p50 {}, p99 {}", time(half), time(most)),
        _ => "none".to_owned(),
    }
}

/// A bound of the histogram's classes: the value is below it.
fn time(secs: f64) -> String {
    match secs {
        secs if secs.is_infinite() => "> 10 s".to_owned(),
        secs if secs < 1.0 => format!("<= {} ms", secs * 1e3),
        secs => format!("<= {secs} s"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean need not be exact")]
fn mean(histogram: &Histogram) -> String {
    match histogram.count() {
        0 => "0".to_owned(),
        count => format!("{:.1}", histogram.sum / count as f64),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn bytes(bytes: u64) -> String {
    bytes_of(bytes as f64)
}

fn bytes_of(bytes: f64) -> String {
    match bytes {
        bytes if bytes < 1e3 => format!("{bytes:.0} B"),
        bytes if bytes < 1e6 => format!("{:.1} kB", bytes / 1e3),
        bytes if bytes < 1e9 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} GB", bytes / 1e9),
    }
}

fn ago(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    at.map_or("never".to_owned(), |at| format!("{} ago", span(now - at)))
}

fn span(length: TimeDelta) -> String {
    let secs = length.num_seconds().max(0);
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min", secs / 60),
        3_600..172_800 => format!("{} h {} min", secs / 3_600, secs % 3_600 / 60),
        _ => format!("{} d", secs / 86_400),
    }
}
