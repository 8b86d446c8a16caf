//! `postlake serve`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cli::{RoleName, ServeArgs};
use crate::command::output::say;
use crate::config::{Flags, Settings};
use crate::exit::{Exit, Failure, chain};
use crate::role::run_read_process;
use crate::role::server::{Drained, LastLoad, Server};
use crate::sockets::Sockets;
use crate::telemetry::flush_traces;
use crate::{banner, shutdown};

/// How long after the order to stop a server loads what it has received. What waits is landed within a
/// second more, a loader that does not notice is left behind after half a second, so that the process
/// ends within ten seconds whatever hangs.
const LAST_LOAD: Duration = Duration::from_secs(8);

/// How long the end waits for the collector of traces, and until when after the order to stop at most.
const LAST_TRACES: Duration = Duration::from_millis(1500);
const LAST_TRACES_BY: Duration = Duration::from_millis(9500);

pub(crate) async fn run(arguments: ServeArgs, sockets: &Sockets) -> Result<ExitCode, Failure> {
    let flags = Flags {
        ingest_listen: arguments.ingest_listen,
        read_listen: arguments.read_listen,
        admin_listen: arguments.admin_listen,
        open_to_everyone: arguments.dangerously_open_to_everyone,
        secrets: arguments.role.contains(&RoleName::Receive),
        traces: true,
        ..Flags::from(&arguments.data)
    };
    let settings = Settings::read(&flags)?;
    if arguments.role == [RoleName::Read] {
        let served = run_read_process(&settings, sockets).await;
        flush_traces(LAST_TRACES);
        served?;
        return Ok(ExitCode::SUCCESS);
    }
    let stop = shutdown::on_signal()?;
    let mut hangups = shutdown::hangups()?;
    let mut take_overs = shutdown::take_overs()?;
    let starts = Server::start(&settings, &arguments.role, sockets);
    let server = tokio::select! {
        started = starts => started?,
        () = stop.cancelled() => {
            say("stopped before it was ready");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let loads = arguments.role.contains(&RoleName::Load);
    for line in banner::lines(&settings, server.listeners, loads) {
        say(&line);
    }
    let mut lacks_certificate = server.listeners.lacks_certificate.is_some();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            death = server.died() => return Err(death),
            () = server.given_certificate(), if lacks_certificate => {
                lacks_certificate = false;
                say("the certificate is there: senders can connect");
            }
            _ = hangups.recv() => recheck(&flags, &settings),
            _ = take_overs.recv() => match can_hand_over(&flags, sockets) {
                Ok(()) => return hand_over(server, sockets).await,
                Err(failure) => tracing::error!(
                    "nothing is handed over, this process goes on: {}",
                    chain(&failure)
                ),
            },
        }
    }
    say("stopping: what is in flight is finished; once more to stop at once");
    let asked = Instant::now();
    let drained = server.drain(LastLoad::Within(LAST_LOAD)).await;
    let left = LAST_TRACES_BY.saturating_sub(asked.elapsed());
    flush_traces(left.min(LAST_TRACES));
    complete(&drained)?;
    match (drained.loaded, loads) {
        (true, true) => say("stopped; everything received is loaded"),
        (true, false) => say("stopped; everything received is durable, another process loads it"),
        (false, _) => say("stopped; what is not loaded yet will be at the next start"),
    }
    Ok(ExitCode::SUCCESS)
}

/// SIGHUP: certificates are read again by whoever uses them; here the configuration is looked at, so
/// that a fault is known before the next start.
fn recheck(flags: &Flags, in_force: &Settings) {
    match Settings::read(flags) {
        Ok(settings) if format!("{settings:?}") == format!("{in_force:?}") => {
            tracing::info!("the configuration is unchanged; certificates are read again");
        }
        Ok(_) => tracing::warn!(
            "the configuration has changed and is right; it is in force after a restart, or after SIGUSR2"
        ),
        Err(failure) => tracing::error!(
            "the configuration is not right, the old one stays in force: {}",
            chain(&failure)
        ),
    }
}

/// The next process must be able to start before this one stops.
fn can_hand_over(flags: &Flags, sockets: &Sockets) -> Result<(), Failure> {
    Settings::read(flags)?;
    sockets.try_successor()
}

/// Ends what is in flight and becomes the program as it now is on the disk. Connections wait in the
/// listeners' queues meanwhile; what is not loaded yet is loaded by the next process.
async fn hand_over(server: Server, sockets: &Sockets) -> Result<ExitCode, Failure> {
    say("handing over: what is in flight is finished, then the program starts anew on its sockets");
    let drained = server.drain(LastLoad::None).await;
    if let Err(failure) = complete(&drained) {
        tracing::error!("{}", chain(&failure));
    }
    // The next process takes the place of this one: nothing of it runs after that.
    flush_traces(LAST_TRACES);
    Err(sockets.hand_over())
}

/// # Errors
/// When something in flight could not be brought to its end.
fn complete(drained: &Drained) -> Result<(), Failure> {
    if drained.faults.is_empty() {
        return Ok(());
    }
    let faults = drained.faults.join("; ");
    let message = format!("not everything in flight was finished: {faults}");
    Err(Failure::new(Exit::Failure, message))
}
