//! `postlake load`: one round of passes and deliveries, for cron and for scripts.

use std::process::ExitCode;

use postlake_loader::{Delivered, Loader, PassReport, deliver_pending};

use crate::cli::LoadArgs;
use crate::command::output::{print, say};
use crate::config::{Flags, Settings};
use crate::exit::Failure;
use crate::role::load_failure;
use crate::wire;

/// Passes that another loader may turn back before this one gives up.
const CONFLICTS: u32 = 20;

pub(crate) async fn run(arguments: LoadArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Flags {
        traces: true,
        ..Flags::from(&arguments.data)
    })?;
    load(&settings).await?;
    Ok(ExitCode::SUCCESS)
}

/// Loads what was received, gives it to the sinks, and says how much that was.
pub(super) async fn load(settings: &Settings) -> Result<(), Failure> {
    let total = all(&mut wire::loader(settings)?).await?;
    let lake = wire::lake(&settings.data)?;
    for sink in wire::sinks(settings)? {
        let mut delivered = Delivered::default();
        deliver_pending(&lake, sink.as_ref(), &mut delivered)
            .await
            .map_err(|error| load_failure("deliver", error))?;
        say(&format!(
            "sink {}: {} rows in {} versions",
            sink.name(),
            delivered.rows,
            delivered.versions
        ));
        if delivered.refused > 0 {
            say(&format!(
                "sink {}: {} rows can never be taken; each is in the log above",
                sink.name(),
                delivered.refused
            ));
        }
    }
    if total.damaged_segments > 0 {
        say(&format!(
            "{} raw segments cannot be read; see SELECT message FROM quarantine WHERE code = 'segment'",
            total.damaged_segments
        ));
    }
    print(&format!(
        "loaded {} batches from {} segments: {} items = {} events + {} alerts + {} duplicates + {} quarantined",
        total.batches,
        total.segments,
        total.items,
        total.events,
        total.alerts,
        total.duplicates,
        total.rejects
    ))
}

/// Pass after pass until nothing is left.
///
/// # Errors
/// When a pass fails, or others are always faster.
pub(super) async fn all(loader: &mut Loader) -> Result<PassReport, Failure> {
    let mut total = PassReport::default();
    let mut conflicts = 0;
    loop {
        match loader.pass().await {
            Ok(report) => {
                add(&mut total, &report);
                if !report.more {
                    return Ok(total);
                }
            }
            Err(error) if error.is_conflict() && conflicts < CONFLICTS => conflicts += 1,
            Err(error) => return Err(load_failure("load", error)),
        }
    }
}

fn add(total: &mut PassReport, report: &PassReport) {
    total.segments += report.segments;
    total.damaged_segments += report.damaged_segments;
    total.batches += report.batches;
    total.items += report.items;
    total.events += report.events;
    total.alerts += report.alerts;
    total.duplicates += report.duplicates;
    total.rejects += report.rejects;
}
