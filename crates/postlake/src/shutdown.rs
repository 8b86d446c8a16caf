//! Signals: the first SIGTERM or SIGINT asks for a drain, the second ends the process at once; SIGHUP and
//! SIGUSR2 are the server's.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};

/// Listens for signals from now on. The token is cancelled by the first one.
///
/// # Errors
/// When the process cannot listen for signals.
pub(crate) fn on_signal() -> Result<CancellationToken, Failure> {
    let failed = |source| Failure::caused(Exit::Failure, "listen for signals", source);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let token = CancellationToken::new();
    let asked = token.clone();
    drop(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // What was answered 200 is durable already; nothing else may keep the operator waiting.
        #[expect(clippy::disallowed_methods, reason = "the operator asked twice")]
        std::process::exit(130);
    }));
    Ok(token)
}

/// SIGHUP from now on: read again what can be read again. It ends the process no more.
///
/// # Errors
/// When the process cannot listen for signals.
pub(crate) fn hangups() -> Result<Signal, Failure> {
    signal(SignalKind::hangup())
        .map_err(|source| Failure::caused(Exit::Failure, "listen for signals", source))
}

/// SIGUSR2 from now on: let the program as it now is on the disk take over.
///
/// # Errors
/// When the process cannot listen for signals.
pub(crate) fn take_overs() -> Result<Signal, Failure> {
    signal(SignalKind::user_defined2())
        .map_err(|source| Failure::caused(Exit::Failure, "listen for signals", source))
}
