//! `postlake doctor`: what is around the configuration. Nothing that it finds is repaired, nothing that
//! it writes stays, no secret is shown.

mod acme;
mod certificate;
mod clock;
mod disk;
mod ports;
mod secrets;
mod store;

use std::process::ExitCode;

use console::style;
use postlake_serve::visible;
use serde::Serialize;
use serde_json::json;

use crate::cli::DoctorArgs;
use crate::command::output::print;
use crate::config::{Flags, IngestTls, Settings, named_files};
use crate::exit::{Exit, Failure};
use crate::role::exposure_faults;

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    /// What was looked at, in a word or two; stable.
    check: &'static str,
    /// Which one of it: a key, a path, an address.
    place: String,
    /// What was found.
    found: String,
    /// What to do about it; empty when all is well.
    advice: String,
    /// How the process ends if this is the worst of its kind.
    #[serde(skip)]
    exit: Exit,
}

impl Finding {
    fn ok(check: &'static str, place: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding {
            level: Level::Ok,
            check,
            place: place.into(),
            found: found.into(),
            advice: String::new(),
            exit: Exit::Unavailable,
        }
    }

    fn warn(self, advice: impl Into<String>) -> Finding {
        Finding {
            level: Level::Warn,
            advice: advice.into(),
            ..self
        }
    }

    /// Something around us is wrong.
    fn fail(self, advice: impl Into<String>) -> Finding {
        Finding {
            level: Level::Fail,
            advice: advice.into(),
            ..self
        }
    }

    /// The configuration asks for it.
    fn misconfigured(self, advice: impl Into<String>) -> Finding {
        Finding {
            exit: Exit::Config,
            ..self.fail(advice)
        }
    }
}

pub(crate) async fn run(arguments: DoctorArgs) -> Result<ExitCode, Failure> {
    let flags = Flags {
        secrets: true,
        ..Flags::from(&arguments.data)
    };
    let findings = match Settings::try_read(&flags)? {
        Ok(settings) => examine(&settings, &flags).await?,
        Err(faults) => faults
            .lines()
            .map(|fault| {
                Finding::ok("configuration", "", fault).misconfigured("see `postlake check`")
            })
            .collect(),
    };
    if arguments.json {
        let ok = findings.iter().all(|finding| finding.level != Level::Fail);
        print(&json!({ "ok": ok, "findings": findings }).to_string())?;
    } else {
        for finding in &findings {
            tell(finding)?;
        }
    }
    let failed: Vec<_> = findings
        .iter()
        .filter(|finding| finding.level == Level::Fail)
        .collect();
    Ok(match failed.as_slice() {
        [] => ExitCode::SUCCESS,
        failed if failed.iter().any(|finding| finding.exit == Exit::Config) => {
            ExitCode::from(Exit::Config as u8)
        }
        _ => ExitCode::from(Exit::Unavailable as u8),
    })
}

async fn examine(settings: &Settings, flags: &Flags) -> Result<Vec<Finding>, Failure> {
    let mut findings = vec![Finding::ok("configuration", "", "is right")];
    for fault in exposure_faults(settings) {
        findings.push(Finding::ok("exposure", "", fault).misconfigured("change the address"));
    }
    let files = named_files(flags)?;
    findings.extend(secrets::files(&files));
    findings.extend(secrets::credentials(&settings.auth));
    findings.extend(certificate::examine(&files));
    if let Some(IngestTls::Acme(acme)) = &settings.ingest_tls {
        findings.extend(acme::examine(acme, settings.ingest_listen).await);
    }
    findings.extend(ports::examine(settings));
    findings.push(clock::examine());
    match settings.data.directory() {
        Some(directory) => findings.extend(disk::examine(directory, settings.disk)),
        None => findings.push(bodies(settings)),
    }
    findings.extend(store::examine(settings).await);
    Ok(findings)
}

/// What a load balancer hands a function of AWS, in bytes.
const BALANCER_BYTES: u64 = 1_000_000;

/// What stands between the sender and us on AWS. Whether there is a load balancer cannot be seen from here;
/// that these are a function's settings can.
fn bodies(settings: &Settings) -> Finding {
    let most = settings.receiver.max_body_bytes;
    let found = format!(
        "up to {most} bytes are taken, of which an AWS load balancer hands a function at most 1 MB: larger \
         batches, and alerts on more than about 4,500 subaccounts, get its 413"
    );
    let finding = Finding::ok("bodies", "ingest.max_body_bytes", found);
    let is_function = std::env::var("POSTLAKE_ROLE").is_ok_and(|role| role == "receive");
    match is_function && most > BALANCER_BYTES {
        false => finding,
        true => finding.warn(
            "if there is one, have SparkPost post to the function URL, or make `postlake serve --role receive` \
             its target; docs/aws.md says how",
        ),
    }
}

fn tell(finding: &Finding) -> Result<(), Failure> {
    let level = match finding.level {
        Level::Ok => style("ok  ").green(),
        Level::Warn => style("warn").yellow(),
        Level::Fail => style("fail").red(),
    };
    let place = match finding.place.as_str() {
        "" => String::new(),
        place => format!(" {}", visible(place)),
    };
    print(&format!(
        "{level}  {}{place}: {}",
        finding.check,
        visible(&finding.found)
    ))?;
    match finding.advice.as_str() {
        "" => Ok(()),
        advice => print(&format!("      -> {}", visible(advice))),
    }
}
