//! `postlake repair`: what is damaged or missing, made good from what is left.

use std::process::ExitCode;

use postlake_loader::repair::{Repair, RepairReport};
use postlake_loader::{Choice, ReplayReport};
use postlake_serve::visible;
use serde_json::json;

use crate::cli::{RepairArgs, ReportFormat};
use crate::command::load;
use crate::command::output::{print, who};
use crate::command::replay::{self, Deed, complete, replay};
use crate::config::{Flags, Settings};
use crate::exit::{Exit, Failure};
use crate::role::load_failure;
use crate::wire;

pub(crate) async fn run(arguments: RepairArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let repair = Repair {
        raw: wire::raw_store(&settings.data)?,
        lake: wire::lake(&settings.data)?,
        now: wire::clock().now(),
        who: who(),
        dry_run: arguments.dry_run,
    };
    let report = repair
        .run()
        .await
        .map_err(|error| load_failure("repair", error))?;
    let told = arguments.output == ReportFormat::Table;
    if told {
        tell(&report, arguments.dry_run)?;
    }
    let replayed = match arguments.dry_run {
        true => None,
        false => made_good(&settings, &repair, &report, arguments.output).await?,
    };
    match (told, &replayed) {
        (true, Some(replayed)) => replay::tell(replayed, false)?,
        (true, None) => {}
        (false, _) => {
            let object = object(&report, replayed.as_ref(), arguments.dry_run);
            print(&object.to_string())?;
        }
    }
    match (report.hopeless.len(), report.unread.len()) {
        (0, 0) => replayed.map_or(Ok(ExitCode::SUCCESS), |report| complete(&report)),
        (0, unread) => {
            let message = format!("{unread} things cannot be read at present; try again");
            Err(Failure::new(Exit::Unavailable, message))
        }
        (left, _) => {
            let message = format!("{left} things cannot be repaired from what is there");
            Err(Failure::new(Exit::Data, message))
        }
    }
}

/// Loads what was saved, and brings back the rows of files that went.
async fn made_good(
    settings: &Settings,
    repair: &Repair,
    report: &RepairReport,
    output: ReportFormat,
) -> Result<Option<ReplayReport>, Failure> {
    // Also what a pass has begun: its rows in a file that went must be known before the replay.
    if !report.saved.is_empty() || report.owes_replay {
        load::all(&mut wire::loader(settings)?).await?;
    }
    if !report.owes_replay {
        return Ok(None);
    }
    let deed = Deed {
        what: "replay",
        to: vec!["all, for a repair".to_owned()],
        dry_run: false,
        output,
    };
    let replayed = replay(settings, &Choice::default(), deed).await?;
    if replayed.unread_segments == 0 {
        let finished = repair.finish().await;
        finished.map_err(|error| load_failure("note that the repair is done", error))?;
    }
    Ok(Some(replayed))
}

fn tell(report: &RepairReport, dry_run: bool) -> Result<(), Failure> {
    let done = if dry_run { "would be" } else { "was" };
    for name in &report.data_files {
        print(&format!(
            "{}: {done} taken out of the log; its rows come back from raw",
            visible(name)
        ))?;
    }
    for saved in &report.saved {
        let faults = saved.faults.join("; ");
        print(&format!(
            "{}: {} batches {done} copied to {}; the rest: {}",
            saved.from,
            saved.batches,
            saved.to,
            visible(&faults)
        ))?;
    }
    for hopeless in report.hopeless.iter().chain(&report.unread) {
        print(&visible(hopeless))?;
    }
    if report.owes_replay && report.data_files.is_empty() {
        print("a repair was broken off before its replay; that is made up for")?;
    }
    if report == &RepairReport::default() {
        print("nothing is damaged")?;
    }
    Ok(())
}

fn object(
    report: &RepairReport,
    replayed: Option<&ReplayReport>,
    dry_run: bool,
) -> serde_json::Value {
    let saved = report.saved.iter().map(|saved| {
        json!({
            "from": saved.from.to_string(),
            "to": saved.to.to_string(),
            "batches": saved.batches,
            "faults": saved.faults,
        })
    });
    json!({
        "dry_run": dry_run,
        "data_files": report.data_files,
        "saved": saved.collect::<Vec<_>>(),
        "hopeless": report.hopeless,
        "unread": report.unread,
        "owes_replay": report.owes_replay,
        "replay": replayed.map(|report| replay::object(report, false)),
    })
}
