//! The receive role: the ingest listener and the receiver behind it.

use std::net::SocketAddr;
use std::sync::Arc;

use postlake_raw::{CreateOnly, LandCause, RawStore};
use postlake_receiver::{Death, OnLanded, Receiver};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::role::disk;
use crate::wire;

/// A running receiver.
pub(crate) struct Receiving {
    receiver: Arc<Receiver>,
    stop: CancellationToken,
    server: JoinHandle<Result<(), postlake_receiver::ServeError>>,
    pub(crate) address: SocketAddr,
}

/// Binds the listener and starts to take webhooks.
///
/// # Errors
/// When the store cannot be opened or the address is taken.
pub(crate) async fn start(settings: &Settings, on_landed: OnLanded) -> Result<Receiving, Failure> {
    if settings.auth.has_credentials() && !settings.receiver.auth.has_credentials() {
        let message = "the secrets of ingest.auth were not read, nothing is opened without them";
        return Err(Failure::new(Exit::Config, message));
    }
    let landing = wire::landing(settings)?;
    probe(settings, &landing.raw).await?;
    let listener = bind(settings.ingest_listen).await?;
    let address = listener.local_addr().map_err(|source| {
        Failure::caused(
            Exit::Unavailable,
            "read the address of the ingest listener",
            source,
        )
    })?;
    let receiver = Receiver::start(landing.limits, landing.raw, wire::clock(), on_landed).map_err(
        |faults| {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            Failure::new(
                Exit::Config,
                format!("limits of the receiver: {}", faults.join("; ")),
            )
        },
    )?;
    let stop = CancellationToken::new();
    if let Some(directory) = landing.directory {
        disk::watch(directory, settings.disk, &receiver, stop.clone())?;
    }
    let server = tokio::spawn(postlake_receiver::serve(
        listener,
        Arc::clone(&receiver),
        stop.clone(),
    ));
    Ok(Receiving {
        receiver,
        stop,
        server,
        address,
    })
}

/// Whether the store can be written, and keeps what it has. A full disk is no reason not to start:
/// alerts are taken from the reserve, events again when there is space.
async fn probe(settings: &Settings, raw: &RawStore) -> Result<(), Failure> {
    match raw.probe_create_only().await {
        Ok(CreateOnly::Honoured) => Ok(()),
        Ok(CreateOnly::Ignored) => {
            tracing::warn!(
                "the store at {} ignores create-only puts; segments are protected by their unique names alone",
                settings.data
            );
            Ok(())
        }
        Err(error) if error.cause() == LandCause::StorageFull => {
            tracing::warn!("the store at {} is full", settings.data);
            Ok(())
        }
        Err(source) => {
            let doing = format!("write to the raw store at {}", settings.data);
            Err(Failure::caused(Exit::Unavailable, doing, source))
        }
    }
}

/// Binds a listener, with a sentence for the usual mistake.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|source| {
        let doing = format!("listen on {address} (is another server running there?)");
        Failure::caused(Exit::Unavailable, doing, source)
    })
}

impl Receiving {
    /// The receiver behind the listener.
    pub(crate) fn receiver(&self) -> Arc<Receiver> {
        Arc::clone(&self.receiver)
    }

    /// Returns when the receiver cannot go on: the process has to end, and why.
    pub(crate) async fn died(&self) -> Failure {
        match self.receiver.committer_died().await {
            Death::Defect => {
                let message = "the receiver cannot go on; start the server again";
                Failure::new(Exit::Failure, message)
            }
            Death::DeviceFailed => {
                let message = "the disk has failed in every write for a minute; look at it, then start the server again";
                Failure::new(Exit::Io, message)
            }
        }
    }

    /// Lets requests in flight end, lands what waits, and returns what was taken in all.
    pub(crate) async fn drain(self) -> postlake_receiver::Counters {
        self.receiver.begin_drain();
        self.stop.cancel();
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("{error}"),
            Err(error) => tracing::error!("the ingest listener ended badly: {error}"),
        }
        self.receiver.close().await;
        self.receiver.counters()
    }
}
