//! `postlake quarantine`: what could not be decoded, and what becomes of it.

mod dropped;
mod items;
mod list;
mod retry;
mod show;

use std::process::ExitCode;

use crate::cli::QuarantineCommand;
use crate::exit::Failure;

pub(super) use items::places_of_batch;

pub(crate) async fn run(command: QuarantineCommand) -> Result<ExitCode, Failure> {
    match command {
        QuarantineCommand::List(arguments) => list::run(arguments).await,
        QuarantineCommand::Show(arguments) => show::run(arguments).await,
        QuarantineCommand::Retry(arguments) => retry::run(arguments).await,
        QuarantineCommand::Drop(arguments) => dropped::run(arguments).await,
    }
}
