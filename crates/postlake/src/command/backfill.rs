//! `postlake backfill`: a new or emptied sink, filled from the lake.

use std::process::ExitCode;

use postlake_loader::Delivered;
use postlake_loader::backfill::backfill;
use serde_json::json;

use crate::cli::{BackfillArgs, ReportFormat};
use crate::command::output::{Meter, print, say};
use crate::config::{Flags, Settings};
use crate::exit::{Exit, Failure};
use crate::role::load_failure;
use crate::wire;

pub(crate) async fn run(arguments: BackfillArgs) -> Result<ExitCode, Failure> {
    let mut settings = Settings::read(&Flags::from(&arguments.data))?;
    let names: Vec<_> = settings
        .sinks
        .iter()
        .map(|sink| sink.name.clone())
        .collect();
    settings.sinks.retain(|sink| sink.name == arguments.sink);
    let Some(sink) = wire::sinks(&settings)?.pop() else {
        let message = format!(
            "there is no sink {}; configured are: {}",
            arguments.sink,
            names.join(", ")
        );
        return Err(Failure::new(Exit::Config, message));
    };
    let lake = wire::lake(&settings.data)?;
    let mut delivered = Delivered::default();
    let meter = Meter::new("versions");
    let mut watch = |delivered: &Delivered| {
        let said = format!("{} rows", delivered.rows);
        meter.show(delivered.versions, delivered.versions, said);
    };
    let ended = backfill(&lake, sink.as_ref(), &mut delivered, &mut watch).await;
    meter.clear();
    match arguments.output {
        ReportFormat::Json => print(&object(&delivered).to_string())?,
        ReportFormat::Table => tell(&delivered)?,
    }
    ended.map_err(|error| {
        let doing = "fill the sink; what it holds stands, and the next call goes on from there";
        load_failure(doing, error)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn tell(delivered: &Delivered) -> Result<(), Failure> {
    if delivered.refused > 0 {
        say(&format!(
            "{} rows can never be taken; each is in the log above",
            delivered.refused
        ));
    }
    for reached in &delivered.reached {
        print(&format!(
            "{}: {} of {} versions",
            reached.table.name(),
            reached.sink_versions,
            reached.lake_versions
        ))?;
    }
    print(&format!(
        "{} rows in {} versions delivered",
        delivered.rows, delivered.versions
    ))
}

fn object(delivered: &Delivered) -> serde_json::Value {
    let tables = delivered.reached.iter().map(|reached| {
        json!({
            "table": reached.table.name(),
            "sink_versions": reached.sink_versions,
            "lake_versions": reached.lake_versions,
        })
    });
    json!({
        "rows": delivered.rows,
        "versions": delivered.versions,
        "refused": delivered.refused,
        "tables": tables.collect::<Vec<_>>(),
    })
}
