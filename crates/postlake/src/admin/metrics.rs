//! The status as Prometheus reads it. Names and meanings are those of `docs/metrics.md`; a test holds
//! the two against each other.

mod families;

use std::fmt;

use chrono::{DateTime, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use crate::admin::status::{Acme, Connections, Ingest, Load, Process, Read, Sink, Status, Upkeep};
use families::Families;

/// The media type of what [`page`] returns.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The whole page.
///
/// # Errors
/// Never in practice: text is written into memory.
pub(super) fn page(status: Status) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Reading(status)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Reading(Status);

impl Collector for Reading {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Families { encoder };
        let status = &self.0;
        page.gauges(
            "postlake_build_info",
            "Always 1; the label says which release runs",
            [(vec![("version", status.version.as_str())], 1.0)],
        )?;
        page.flag(
            "postlake_ready",
            "1 if the server can do all its roles now",
            status.ready,
        )?;
        if let Some(ingest) = &status.ingest {
            batches(&mut page, ingest)?;
            segments(&mut page, ingest)?;
            room(&mut page, ingest)?;
            connections(&mut page, &ingest.connections)?;
        }
        if let Some(load) = &status.load {
            loaded(&mut page, load)?;
            backlog(&mut page, load)?;
            sinks(&mut page, &status.sinks)?;
            progress(&mut page, &status.sinks)?;
        }
        if let Some(done) = &status.upkeep {
            upkeep(&mut page, done)?;
        }
        if let Some(read) = &status.read {
            reading(&mut page, *read)?;
        }
        page.counters(
            "postlake_log_messages",
            "Lines of the log at this level, those that were left out included",
            [
                (vec![("level", "error")], status.logs.errors),
                (vec![("level", "warn")], status.logs.warnings),
            ],
        )?;
        page.counters(
            "postlake_trace_spans",
            "Spans for the collector of traces, by what became of them; without those of the read process",
            [
                (vec![("outcome", "exported")], status.traces.exported),
                (vec![("outcome", "dropped")], status.traces.dropped),
                (vec![("outcome", "failed")], status.traces.failed),
            ],
        )?;
        process(&mut page, &status.process, status.started_at)
    }
}

fn batches(page: &mut Families<'_>, ingest: &Ingest) -> fmt::Result {
    page.counter(
        "postlake_ingest_batches",
        "Batches acknowledged: durable, and answered 200",
        ingest.batches,
    )?;
    page.counter(
        "postlake_ingest_body_bytes",
        "Bytes of the bodies of acknowledged batches",
        ingest.body_bytes,
    )?;
    page.counter(
        "postlake_ingest_late_batches",
        "Batches that became durable after their request had been answered 503 or had gone",
        ingest.late_batches,
    )?;
    page.counter(
        "postlake_ingest_withdrawn_batches",
        "Batches of events taken out of the queue because nobody waited for them any more",
        ingest.withdrawn_batches,
    )?;
    page.counter(
        "postlake_ingest_rewritten_batches",
        "Batches that became durable after a landing of them had failed",
        ingest.rewritten_batches,
    )?;
    page.counter(
        "postlake_ingest_panics",
        "Requests whose handler panicked",
        ingest.panics,
    )?;
    page.counter(
        "postlake_ingest_alerts_given_up",
        "Alerts lost because the receiver was closed while the store failed",
        ingest.alerts_given_up,
    )?;
    let refusals = ingest.refusals.iter();
    page.counters(
        "postlake_ingest_refusals",
        "Requests that were not acknowledged, by the code of the answer",
        refusals.map(|(code, count)| (vec![("code", code.as_str())], *count)),
    )?;
    let times = ingest.answer_seconds.iter();
    page.histograms(
        "postlake_ingest_answer_seconds",
        "From a request's headers to its answer",
        times.map(|(source, times)| (vec![("source", source.as_str())], times)),
    )
}

fn segments(page: &mut Families<'_>, ingest: &Ingest) -> fmt::Result {
    page.counter(
        "postlake_ingest_segments",
        "Segments that became durable",
        ingest.segments,
    )?;
    let failed = ingest.failed_landings_by.iter();
    page.counters(
        "postlake_ingest_failed_landings",
        "Segments that were not landed, by the cause; each is tried again or refused",
        failed.map(|(cause, count)| (vec![("cause", cause.as_str())], *count)),
    )?;
    let counters = [
        (
            "spoilt_streams",
            "Streams given up because the outcome of a landing was unknown",
            ingest.spoilt_streams,
        ),
        (
            "abandoned_puts",
            "Puts that were not answered in time and go on in the background, or did",
            ingest.abandoned_puts,
        ),
        (
            "reserve_given",
            "Times that space of the reserve was given up for alerts",
            ingest.reserve_given,
        ),
    ];
    page.counters_of("ingest", counters)?;
    page.counter(
        "postlake_ingest_streams",
        "Streams opened; more than one a day means landings with an unknown outcome",
        ingest.streams,
    )?;
    page.histograms(
        "postlake_ingest_put_seconds",
        "Time for the put of a segment to be durable or to fail",
        [(vec![], &ingest.put_seconds)],
    )?;
    page.histograms(
        "postlake_ingest_segment_bytes",
        "Size of the segments that were put",
        [(vec![], &ingest.segment_bytes)],
    )?;
    page.histograms(
        "postlake_ingest_segment_batches",
        "Batches in a durable segment: requests for each sync of the disk",
        [(vec![], &ingest.segment_batches)],
    )
}

fn connections(page: &mut Families<'_>, connections: &Connections) -> fmt::Result {
    page.gauge(
        "postlake_ingest_connections",
        "Connections of the ingest listener that are open",
        number(connections.open),
    )?;
    page.counter(
        "postlake_ingest_connections_accepted",
        "Connections that the ingest listener has taken",
        connections.accepted,
    )?;
    let troubles = connections.troubles.iter();
    page.counters(
        "postlake_ingest_connection_troubles",
        "Connections that were not taken or were closed by the server, by the reason",
        troubles.map(|(reason, count)| (vec![("reason", reason.as_str())], *count)),
    )?;
    page.gauge(
        "postlake_ingest_certificate_end_timestamp_seconds",
        "When the certificate in use ends; 0 without one",
        connections
            .certificate_ends_secs
            .and_then(|secs| u64::try_from(secs).ok())
            .map_or(0.0, number),
    )?;
    page.counter(
        "postlake_ingest_certificate_reloads",
        "New certificates taken into use",
        connections.certificate_reloads,
    )?;
    page.counter(
        "postlake_ingest_certificate_reload_failures",
        "New certificates refused; the old one stays in use",
        connections.certificate_reload_failures,
    )?;
    authority(page, connections.acme.unwrap_or_default())
}

fn authority(page: &mut Families<'_>, acme: Acme) -> fmt::Result {
    page.counter(
        "postlake_ingest_acme_orders",
        "Certificates that the authority has given",
        acme.orders,
    )?;
    page.counter(
        "postlake_ingest_acme_failures",
        "Attempts to get a certificate that brought none",
        acme.failures,
    )?;
    page.counter(
        "postlake_ingest_acme_challenges_answered",
        "Handshakes in which the authority got its answer",
        acme.challenges_answered,
    )?;
    page.gauge(
        "postlake_ingest_acme_next_attempt_timestamp_seconds",
        "When the authority is asked next; 0 without one",
        u64::try_from(acme.next_at_secs).map_or(0.0, number),
    )
}

fn room(page: &mut Families<'_>, ingest: &Ingest) -> fmt::Result {
    page.flag(
        "postlake_ingest_ready",
        "1 if readyz of the ingest listener says 200",
        ingest.ready,
    )?;
    page.flag(
        "postlake_ingest_events_held",
        "1 while events are held back because the disk is nearly full",
        ingest.events_held,
    )?;
    page.gauge(
        "postlake_ingest_inflight_bytes",
        "Bytes of bodies that are being read or wait to be durable",
        number(ingest.inflight_bytes),
    )?;
    match ingest.free_bytes {
        Some(bytes) => page.gauge(
            "postlake_store_free_bytes",
            "Free space where the data lies; absent on S3",
            number(bytes),
        ),
        None => Ok(()),
    }
}

fn loaded(page: &mut Families<'_>, load: &Load) -> fmt::Result {
    let counters = [
        ("passes", "Passes that ended well", load.passes),
        (
            "failures",
            "Passes that failed and were tried again",
            load.failures,
        ),
        (
            "conflicts",
            "Passes that another loader turned back",
            load.conflicts,
        ),
        ("segments", "Segments loaded", load.segments),
        (
            "damaged_segments",
            "Segments that could not be read and were quarantined",
            load.damaged_segments,
        ),
        ("batches", "Batches loaded", load.batches),
        (
            "duplicates",
            "Items that the lake held before",
            load.duplicates,
        ),
    ];
    page.counters_of("load", counters)?;
    page.counters(
        "postlake_load_rows",
        "Rows loaded, by table; those of quarantine are items that could not be decoded",
        [
            (vec![("table", "events")], load.events),
            (vec![("table", "alerts")], load.alerts),
            (vec![("table", "quarantine")], load.rejects),
        ],
    )?;
    let versions = load.lake_versions.iter();
    page.gauges(
        "postlake_lake_version",
        "Version of the log of a table",
        versions.map(|(table, version)| (vec![("table", table.as_str())], number(*version))),
    )
}

fn backlog(page: &mut Families<'_>, load: &Load) -> fmt::Result {
    let gauges = [
        (
            "blocked_streams",
            "Streams that are passed over at present",
            number(load.blocked_streams),
        ),
        (
            "backlog_streams",
            "Streams with segments that are not loaded",
            number(load.backlog.streams),
        ),
        (
            "backlog_segments",
            "Segments that are not loaded, as last listed",
            number(load.backlog.segments),
        ),
        (
            "backlog_bytes",
            "Bytes of the segments that are not loaded",
            number(load.backlog.bytes),
        ),
        (
            "lag_seconds",
            "Age of the oldest segment that is not loaded; 0 without one",
            load.lag_secs,
        ),
        (
            "last_success_timestamp_seconds",
            "When a pass last ended well; 0 before the first",
            timestamp(load.last_success_at),
        ),
    ];
    for (name, help, value) in gauges {
        page.gauge(&format!("postlake_load_{name}"), help, value)?;
    }
    Ok(())
}

fn of_sink(sink: &Sink) -> Vec<(&'static str, &str)> {
    vec![("sink", sink.name.as_str())]
}

fn sinks(page: &mut Families<'_>, sinks: &[Sink]) -> fmt::Result {
    page.counters(
        "postlake_sink_rows",
        "Rows delivered",
        sinks.iter().map(|sink| (of_sink(sink), sink.rows)),
    )?;
    page.counters(
        "postlake_sink_versions",
        "Versions with rows delivered",
        sinks.iter().map(|sink| (of_sink(sink), sink.versions)),
    )?;
    page.counters(
        "postlake_sink_refused_rows",
        "Rows that the sink's destination never takes, each in the log",
        sinks.iter().map(|sink| (of_sink(sink), sink.refused)),
    )?;
    page.counters(
        "postlake_sink_failures",
        "Rounds of deliveries that failed",
        sinks.iter().map(|sink| (of_sink(sink), sink.failures)),
    )
}

fn progress(page: &mut Families<'_>, sinks: &[Sink]) -> fmt::Result {
    let success = |sink: &Sink| timestamp(sink.last_success_at);
    page.gauges(
        "postlake_sink_last_success_timestamp_seconds",
        "When a round of deliveries last ended well; 0 before the first",
        sinks.iter().map(|sink| (of_sink(sink), success(sink))),
    )?;
    let failure = |sink: &Sink| timestamp(sink.last_failure_at);
    page.gauges(
        "postlake_sink_last_failure_timestamp_seconds",
        "When a round of deliveries last failed; 0 if none did",
        sinks.iter().map(|sink| (of_sink(sink), failure(sink))),
    )?;
    page.gauges(
        "postlake_sink_versions_behind",
        "Versions of a table that the sink does not hold",
        sinks.iter().flat_map(|sink| {
            sink.versions_behind.iter().map(|(table, versions)| {
                let mut labels = of_sink(sink);
                labels.push(("table", table.as_str()));
                (labels, number(*versions))
            })
        }),
    )
}

fn upkeep(page: &mut Families<'_>, done: &Upkeep) -> fmt::Result {
    let counters = [
        (
            "files_merged",
            "Data files that were merged into larger ones",
            done.files_merged,
        ),
        (
            "bytes_merged",
            "Bytes of data files that were merged",
            done.bytes_merged,
        ),
        (
            "segments_merged",
            "Raw segments that were merged",
            done.segments_merged,
        ),
        (
            "rows_expired",
            "Rows that were let go by their rule",
            done.rows_expired,
        ),
        (
            "days_retired",
            "Raw days that were let go",
            done.days_retired,
        ),
        (
            "files_deleted",
            "Data files that were deleted",
            done.files_deleted,
        ),
        (
            "bytes_deleted",
            "Bytes of data files that were deleted",
            done.bytes_deleted,
        ),
    ];
    page.counters_of("upkeep", counters)?;
    page.counters(
        "postlake_upkeep_failures",
        "Jobs of the upkeep that failed; they are tried again",
        done.jobs
            .iter()
            .map(|(name, job)| (vec![("job", name.as_str())], job.failures)),
    )?;
    page.gauges(
        "postlake_upkeep_last_success_timestamp_seconds",
        "When a job of the upkeep last ended well; 0 before the first",
        done.jobs
            .iter()
            .map(|(name, job)| (vec![("job", name.as_str())], timestamp(job.last_success_at))),
    )
}

fn reading(page: &mut Families<'_>, read: Read) -> fmt::Result {
    page.flag(
        "postlake_read_up",
        "1 while the read process runs",
        read.running,
    )?;
    page.counter(
        "postlake_read_restarts",
        "Ends of the read process",
        read.restarts,
    )
}

/// The usual names of every Prometheus client.
fn process(page: &mut Families<'_>, process: &Process, started_at: DateTime<Utc>) -> fmt::Result {
    page.seconds(
        "process_cpu_seconds",
        "User and system time of this process, without the read process",
        process.cpu_secs,
    )?;
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Memory of this process",
            number(process.resident_bytes),
        ),
        (
            "process_threads",
            "Threads of this process",
            number(process.threads),
        ),
        (
            "process_open_fds",
            "Open files of this process",
            number(process.open_fds),
        ),
        (
            "process_max_fds",
            "Most open files that the system allows",
            number(process.max_fds),
        ),
        (
            "process_start_time_seconds",
            "When this process was started",
            timestamp(Some(started_at)),
        ),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, help, value)?;
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus holds every value as a float"
)]
fn number(value: u64) -> f64 {
    value as f64
}

fn timestamp(at: Option<DateTime<Utc>>) -> f64 {
    at.map_or(0.0, |at| (at - DateTime::UNIX_EPOCH).as_seconds_f64())
}
