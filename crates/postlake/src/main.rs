//! postlake: SparkPost webhooks and Health Score alerts, durable, in an open lake.
//!
//! The commands ([`cli`], [`command`]), the configuration ([`config`]), the parts of a running server
//! ([`role`]), the functions of AWS Lambda ([`function`], [`lambda`]), what the operator sees of it ([`admin`]) and the one place that puts concrete parts together ([`wire`]).

mod admin;
mod arenas;
mod cli;
mod command;
mod config;
mod function;
mod lambda;
mod role;
mod wire;

mod banner;
mod data_lock;
mod exit;
mod open_files;
mod shutdown;
mod sockets;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = match function::is_entered() {
        true => cli::Cli::parse_from(["postlake", "lambda"]),
        false => cli::Cli::parse(),
    };
    if !function::is_entered() {
        arenas::limit();
    }
    // Before there are threads: it takes the sockets' variables out of the environment.
    let sockets = sockets::Sockets::from_environment();
    let traces = cli.command.may_trace().then(config::trace_settings);
    let traces = traces.flatten();
    let telemetry = telemetry::start(cli.verbose, cli.log_format, traces.as_ref(), wire::clock());
    let done = telemetry.and_then(|_until_the_end| command::run(cli.command, &sockets?));
    match done {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
