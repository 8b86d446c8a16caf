//! The receive role: the ingest listener and the receiver behind it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postlake_raw::CreateOnly;
use postlake_receiver::{OnLanded, Receiver};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::exit::{Exit, Failure};
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
    let raw = wire::raw_store(&settings.data)?;
    match raw.probe_create_only().await {
        Ok(CreateOnly::Honoured) => {}
        Ok(CreateOnly::Ignored) => tracing::warn!(
            "the store at {} ignores create-only puts; segments are protected by their unique names alone",
            settings.data
        ),
        Err(source) => {
            let doing = format!("write to the raw store at {}", settings.data);
            return Err(Failure::caused(Exit::Unavailable, doing, source));
        }
    }
    let listener = bind(settings.ingest_listen).await?;
    let address = listener.local_addr().map_err(|source| {
        Failure::caused(
            Exit::Unavailable,
            "read the address of the ingest listener",
            source,
        )
    })?;
    let receiver = Receiver::start(settings.receiver.clone(), raw, wire::clock(), on_landed)
        .map_err(|faults| {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            Failure::new(
                Exit::Config,
                format!("limits of the receiver: {}", faults.join("; ")),
            )
        })?;
    let stop = CancellationToken::new();
    if let Some(directory) = settings.data.directory() {
        drop(tokio::spawn(watch_free_space(
            directory.to_owned(),
            Arc::clone(&receiver),
            stop.clone(),
        )));
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

/// How often the free space is looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Events are held back when less than this is free, or less than a twentieth of the disk if that is
/// less: what is left is the reserve for alerts, which nobody sends twice.
const RESERVE_BYTES: u64 = 512 << 20;

/// Holds events back while the disk is nearly full, and lets them in again by itself.
async fn watch_free_space(directory: PathBuf, receiver: Arc<Receiver>, stop: CancellationToken) {
    let mut held = false;
    loop {
        match rustix::fs::statvfs(&directory) {
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                let reserve = (disk.f_blocks.saturating_mul(disk.f_frsize) / 20).min(RESERVE_BYTES);
                let low = free < reserve;
                if low != held {
                    tracing::warn!(
                        free_bytes = free,
                        reserve_bytes = reserve,
                        held = low,
                        "free space"
                    );
                    receiver.hold_events(low);
                    held = low;
                }
            }
            Err(error) => {
                tracing::warn!("cannot read the free space of the data directory: {error}")
            }
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            () = stop.cancelled() => return,
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

    /// Returns when the receiver cannot go on, which is a defect: the process has to end.
    pub(crate) async fn died(&self) {
        self.receiver.committer_died().await;
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
