//! `postlake import`: objects of the receivers that came before, loaded like anything that is received.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use postlake_lake::DataUrl;
use postlake_raw::SourceKind;
use postlake_raw::import::{Imported, Left, MAX_NAMED, Source, import};

use crate::cli::{ImportArgs, ImportKind};
use crate::command::load::load;
use crate::command::output::{print, say};
use crate::config::{Flags, Settings};
use crate::data_lock::create_synced;
use crate::exit::{Exit, Failure};
use crate::wire;

/// How often a terminal is told that something is done.
const TICK: Duration = Duration::from_millis(200);

pub(crate) async fn run(arguments: ImportArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let from = DataUrl::parse(&arguments.from)
        .map_err(|source| Failure::caused(Exit::Data, "read what to import", source))?;
    refuse_own(&from, &settings.data)?;
    if let Some(directory) = settings.data.directory() {
        create_synced(directory).map_err(|source| {
            let doing = format!("use {} as data directory", directory.display());
            Failure::caused(Exit::CannotCreate, doing, source)
        })?;
    }
    let source = Source {
        store: wire::import_store(&from)?,
        address: from.to_string(),
        kind: arguments.kind.map(|kind| match kind {
            ImportKind::Events => SourceKind::Event,
            ImportKind::Alerts => SourceKind::Alert,
        }),
    };
    let raw = wire::raw_store(&settings.data)?;
    let bar = bar();
    let imported = import(&source, &raw, wire::clock().as_ref(), &mut |so_far| {
        bar.set_message(told(so_far));
    })
    .await;
    bar.finish_and_clear();
    let imported = imported.map_err(|source| {
        let doing = format!("import {from} (run it again: it goes on where it was)");
        Failure::caused(Exit::Unavailable, doing, source)
    })?;
    tell(&from, &imported)?;
    load(&settings).await?;
    match imported.unread.count {
        0 => Ok(ExitCode::SUCCESS),
        count => {
            let message = format!("{count} objects could not be read; run it again for them");
            Err(Failure::new(Exit::Unavailable, message))
        }
    }
}

/// What postlake has written is not what others have received.
fn refuse_own(from: &DataUrl, data: &DataUrl) -> Result<(), Failure> {
    let within = |inner: &Path, outer: &Path| inner.starts_with(outer) || outer.starts_with(inner);
    let overlap = match (from.directory(), data.directory(), from.s3(), data.s3()) {
        (Some(from), Some(data), ..) => within(from, data),
        (.., Some((bucket, from)), Some((ours, data))) => {
            bucket == ours && within(Path::new(from), Path::new(data))
        }
        _ => false,
    };
    match overlap {
        false => Ok(()),
        true => Err(Failure::new(
            Exit::Data,
            format!(
                "{from} and the data at {data} lie within each other; name the folder of the objects alone"
            ),
        )),
    }
}

/// Drawn on a terminal only.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}

fn told(imported: &Imported) -> String {
    let new = imported.events + imported.alerts;
    let bytes = HumanBytes(imported.bytes);
    format!("{new} objects, {bytes}; {} were there", imported.known)
}

fn tell(from: &DataUrl, imported: &Imported) -> Result<(), Failure> {
    name("passed over", &imported.passed_over);
    name("could not be read", &imported.unread);
    print(&format!(
        "imported {} objects from {from}: {} batches of events + {} of alerts; {} were there, {} passed over, {} could not be read",
        imported.events + imported.alerts,
        imported.events,
        imported.alerts,
        imported.known,
        imported.passed_over.count,
        imported.unread.count
    ))
}

fn name(what: &str, left: &Left) {
    for (object, reason) in &left.named {
        let object = postlake_listen::visible(object);
        let reason = postlake_listen::visible(reason);
        say(&format!("{what}: {object}: {reason}"));
    }
    if left.count > MAX_NAMED as u64 {
        say(&format!(
            "{what}: and {} more",
            left.count - MAX_NAMED as u64
        ));
    }
}
