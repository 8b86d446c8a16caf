//! postlake: SparkPost webhooks and Health Score alerts, durable, in an open lake.
//!
//! The commands ([`cli`], [`command`]), the configuration ([`config`]), the parts of a running server
//! ([`role`]), what the operator sees of it ([`admin`]) and the one place that puts concrete parts together ([`wire`]).

mod admin;
mod cli;
mod command;
mod config;
mod role;
mod wire;

mod banner;
mod data_lock;
mod exit;
mod shutdown;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let _until_the_end = telemetry::start(cli.verbose, cli.log_format, wire::clock());
    match command::run(cli.command) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
