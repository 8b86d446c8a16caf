//! SIGTERM and SIGINT: the first asks for a drain, the second ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
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
