//! The page: what each figure is called, and the tables.

use super::{Compared, OPEN_SHARE, Profile};
use crate::bench::Effort;
use crate::bench::figures::short;
use crate::bench::report::Section;

/// Key in the results, and what it is.
type Label = (&'static str, &'static str);

const LOAD_LABELS: &[Label] = &[
    ("requests_per_second", "requests/s"),
    ("megabytes_per_second", "MB/s of bodies"),
    ("events_per_second", "events/s"),
    ("p50_ms", "latency p50, ms"),
    ("p99_ms", "latency p99, ms"),
    ("max_ms", "latency max, ms"),
    ("not_200", "answers other than 200, broken connections"),
    ("lost", "answered 200 and not stored"),
    ("server_cores", "cores busy, server"),
    ("generator_cores", "cores busy, load generator"),
    ("other_cores", "cores busy, everybody else on the machine"),
    (
        "cpu_seconds_per_million_events",
        "server CPU seconds per million events",
    ),
    (
        "cpu_seconds_per_gigabyte",
        "server CPU seconds per GB of bodies",
    ),
    ("peak_rss_mib", "peak RSS, MiB"),
    ("requests_per_segment", "requests per segment"),
    (
        "requests_per_sync",
        "requests per sync (two for each segment)",
    ),
    ("segments_per_second", "segments/s"),
    ("compression_ratio", "bytes of bodies per byte stored"),
];

const DISK_LABELS: &[Label] = &[
    (
        "append_64_kib_p50_ms",
        "append of 64 KiB and fdatasync, p50 (F50), ms",
    ),
    ("append_64_kib_p99_ms", "the same, p99 (F99), ms"),
    ("append_64_kib_megabytes_per_second", "the same, MB/s"),
    (
        "append_1_mib_p50_ms",
        "append of 1 MiB and fdatasync, p50, ms",
    ),
    ("append_1_mib_p99_ms", "the same, p99, ms"),
    ("append_1_mib_megabytes_per_second", "the same, MB/s"),
    (
        "segments_p50_ms",
        "a segment as the receiver lands it (file and folder synced), p50, ms",
    ),
    ("segments_p99_ms", "the same, p99, ms"),
    ("segments_megabytes_per_second", "the same, MB/s of bodies"),
    ("batches_per_segment", "batches in that segment"),
    (
        "hash_megabytes_per_second",
        "SHA-256 alone, one core, MB/s of bodies",
    ),
    (
        "encode_megabytes_per_second",
        "hash and compress alone, one core, MB/s of bodies",
    ),
];

const RATIO_LABELS: &[Label] = &[
    ("requests_to_bare", "requests/s: postlake / bare hyper"),
    (
        "requests_per_cpu_to_bare",
        "requests for the same server CPU: postlake / bare hyper",
    ),
    (
        "most_at_equal_cpu",
        "the most of that which hashing and compressing leave",
    ),
    (
        "cpu_to_bare",
        "server CPU per request: postlake / bare hyper",
    ),
    ("p50_to_bare", "latency p50: postlake / bare hyper"),
    ("p99_to_bare", "latency p99: postlake / bare hyper"),
    (
        "bytes_to_append",
        "MB/s of bodies: postlake / append of 1 MiB and fdatasync",
    ),
    (
        "bytes_to_segments",
        "MB/s of bodies: postlake / landing the same segments and nothing else",
    ),
    ("p50_to_sync", "latency p50: postlake / F50"),
    ("p99_to_sync", "latency p99: postlake / F99"),
];

pub(super) const FRESH_WORDS: &str = "The batches of the first table, a new connection for each, closed after \
    its answer (`Connection: close`), 64 at a time; on each TLS 1.3 with a whole handshake (ECDSA on P-256, no \
    session is resumed). Bare hyper speaks it too; the generator's half of the handshakes is in its cores.";

pub(super) const LONE_WORDS: &str = "One connection, 20 requests a second of 101 events each, open loop: what a \
    batch waits when nobody else is there. F50 and F99 are the disk's, measured between the runs.";

pub(super) fn closed_words(profile: Profile, body_bytes: f64, effort: Effort) -> String {
    format!(
        "{} keep-alive connections, each sends its next batch when the last is answered; {} events in a \
         batch, {} bytes on average, different bodies. {} rounds of {} s, order changed from round to round; \
         median (least to most). `postlake serve --role receive` answers after the segment is synced; it is \
         killed with SIGKILL after each round, and then every batch that was answered 200 is looked for \
         in the store, its hash compared. Bare hyper reads each body and drops it. One segment costs two syncs, of the file \
         and of its folder. Generator, server and whoever else is on the machine share its cores.",
        profile.connections,
        profile.events,
        short(body_bytes),
        effort.rounds,
        effort.seconds
    )
}

pub(super) fn open_words(rate: f64) -> String {
    format!(
        "The same batches at a fixed {} requests a second, {:.0} % of postlake's closed loop, whatever the answers do. \
         Latency counts from when a request was due (coordinated omission corrected), to within the \
         generator's timer of 1 ms.",
        short(rate),
        OPEN_SHARE * 100.0
    )
}

pub(super) fn section(compared: &Compared, title: &str, words: &str) -> Section {
    let both = !compared.bare.is_empty();
    let mut rows = Vec::new();
    for (key, label) in LOAD_LABELS {
        let (one, other) = (compared.postlake.text(key), compared.bare.text(key));
        if one.is_some() || other.is_some() {
            let dash = || "-".to_owned();
            let mut row = vec![(*label).to_owned(), one.unwrap_or_else(dash)];
            row.extend(both.then(|| other.unwrap_or_else(dash)));
            rows.push(row);
        }
    }
    for (key, label) in RATIO_LABELS {
        if let Some(text) = compared.ratios.text(key) {
            let mut row = vec![format!("**{label}**"), text];
            row.extend(both.then(String::new));
            rows.push(row);
        }
    }
    let mut head = vec![String::new(), "postlake".to_owned()];
    head.extend(both.then(|| "bare hyper".to_owned()));
    Section {
        title: title.to_owned(),
        words: words.to_owned(),
        head,
        rows,
    }
}

pub(super) fn disk_section(compared: &Compared) -> Section {
    let row = |(key, label): &Label| Some(vec![(*label).to_owned(), compared.disk.text(key)?]);
    Section {
        title: "The bare disk".to_owned(),
        words: "Measured in the same rounds, nothing else running. Segments hold as many of the same batches as \
                postlake's own held in that round; hashing and compression are done before the clock starts."
            .to_owned(),
        head: vec![String::new(), "disk".to_owned()],
        rows: DISK_LABELS.iter().filter_map(row).collect(),
    }
}
