//! The commands: thin, each calls what a library crate offers.

mod backfill;
mod check;
mod completions;
mod convert;
mod demo;
mod doctor;
mod dynamodb;
mod import;
mod init;
mod lambda;
mod load;
mod output;
mod quarantine;
mod query;
mod repair;
mod replay;
mod scores;
mod serve;
mod top;
mod trigger;
mod upkeep;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::Command;
use crate::exit::{Exit, Failure};
use crate::sockets::Sockets;

/// Runs a command to its end.
///
/// # Errors
/// What the command could not do; the caller says it and exits with its code.
pub(crate) fn run(command: Command, sockets: &Sockets) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(arguments) => block_on(serve::run(arguments, sockets)),
        Command::Demo(arguments) => block_on(demo::run(arguments)),
        Command::Trigger(arguments) => block_on(trigger::run(arguments)),
        Command::Load(arguments) => block_on(load::run(arguments)),
        Command::Import(arguments) => block_on(import::run(arguments)),
        Command::Dynamodb(command) => block_on(dynamodb::run(command)),
        Command::Lambda(arguments) => block_on(lambda::run(arguments)),
        Command::Query(arguments) => block_on(query::run(arguments)),
        Command::Scores(arguments) => block_on(scores::run(arguments)),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Quarantine(command) => block_on(quarantine::run(command)),
        Command::Replay(arguments) => block_on(replay::run(arguments)),
        Command::Repair(arguments) => block_on(repair::run(arguments)),
        Command::Backfill(arguments) => block_on(backfill::run(arguments)),
        Command::Verify(arguments) => block_on(verify::run(arguments)),
        Command::Compact(arguments) => block_on(upkeep::compact(arguments)),
        Command::Retain(arguments) => block_on(upkeep::retain(arguments)),
        Command::Vacuum(arguments) => block_on(upkeep::vacuum(arguments)),
        Command::Init(arguments) => init::run(&arguments),
        Command::Doctor(arguments) => block_on(doctor::run(arguments)),
        Command::Check(arguments) => check::run(&arguments),
        Command::Top(arguments) => block_on(top::run(arguments)),
        Command::Completions(arguments) => completions::completions(&arguments),
        Command::Man(arguments) => completions::man(&arguments),
    }
}

/// How long a command that has its result waits for calls that hang, to a disk that has gone say.
const LEFT_BEHIND: Duration = Duration::from_millis(200);

fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::caused(Exit::Failure, "start the runtime", source))?;
    let done = runtime.block_on(future);
    runtime.shutdown_timeout(LEFT_BEHIND);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_hangs_does_not_hold_up_the_end() {
        let (let_go, held) = std::sync::mpsc::sync_channel::<()>(1);
        let done = block_on(async {
            let (begun, begins) = tokio::sync::oneshot::channel();
            drop(tokio::task::spawn_blocking(move || {
                begun.send(()).unwrap();
                held.recv()
            }));
            begins.await.unwrap();
            Ok("the result")
        });
        assert_eq!(done.unwrap(), "the result");
        drop(let_go);
    }
}
