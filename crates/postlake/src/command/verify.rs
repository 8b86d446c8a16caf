//! `postlake verify`: the books.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use chrono::{DateTime, Utc};
use postlake_loader::books::{Finding, FindingKind, Hour, Progress, Window};
use postlake_loader::{Verification, verify, verify_deep};
use postlake_serve::format::{self, Format};
use postlake_serve::visible;
use serde_json::{Value, json};

use crate::cli::{ReportFormat, VerifyArgs, WindowArgs};
use crate::command::output::{Meter, print, written};
use crate::config::{Flags, Settings};
use crate::exit::{Exit, Failure};
use crate::role::load_failure;
use crate::wire;

pub(crate) async fn run(arguments: VerifyArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let (raw, lake) = (
        wire::raw_store(&settings.data)?,
        wire::lake(&settings.data)?,
    );
    let meter = Meter::new("days");
    let mut watch =
        |progress: &Progress| meter.show(progress.days, progress.of_days, said(progress));
    let window = window(&arguments.window);
    let found = match arguments.deep {
        true => verify_deep(&raw, &lake, window, &mut watch).await,
        false => verify(&raw, &lake, window, &mut watch).await,
    };
    meter.clear();
    let found = found.map_err(|error| load_failure("verify", error))?;
    match arguments.output {
        ReportFormat::Json => print(&report(&found).to_string())?,
        ReportFormat::Table => tell(&found, arguments.ledger)?,
    }
    match found.findings.faults() {
        0 => Ok(ExitCode::SUCCESS),
        1 => Err(Failure::new(Exit::Data, "1 thing does not hold")),
        faults => Err(Failure::new(
            Exit::Data,
            format!("{faults} things do not hold"),
        )),
    }
}

/// The window that arguments name.
pub(crate) fn window(arguments: &WindowArgs) -> Window {
    let now = wire::clock().now();
    Window {
        since: arguments.since.map(|moment| moment.at(now)),
        until: arguments.until.map(|moment| moment.at(now)),
    }
}

fn said(progress: &Progress) -> String {
    format!(
        "{} segments, {} batches, {} findings",
        progress.segments, progress.batches, progress.findings
    )
}

fn tell(found: &Verification, ledger: bool) -> Result<(), Failure> {
    if ledger {
        tell_ledger(found)?;
    }
    for Finding {
        kind,
        place,
        reason,
    } in found.findings.kept()
    {
        let line = format!("{}: {}: {}", kind.name(), visible(place), visible(reason));
        print(&line)?;
    }
    let notes = found.findings.kept().iter();
    let notes = notes.filter(|finding| finding.kind == FindingKind::Note);
    let kept = (found.findings.kept().len() - notes.count()) as u64;
    if kept < found.findings.faults() {
        print(&format!("... and {} more", found.findings.faults() - kept))?;
    }
    let total = found.hours.total();
    print(&format!(
        "{} segments and {} data files read; batches: {} received = {} loaded + {} waiting + {} expired + {} missing",
        found.segments,
        found.data_files,
        total.received_batches,
        total.batches,
        total.waiting_batches,
        total.expired_batches,
        total.missing_batches()
    ))?;
    print(&format!(
        "items: {} received = {} events + {} alerts + {} duplicates + {} quarantined + {} waiting + {} expired + {} missing",
        total.received_items,
        total.events,
        total.alerts,
        total.duplicates,
        total.quarantined,
        total.waiting_items,
        total.expired_items,
        total.missing_items()
    ))
}

fn tell_ledger(found: &Verification) -> Result<(), Failure> {
    let table = ledger(found)
        .map_err(|source| Failure::caused(Exit::Failure, "lay out the ledger", source))?;
    let rows = std::slice::from_ref(&table);
    written(format::write(
        &table.schema(),
        rows,
        Format::Table,
        &mut io::stdout(),
    ))
}

/// Its hours as rows.
fn ledger(found: &Verification) -> Result<RecordBatch, arrow::error::ArrowError> {
    let hours: Vec<(DateTime<Utc>, &Hour)> = found.hours.iter().collect();
    let begins = hours
        .iter()
        .map(|(begin, _)| Some(begin.format("%Y-%m-%d %H:00Z").to_string()));
    let count = |count: fn(&Hour) -> u64| -> ArrayRef {
        Arc::new(
            hours
                .iter()
                .map(|(_, hour)| Some(count(hour)))
                .collect::<UInt64Array>(),
        )
    };
    let missing = |count: fn(&Hour) -> i64| -> ArrayRef {
        Arc::new(
            hours
                .iter()
                .map(|(_, hour)| Some(count(hour)))
                .collect::<Int64Array>(),
        )
    };
    RecordBatch::try_from_iter([
        (
            "hour",
            Arc::new(begins.collect::<StringArray>()) as ArrayRef,
        ),
        ("received_batches", count(|hour| hour.received_batches)),
        ("batches", count(|hour| hour.batches)),
        ("received_items", count(|hour| hour.received_items)),
        ("events", count(|hour| hour.events)),
        ("alerts", count(|hour| hour.alerts)),
        ("duplicates", count(|hour| hour.duplicates)),
        ("quarantined", count(|hour| hour.quarantined)),
        ("waiting_items", count(|hour| hour.waiting_items)),
        ("expired_items", count(|hour| hour.expired_items)),
        ("missing_batches", missing(Hour::missing_batches)),
        ("missing_items", missing(Hour::missing_items)),
    ])
}

fn report(found: &Verification) -> Value {
    let findings = found.findings.kept().iter().map(|finding| {
        json!({ "kind": finding.kind.name(), "place": finding.place, "reason": finding.reason })
    });
    let hours = found.hours.iter();
    let hours = hours.map(|(begin, hour)| json!({ "hour": begin, "books": books(hour) }));
    json!({
        "ok": found.findings.faults() == 0,
        "segments": found.segments,
        "damaged_segments": found.damaged_segments,
        "data_files": found.data_files,
        "data_file_bytes": found.data_file_bytes,
        "total": books(&found.hours.total()),
        "hours": hours.collect::<Vec<_>>(),
        "faults": found.findings.faults(),
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn books(hour: &Hour) -> Value {
    json!({
        "received_batches": hour.received_batches,
        "bytes": hour.bytes,
        "received_items": hour.received_items,
        "waiting_batches": hour.waiting_batches,
        "waiting_items": hour.waiting_items,
        "expired_batches": hour.expired_batches,
        "expired_items": hour.expired_items,
        "batches": hour.batches,
        "events": hour.events,
        "alerts": hour.alerts,
        "duplicates": hour.duplicates,
        "quarantined": hour.quarantined,
        "missing_batches": hour.missing_batches(),
        "missing_items": hour.missing_items(),
        "balanced": hour.balances(),
    })
}
