//! TLS of a listener, with the watch over its certificate.

use std::sync::Arc;

use postlake_acme::{AcmeError, Keeper};
use postlake_listen::{CertificateFiles, Now, Tls};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::IngestTls;
use crate::exit::{Exit, Failure};
use crate::wire;

/// TLS of the ingest listener, with what gets its certificate, if that comes from an authority:
/// nobody is asked for anything before [`Keeper::run`].
///
/// # Errors
/// When the certificate, or the cache of certificates, cannot be used.
pub(crate) fn start_ingest(
    tls: Option<&IngestTls>,
    stop: &CancellationToken,
) -> Result<Option<(Tls, Option<Keeper>)>, Failure> {
    let acme = match tls {
        None => return Ok(None),
        Some(IngestTls::Files(files)) => {
            return Ok(start(Some(files), "ingest", stop)?.map(|tls| (tls, None)));
        }
        Some(IngestTls::Acme(acme)) => acme,
    };
    let failed = |source| Failure::caused(Exit::Config, "ingest.tls", source);
    let tls = Tls::handed_in(now()).map_err(failed)?;
    let keeper = Keeper::open(acme.clone(), tls.clone(), now()).map_err(|source| {
        let exit = match &source {
            AcmeError::Cache { .. } => Exit::CannotCreate,
            _ => Exit::Config,
        };
        Failure::caused(exit, "ingest.tls.acme", source)
    })?;
    let hangup = hangup()?;
    drop(tokio::spawn(ask_on(hangup, keeper.clone(), stop.clone())));
    Ok(Some((tls, Some(keeper))))
}

/// TLS with a certificate from files. They are read again every few seconds, and at once on SIGHUP,
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
    drop(tokio::spawn(reload_on(
        hangup()?,
        tls.clone(),
        stop.clone(),
    )));
    drop(tokio::spawn(tls.clone().keep_fresh(stop.clone())));
    Ok(Some(tls))
}

fn hangup() -> Result<Signal, Failure> {
    signal(SignalKind::hangup())
        .map_err(|source| Failure::caused(Exit::Failure, "listen for signals", source))
}

/// On SIGHUP an authority that has given nothing is asked at once.
async fn ask_on(mut hangup: Signal, keeper: Keeper, stop: CancellationToken) {
    loop {
        tokio::select! {
            _ = hangup.recv() => keeper.ask_now(),
            () = stop.cancelled() => return,
        }
    }
}

async fn reload_on(mut hangup: Signal, tls: Tls, stop: CancellationToken) {
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

/// The clock that certificates are held against.
pub(crate) fn now() -> Now {
    let clock = wire::clock();
    Arc::new(move || clock.now().timestamp())
}
