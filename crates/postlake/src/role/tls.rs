//! TLS of a listener, with the watch over its certificate.

use std::sync::Arc;

use postlake_listen::{CertificateFiles, Now, Tls};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};
use crate::wire;

/// TLS with the configured certificate. It is read again every few seconds, and at once on SIGHUP,
/// until `stop`.
///
/// # Errors
/// When the certificate cannot be used.
pub(crate) fn start(
    files: Option<&CertificateFiles>,
    key: &str,
    stop: &CancellationToken,
) -> Result<Option<Tls>, Failure> {
    let Some(files) = files else {
        return Ok(None);
    };
    let failed = |source| Failure::caused(Exit::Config, format!("{key}.tls"), source);
    let tls = Tls::from_files(files.clone(), now()).map_err(failed)?;
    let hangup = signal(SignalKind::hangup())
        .map_err(|source| Failure::caused(Exit::Failure, "listen for signals", source))?;
    drop(tokio::spawn(reload_on(hangup, tls.clone(), stop.clone())));
    drop(tokio::spawn(tls.clone().keep_fresh(stop.clone())));
    Ok(Some(tls))
}

async fn reload_on(mut hangup: tokio::signal::unix::Signal, tls: Tls, stop: CancellationToken) {
    loop {
        tokio::select! {
            _ = hangup.recv() => {}
            () = stop.cancelled() => return,
        }
        let tls = tls.clone();
        let reloaded = tokio::task::spawn_blocking(move || tls.reload_and_say()).await;
        if let Err(error) = reloaded {
            tracing::error!("reading the certificate broke off: {error}");
        }
    }
}

fn now() -> Now {
    let clock = wire::clock();
    Arc::new(move || clock.now().timestamp())
}
