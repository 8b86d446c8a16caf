//! `postlake replay`: raw segments through this release once more.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use postlake_loader::{Choice, ItemPlace, LoadError, PassReport, Replay, ReplayReport};
use postlake_raw::{AuditEntry, SegmentKey};
use serde_json::json;

use crate::cli::{ReplayArgs, ReportFormat};
use crate::command::load;
use crate::command::output::{Meter, print, say, who};
use crate::command::quarantine::places_of_batch;
use crate::command::verify::window;
use crate::config::{Flags, Settings};
use crate::exit::{Exit, Failure};
use crate::role::load_failure;
use crate::wire;

pub(crate) async fn run(arguments: ReplayArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let named = arguments.all
        || !arguments.segment.is_empty()
        || arguments.batch.is_some()
        || arguments.window.since.is_some()
        || arguments.window.until.is_some();
    if !named {
        let message = "say what to replay: --all, --segment, --batch, or --since and --until";
        return Err(Failure::new(Exit::Usage, message));
    }
    if !arguments.dry_run {
        loaded(&settings).await?;
    }
    let choice = chosen(&arguments, &settings).await?;
    let deed = Deed {
        what: "replay",
        to: words(&arguments),
        dry_run: arguments.dry_run,
        output: arguments.output,
    };
    replay_and_tell(&settings, &choice, deed).await
}

/// What was not loaded yet is loaded first.
async fn loaded(settings: &Settings) -> Result<PassReport, Failure> {
    let mut loader = wire::loader(settings)?;
    load::all(&mut loader).await
}

/// What a replay is for, and how it is told.
pub(super) struct Deed {
    pub(super) what: &'static str,
    pub(super) to: Vec<String>,
    pub(super) dry_run: bool,
    pub(super) output: ReportFormat,
}

/// Replays what is chosen, with a note in the audit log before and a report after it.
pub(super) async fn replay_and_tell(
    settings: &Settings,
    choice: &Choice,
    deed: Deed,
) -> Result<ExitCode, Failure> {
    let (dry_run, output) = (deed.dry_run, deed.output);
    let report = replay(settings, choice, deed).await?;
    match output {
        ReportFormat::Json => print(&object(&report, dry_run).to_string())?,
        ReportFormat::Table => tell(&report, dry_run)?,
    }
    complete(&report)
}

/// # Errors
/// When segments were passed over.
pub(super) fn complete(report: &ReplayReport) -> Result<ExitCode, Failure> {
    match report.unread_segments {
        0 => Ok(ExitCode::SUCCESS),
        unread => {
            let message = format!(
                "{unread} segments cannot be read at present; what could be done stands, try again"
            );
            Err(Failure::new(Exit::Unavailable, message))
        }
    }
}

/// Replays what is chosen, with a note in the audit log before.
pub(super) async fn replay(
    settings: &Settings,
    choice: &Choice,
    deed: Deed,
) -> Result<ReplayReport, Failure> {
    let raw = wire::raw_store(&settings.data)?;
    let now = wire::clock().now();
    if !deed.dry_run {
        let entry = AuditEntry {
            at: now,
            who: who(),
            what: deed.what.to_owned(),
            to: deed.to,
            why: None,
        };
        let noted = raw.note(&entry).await;
        noted.map_err(|source| Failure::caused(Exit::Io, "write to the audit log", source))?;
    }
    let replay = Replay {
        raw,
        lake: wire::lake(&settings.data)?,
        now,
        keys: wire::key_limits(settings),
        rules: wire::rules(&settings.keep.rules),
        dry_run: deed.dry_run,
    };
    let meter = Meter::new("segments");
    let mut watch = |report: &ReplayReport| {
        let said = format!("{} batches, {} items", report.batches, report.items);
        meter.show(report.segments, report.segments, said);
    };
    let report = replay.run(choice, &mut watch).await;
    meter.clear();
    report.map_err(failed)
}

fn failed(error: LoadError) -> Failure {
    match error {
        error if error.is_conflict() => {
            let doing = "replay while others commit; what was done stands, try again";
            Failure::caused(Exit::TryAgain, doing, error)
        }
        error => load_failure("replay", error),
    }
}

async fn chosen(arguments: &ReplayArgs, settings: &Settings) -> Result<Choice, Failure> {
    let mut choice = Choice::default();
    if let Some(batch) = &arguments.batch {
        let places = places_of_batch(settings, batch).await?;
        if places.is_empty() {
            let message = format!("no batch with the id {batch} was loaded");
            return Err(Failure::new(Exit::Data, message));
        }
        choice = Choice::of_places(places);
    }
    if !arguments.segment.is_empty() {
        let mut only = BTreeMap::<SegmentKey, Option<BTreeSet<i64>>>::new();
        for text in &arguments.segment {
            only.insert(segment(text)?, None);
        }
        choice.only = Some(only);
    }
    choice.window = window(&arguments.window);
    Ok(choice)
}

fn segment(text: &str) -> Result<SegmentKey, Failure> {
    if let Ok(key) = SegmentKey::parse(text) {
        return Ok(key);
    }
    match text.parse::<ItemPlace>() {
        Ok(place) if place.batch_index.is_none() => Ok(place.segment),
        _ => {
            let message =
                format!("`{text}` is no segment; write its object's name, or <stream>/<segment>");
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

fn words(arguments: &ReplayArgs) -> Vec<String> {
    let mut words: Vec<String> = arguments.segment.clone();
    words.extend(arguments.all.then(|| "all".to_owned()));
    words.extend(arguments.batch.iter().map(|id| format!("batch {id}")));
    let window = window(&arguments.window);
    words.extend(window.since.map(|at| format!("since {}", at.to_rfc3339())));
    words.extend(window.until.map(|at| format!("until {}", at.to_rfc3339())));
    words
}

pub(super) fn tell(report: &ReplayReport, dry_run: bool) -> Result<(), Failure> {
    for (segments, what) in [
        (
            report.damaged_segments,
            "cannot be decoded; see `postlake verify`",
        ),
        (report.missing_segments, "are not there"),
        (report.unread_segments, "cannot be read at present"),
        (
            report.waiting_segments,
            "are not loaded yet and were left to the loader",
        ),
    ] {
        if segments > 0 {
            say(&format!("{segments} segments {what}"));
        }
    }
    let done = if dry_run { "would be" } else { "were" };
    print(&format!(
        "{} items of {} batches in {} segments: {} as they are, {} duplicates, {} of days that were let go",
        report.items,
        report.batches,
        report.segments,
        report.same,
        report.duplicates,
        report.expired
    ))?;
    if report.changes_nothing() {
        return print("nothing to do: the lake holds what this release makes of them");
    }
    print(&format!(
        "{} events and {} alerts {done} added, {} rows replaced, {} removed; \
         quarantine: {} released, {} added; {} accounts of batches set right",
        report.events_added,
        report.alerts_added,
        report.replaced,
        report.removed,
        report.released,
        report.quarantined,
        report.accounts
    ))
}

pub(super) fn object(report: &ReplayReport, dry_run: bool) -> serde_json::Value {
    json!({
        "dry_run": dry_run,
        "segments": report.segments,
        "damaged_segments": report.damaged_segments,
        "missing_segments": report.missing_segments,
        "unread_segments": report.unread_segments,
        "waiting_segments": report.waiting_segments,
        "batches": report.batches,
        "items": report.items,
        "same": report.same,
        "duplicates": report.duplicates,
        "expired": report.expired,
        "events_added": report.events_added,
        "alerts_added": report.alerts_added,
        "replaced": report.replaced,
        "removed": report.removed,
        "released": report.released,
        "quarantined": report.quarantined,
        "accounts": report.accounts,
    })
}
