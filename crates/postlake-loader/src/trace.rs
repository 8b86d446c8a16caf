//! The spans of a pass, its commits and a delivery, for traces. Their fields are numbers, names of tables and
//! names from the configuration.

use postlake_event::schema::Table;
use postlake_lake::ErrorKind;
use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::error::LoadError;

/// A pass.
pub(crate) fn pass() -> Span {
    info_span!(
        "pass",
        otel.discard = Empty,
        error.type = Empty,
        postlake.segments = Empty,
        postlake.batches = Empty,
        postlake.items = Empty,
        postlake.events = Empty,
        postlake.alerts = Empty,
        postlake.duplicates = Empty,
        postlake.rejects = Empty,
        postlake.blocked_streams = Empty,
    )
}

/// What a pass did. One that had nothing to do is not worth telling.
pub(crate) fn passed(span: &Span, counts: &[(&'static str, u64)]) {
    if counts.iter().all(|(_, count)| *count == 0) {
        span.record("otel.discard", true);
    }
    for (name, count) in counts {
        span.record(*name, *count);
    }
}

/// The commit of a pass to a table.
pub(crate) fn append(table: Table, rows: u64) -> Span {
    info_span!(
        "append",
        otel.name = format!("append {}", table.name()),
        db.collection.name = table.name(),
        postlake.rows = rows,
        error.type = Empty,
    )
}

/// A round of deliveries to a sink.
pub(crate) fn deliver(sink: &str) -> Span {
    info_span!(
        "deliver",
        otel.discard = Empty,
        postlake.sink.name = sink,
        postlake.rows = Empty,
        postlake.versions = Empty,
        error.type = Empty,
    )
}

/// What a round moved: rows and versions. One without any is not worth telling.
pub(crate) fn delivered(span: &Span, moved: (u64, u64), error: Option<&LoadError>) {
    span.record("postlake.rows", moved.0);
    span.record("postlake.versions", moved.1);
    match error {
        Some(error) => failed(span, error),
        None if moved == (0, 0) => drop(span.record("otel.discard", true)),
        None => {}
    }
}

/// Why it failed, in a word: the texts of errors may hold anything.
pub(crate) fn failed(span: &Span, error: &LoadError) {
    let word = match error {
        LoadError::Clock(_) => "clock",
        LoadError::Mark(_) => "mark",
        LoadError::Merge(_) => "merge",
        LoadError::Lake(_) if error.is_conflict() => "conflict",
        LoadError::List(_) => "list",
        LoadError::Read(_) => "read",
        LoadError::Keys(_) => "keys",
        LoadError::Newer { .. } => "newer_release",
        LoadError::Lake(error) if error.kind() == ErrorKind::Newer => "newer_release",
        LoadError::Land(_) => "land",
        LoadError::Copy(_) => "copy",
        LoadError::Lake(_) => "lake",
        LoadError::Rows(_) => "rows",
        LoadError::OtherLake { .. } => "other_lake",
        LoadError::NeedsBackfill { .. } => "needs_backfill",
        LoadError::HalfFilled { .. } => "half_filled",
        LoadError::FilledByOthers { .. } => "filled_by_others",
        LoadError::Sink { .. } => "sink",
        LoadError::Stopped => "stopped",
    };
    span.record("error.type", word);
}
