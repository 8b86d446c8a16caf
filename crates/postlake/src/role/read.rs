//! The read role: API and page, in a process of its own, so that no question can stop a webhook.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use postlake_listen::{Limits, Listener};
use postlake_serve::{ServeConfig, ServeState};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::banner::scheme;
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::role::exposure::refuse_open;
use crate::role::tls;
use crate::sockets::{ListenerName, Sockets};
use crate::{open_files, shutdown, wire};

/// Set by the supervisor: the listener is this process's standard input, and the ingest address that
/// the page shows is the value.
pub(crate) const LISTENER_IS_STDIN: &str = "POSTLAKE_READ_CHILD";

/// Set by the supervisor: its process id.
pub(crate) const SERVER_PID: &str = "POSTLAKE_SERVER_PID";

/// Serves until a signal comes. The whole of a process whose only role is `read`.
///
/// # Errors
/// When the address is taken or the listener fails.
pub(crate) async fn run_read_process(
    settings: &Settings,
    sockets: &Sockets,
) -> Result<(), Failure> {
    let stop = shutdown::on_signal()?;
    let _certificates_are_read_again = shutdown::hangups()?;
    let (listener, ingest) = match std::env::var(LISTENER_IS_STDIN) {
        Ok(ingest) => {
            die_with_parent()?;
            (inherited()?, ingest)
        }
        Err(_) => {
            let address = sockets.address(ListenerName::Read, settings.read_listen)?;
            refuse_open("read.listen", address)?;
            let listener = sockets.listen(ListenerName::Read, settings.read_listen)?;
            (listener, settings.ingest_listen.to_string())
        }
    };
    serve(settings, listener, &ingest, stop).await
}

async fn serve(
    settings: &Settings,
    listener: TcpListener,
    ingest: &str,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let address: SocketAddr = listener.local_addr().map_err(|source| {
        Failure::caused(
            Exit::Unavailable,
            "read the address of the read listener",
            source,
        )
    })?;
    let clock = wire::clock();
    let now = std::sync::Arc::new(move || clock.now());
    let config = ServeConfig::new(
        address,
        format!("{}://{ingest}", scheme(settings.ingest_tls.is_some())),
        now,
    );
    let state = ServeState::new(wire::table_source(&settings.data)?, config);
    let tls = tls::start(settings.read_tls.as_ref(), "read", &stop)?;
    let usual = Limits::default();
    let limits = Limits {
        max_connections: usual.max_connections.min(open_files::raise_limit()),
        ..usual
    };
    let listener = Listener::from(listener).with_tls(tls);
    postlake_serve::serve(listener, state, limits, stop)
        .await
        .map_err(|source| Failure::caused(Exit::Io, "serve the read listener", source))
}

/// The listener that the supervisor has bound: it stays the same over restarts of this process.
fn inherited() -> Result<TcpListener, Failure> {
    let failed = |source| Failure::caused(Exit::Unavailable, "take over the read listener", source);
    let socket = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(failed)?;
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true).map_err(failed)?;
    TcpListener::from_std(listener).map_err(failed)
}

/// A server that was killed must not leave this process behind on its listener.
fn die_with_parent() -> Result<(), Failure> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    let failed = |source: rustix::io::Errno| {
        Failure::caused(Exit::Failure, "tie the read process to its server", source)
    };
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed)?;
    // The server may have gone before the signal was asked for. In a container it may well be 1.
    let server = std::env::var(SERVER_PID).ok();
    let parent = getppid().map(|parent| parent.as_raw_nonzero().to_string());
    if server != parent {
        let message = "the server of this read process is gone";
        return Err(Failure::new(Exit::Failure, message));
    }
    Ok(())
}
