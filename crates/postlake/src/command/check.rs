//! `postlake check`: the configuration alone, without touching a store, a disk or a port.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::CheckArgs;
use crate::command::output::{print, say};
use crate::config::{Effective, Flags, IngestTls, Settings, effective};
use crate::exit::{Exit, Failure};
use crate::role::exposure_faults;

pub(crate) fn run(arguments: &CheckArgs) -> Result<ExitCode, Failure> {
    let flags = Flags {
        secrets: true,
        traces: true,
        ..Flags::from(&arguments.data)
    };
    let (values, faults) = match Settings::try_read(&flags)? {
        Ok(settings) => {
            for warning in settings.auth.readable_by_others() {
                say(&format!("warning: {warning}"));
            }
            if let Some(warning) = unreachable_for_authority(&settings) {
                say(&format!("warning: {warning}"));
            }
            (effective(&flags, &settings)?, exposure_faults(&settings))
        }
        Err(faults) => (Vec::new(), faults.lines().collect()),
    };
    if arguments.json {
        let report = json!({ "ok": faults.is_empty(), "faults": faults, "values": values });
        print(&report.to_string())?;
    } else {
        tell(&values, &faults)?;
    }
    for warning in unread_variables() {
        say(&format!("warning: {warning}"));
    }
    Ok(if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Exit::Config as u8)
    })
}

fn tell(values: &[Effective], faults: &[String]) -> Result<(), Failure> {
    let width = values
        .iter()
        .map(|value| value.key.len())
        .max()
        .unwrap_or(0);
    for value in values {
        print(&format!(
            "{:<width$}  {}  ({})",
            value.key, value.value, value.from
        ))?;
    }
    if faults.is_empty() {
        say("the configuration is right; `postlake doctor` looks at what is around it");
        return Ok(());
    }
    say("the configuration is not right:");
    for fault in faults {
        say(&format!("  {fault}"));
    }
    Ok(())
}

/// The authority connects from outside to the name's address, port 443.
fn unreachable_for_authority(settings: &Settings) -> Option<String> {
    let address = settings.ingest_listen;
    match &settings.ingest_tls {
        Some(IngestTls::Acme(_)) if address.ip().is_loopback() => Some(format!(
            "ingest.listen: {address} is for this machine alone, and the authority of ingest.tls.acme connects \
             to port 443 of the domains: listen on \"0.0.0.0:443\", or pass that port on as it is (a socket of systemd counts instead of this address)"
        )),
        _ => None,
    }
}

/// Variables that look like keys and are read by nobody: one underscore where two belong.
fn unread_variables() -> Vec<String> {
    let ours = [
        "POSTLAKE_LOG",
        "POSTLAKE_LOG_FORMAT",
        "POSTLAKE_ROLE",
        "POSTLAKE_TRIGGER_SECRET",
    ];
    let mut unread: Vec<_> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("POSTLAKE_") && !name.contains("__"))
        .filter(|name| !name.starts_with("POSTLAKE_TEST_") && !ours.contains(&name.as_str()))
        .map(|name| {
            format!("{name} is not read; a key is written with two underscores, as POSTLAKE_INGEST__LISTEN")
        })
        .collect();
    unread.sort();
    unread
}
