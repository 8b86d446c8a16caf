//! The function that receives, alone: a program for AWS Lambda without the lake, so that it is small and
//! starts soon. What it does, it does with the modules of `postlake`; `postlake lambda` under the role
//! `receive` is the same.

#![allow(
    dead_code,
    unused_imports,
    reason = "modules of postlake, which uses all of them"
)]

mod config;
mod function;
#[path = "wire/landing.rs"]
mod wire;

mod exit;
mod telemetry;

use std::process::ExitCode;

use config::{Flags, Settings};
use exit::{Exit, Failure};
use function::receive::Receiving;
use telemetry::LogFormat;

/// Which function this is; others are in the package of the whole program.
const ROLE_VARIABLE: &str = "POSTLAKE_ROLE";

fn main() -> ExitCode {
    let traces = config::trace_settings();
    let telemetry = telemetry::start(false, log_format(), traces.as_ref(), wire::clock());
    let done = telemetry.and_then(|_until_the_end| run());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::caused(Exit::Failure, "start the runtime", source))?;
    runtime.block_on(function::run(start))
}

fn start() -> Result<Receiving, Failure> {
    let role = std::env::var(ROLE_VARIABLE).unwrap_or_default();
    if !["", "receive"].contains(&role.as_str()) {
        let message = format!(
            "{ROLE_VARIABLE} is {role}, and this package has the function `receive` alone; \
             use the package of the whole program, docs/aws.md says how"
        );
        return Err(Failure::new(Exit::Config, message));
    }
    let settings = Settings::read(&Flags {
        secrets: true,
        traces: true,
        ..Flags::default()
    })?;
    Receiving::start(&settings)
}

fn log_format() -> LogFormat {
    match std::env::var(telemetry::FORMAT_VARIABLE).as_deref() {
        Ok("json") => LogFormat::Json,
        _ => LogFormat::Text,
    }
}
