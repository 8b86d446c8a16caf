//! `postlake compact`, `retain`, `vacuum`: the lake, kept.

use std::process::ExitCode;

use chrono::TimeDelta;
use postlake_loader::LoadError;
use postlake_loader::upkeep::{
    self, Bounds, Compacted, RetainReport, RetainedRaw, Retention, VacuumedTable, Vacuuming,
};
use serde_json::{Value, json};

use crate::cli::{CompactArgs, ReportFormat, RetainArgs, VacuumArgs};
use crate::command::output::{Meter, print, say};
use crate::config::{Flags, Settings};
use crate::exit::{Exit, Failure};
use crate::wire;

pub(crate) async fn compact(arguments: CompactArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let (raw, lake) = (
        wire::raw_store(&settings.data)?,
        wire::lake(&settings.data)?,
    );
    let now = wire::clock().now();
    let bounds = Bounds::none(&lake);
    let meter = Meter::new("groups");
    let mut watch = |done: &Compacted| {
        let said = format!("{}, {} rows", done.table.name(), done.amounts.rows_read);
        meter.show(done.groups, done.groups + done.left, said);
    };
    let done = upkeep::compact(&lake, now, &bounds, arguments.dry_run, &mut watch).await;
    meter.clear();
    let done = done.map_err(|error| failed("compact", error))?;
    let segments = upkeep::merge_raw(&raw, &lake, now, &bounds, arguments.dry_run).await;
    let segments = segments.map_err(|error| failed("merge raw segments", error))?;
    if arguments.output == ReportFormat::Json {
        let tables: Vec<Value> = done.iter().map(compacted).collect();
        let report = json!({
            "dry_run": arguments.dry_run,
            "tables": tables,
            "raw": {
                "streams": segments.streams,
                "segments": segments.segments,
                "objects_after": segments.objects,
                "bytes": segments.bytes,
                "segments_unreadable": segments.unreadable,
            },
        });
        print(&report.to_string())?;
        return all_readable(&done);
    }
    for table in &done {
        let (name, amounts) = (table.table.name(), &table.amounts);
        let merged = match arguments.dry_run {
            true => "would be merged",
            false => "merged",
        };
        let after = match arguments.dry_run {
            true => String::new(),
            false => format!(", {} bytes", amounts.bytes_added),
        };
        print(&format!(
            "{name}: {} files of {} bytes {merged} into {}{after}; {} rows",
            amounts.files_removed, amounts.bytes_removed, amounts.files_added, amounts.rows_read
        ))?;
        if table.left > 0 && !arguments.dry_run {
            let left = table.left;
            say(&format!(
                "{name}: {left} groups are left: somebody else is at them"
            ));
        }
    }
    let merged = match arguments.dry_run {
        true => "would be merged",
        false => "merged",
    };
    print(&format!(
        "raw: {} segments of {} bytes of past days {merged} into {} objects",
        segments.segments, segments.bytes, segments.objects
    ))?;
    if segments.unreadable > 0 {
        say(&format!(
            "raw: {} segments cannot be read and stay as they are; see `postlake verify`",
            segments.unreadable
        ));
    }
    all_readable(&done)
}

/// # Errors
/// When files stay as they are because they cannot be read.
fn all_readable(done: &[Compacted]) -> Result<ExitCode, Failure> {
    match done.iter().map(|table| table.unreadable).sum::<u64>() {
        0 => Ok(ExitCode::SUCCESS),
        files => {
            let message = format!(
                "{files} files cannot be read and stay as they are; see `postlake verify` and `repair`"
            );
            Err(Failure::new(Exit::Data, message))
        }
    }
}

fn compacted(done: &Compacted) -> Value {
    json!({
        "table": done.table.name(),
        "groups": done.groups,
        "groups_left": done.left,
        "files_unreadable": done.unreadable,
        "files_before": done.amounts.files_removed,
        "files_after": done.amounts.files_added,
        "bytes_before": done.amounts.bytes_removed,
        "bytes_after": done.amounts.bytes_added,
        "rows": done.amounts.rows_read,
    })
}

pub(crate) async fn retain(arguments: RetainArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let (raw, lake) = (
        wire::raw_store(&settings.data)?,
        wire::lake(&settings.data)?,
    );
    let retention = Retention {
        rules: wire::rules(&settings.keep.rules),
        now: wire::clock().now(),
        clock_is_right: arguments.clock_is_right,
        dry_run: arguments.dry_run,
    };
    if retention.rules.are_none() {
        say("there is no rule under [retention]; everything is kept for ever");
    }
    let done = upkeep::retain(&raw, &lake, &retention).await;
    let done = done.map_err(|error| failed("retain", error))?;
    match arguments.output {
        ReportFormat::Json => print(&retained(&done, arguments.dry_run).to_string())?,
        ReportFormat::Table => tell_retained(&done, arguments.dry_run)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn tell_retained(done: &RetainReport, dry_run: bool) -> Result<(), Failure> {
    let went = match dry_run {
        true => "would go",
        false => "went",
    };
    if let Some(raw) = &done.raw {
        print(&format!(
            "raw: {} days before {} {went}: {} segments of {} bytes",
            raw.days.len(),
            raw.before,
            raw.segments,
            raw.bytes
        ))?;
        if let Some(day) = raw.waits_for {
            say(&format!(
                "raw: {day} has segments that are not loaded; it stays, and so does all after it"
            ));
        }
    }
    for table in &done.tables {
        let (name, before) = (table.table.name(), table.before);
        print(&format!(
            "{name}: what is before {before} {went}: {} rows in {} files of {} bytes",
            table.rows, table.files, table.bytes
        ))?;
    }
    Ok(())
}

fn retained(done: &RetainReport, dry_run: bool) -> Value {
    let raw = |raw: &RetainedRaw| {
        json!({
            "before": raw.before,
            "days": raw.days,
            "segments": raw.segments,
            "bytes": raw.bytes,
            "waits_for": raw.waits_for,
        })
    };
    let tables = done.tables.iter().map(|table| {
        json!({
            "table": table.table.name(),
            "before": table.before,
            "files": table.files,
            "bytes": table.bytes,
            "rows": table.rows,
        })
    });
    json!({
        "dry_run": dry_run,
        "raw": done.raw.as_ref().map(raw),
        "tables": tables.collect::<Vec<_>>(),
    })
}

pub(crate) async fn vacuum(arguments: VacuumArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let (raw, lake) = (
        wire::raw_store(&settings.data)?,
        wire::lake(&settings.data)?,
    );
    let sinks = wire::sinks(&settings)?;
    let keep = arguments.older_than.unwrap_or(settings.keep.vacuum_after);
    let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
    let vacuuming = Vacuuming {
        now: wire::clock().now(),
        keep,
        clock_is_right: arguments.clock_is_right,
        dry_run: arguments.dry_run,
    };
    let done = upkeep::vacuum(&raw, &lake, &sinks, &vacuuming).await;
    let done = done.map_err(|error| failed("vacuum", error))?;
    match arguments.output {
        ReportFormat::Json => {
            let tables: Vec<Value> = done.iter().map(vacuumed).collect();
            let report = json!({ "dry_run": arguments.dry_run, "tables": tables });
            print(&report.to_string())?;
        }
        ReportFormat::Table => {
            for table in &done {
                tell_vacuumed(table, arguments.dry_run)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tell_vacuumed(done: &VacuumedTable, dry_run: bool) -> Result<(), Failure> {
    let (name, went) = (done.table.name(), &done.vacuumed);
    let log = match dry_run {
        true => String::new(),
        false => format!(" and {} entries of the log", went.log_entries),
    };
    let gone = match dry_run {
        true => "would be deleted",
        false => "deleted",
    };
    print(&format!(
        "{name}: {} files of {} bytes{log} {gone}",
        went.files, went.bytes
    ))?;
    if let Some(version) = done.unread_from {
        say(&format!(
            "{name}: a sink has still to read version {version}; nothing from there on goes"
        ));
    }
    Ok(())
}

fn vacuumed(done: &VacuumedTable) -> Value {
    json!({
        "table": done.table.name(),
        "files": done.vacuumed.files,
        "bytes": done.vacuumed.bytes,
        "log_entries": done.vacuumed.log_entries,
        "unread_from": done.unread_from,
    })
}

fn failed(doing: &str, error: LoadError) -> Failure {
    let exit = match &error {
        LoadError::Clock(_) => Exit::TryAgain,
        _ => Exit::Unavailable,
    };
    Failure::caused(exit, doing, error)
}
