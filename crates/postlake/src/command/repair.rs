//! `postlake repair`: what is damaged or missing, made good from what is left.

use std::process::ExitCode;

use postlake_loader::Choice;
use postlake_loader::repair::{Repair, RepairReport};
use postlake_serve::visible;
use serde_json::json;

use crate::cli::{RepairArgs, ReportFormat};
use crate::command::load;
use crate::command::output::{print, who};
use crate::command::replay::{Deed, replay};
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
    match arguments.output {
        ReportFormat::Json => print(&object(&report, arguments.dry_run).to_string())?,
        ReportFormat::Table => tell(&report, arguments.dry_run)?,
    }
    // Also what a pass has begun: its rows in a file that went must be known before the replay.
    let anything = !report.saved.is_empty() || !report.data_files.is_empty();
    if !arguments.dry_run && anything {
        load::all(&mut wire::loader(&settings)?).await?;
    }
    if !arguments.dry_run && !report.data_files.is_empty() {
        let deed = Deed {
            what: "replay",
            to: vec!["all, for a repair".to_owned()],
            dry_run: false,
            output: arguments.output,
        };
        replay(&settings, &Choice::default(), deed).await?;
    }
    match report.hopeless.len() {
        0 => Ok(ExitCode::SUCCESS),
        left => {
            let message = format!("{left} things cannot be repaired from what is there");
            Err(Failure::new(Exit::Data, message))
        }
    }
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
    for hopeless in &report.hopeless {
        print(&visible(hopeless))?;
    }
    if report == &RepairReport::default() {
        print("nothing is damaged")?;
    }
    Ok(())
}

fn object(report: &RepairReport, dry_run: bool) -> serde_json::Value {
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
    })
}
