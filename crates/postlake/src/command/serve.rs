//! `postlake serve`.

use std::process::ExitCode;

use crate::cli::{RoleName, ServeArgs};
use crate::command::output::say;
use crate::config::{Flags, Settings};
use crate::exit::Failure;
use crate::role::run_read_process;
use crate::role::server::Server;
use crate::{banner, shutdown};

pub(crate) async fn run(arguments: ServeArgs) -> Result<ExitCode, Failure> {
    let flags = Flags {
        ingest_listen: arguments.ingest_listen,
        read_listen: arguments.read_listen,
        admin_listen: arguments.admin_listen,
        open_to_everyone: arguments.dangerously_open_to_everyone,
        secrets: arguments.role.contains(&RoleName::Receive),
        ..Flags::from(&arguments.data)
    };
    let settings = Settings::read(&flags)?;
    if arguments.role == [RoleName::Read] {
        run_read_process(&settings).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let stop = shutdown::on_signal()?;
    let server = Server::start(&settings, &arguments.role).await?;
    let loads = arguments.role.contains(&RoleName::Load);
    for line in banner::lines(&settings, server.listeners, loads) {
        say(&line);
    }
    tokio::select! {
        () = stop.cancelled() => {}
        death = server.died() => return Err(death),
    }
    say("stopping: what is in flight is finished; once more to stop at once");
    match (server.drain().await, loads) {
        (true, true) => say("stopped; everything received is loaded"),
        (true, false) => say("stopped; everything received is durable, another process loads it"),
        (false, _) => say("stopped; what is not loaded yet will be at the next start"),
    }
    Ok(ExitCode::SUCCESS)
}
