//! The receive role: the ingest listener and the receiver behind it.

use std::net::SocketAddr;
use std::sync::Arc;

use postlake_acme::Keeper;
use postlake_lake::DataUrl;
use postlake_listen::{Listener, Tally, Tls};
use postlake_raw::{CreateOnly, LandCause, RawStore};
use postlake_receiver::{Death, OnLanded, Receiver};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::admin::Ingesting;
use crate::config::Settings;
use crate::exit::{Exit, Failure, chain};
use crate::open_files;
use crate::role::release::in_time;
use crate::role::{disk, tls};
use crate::sockets::{ListenerName, Sockets};
use crate::wire::{self, Landing};

/// A running receiver.
pub(crate) struct Receiving {
    receiver: Arc<Receiver>,
    stop: CancellationToken,
    server: JoinHandle<Result<(), postlake_listen::ServeError>>,
    connections: Arc<Tally>,
    tls: Option<Tls>,
    keeper: Option<Keeper>,
    pub(crate) address: SocketAddr,
}

/// The store to receive into, asked whether it can be written. One that does not answer in time is no
/// reason: requests get 503 until it does.
///
/// # Errors
/// When the store cannot be opened, or says that it cannot be written.
pub(crate) async fn landing(settings: &Settings) -> Result<Landing, Failure> {
    let landing = wire::landing(settings)?;
    let mut probing = tokio::spawn(probe(settings.data.clone(), landing.probed.clone()));
    match in_time(&settings.data, &mut probing).await {
        Some(Ok(probed)) => probed?,
        Some(Err(defect)) => {
            let doing = "ask whether the raw store can be written";
            return Err(Failure::caused(Exit::Failure, doing, defect));
        }
        None => {
            tracing::warn!(
                "the store at {} does not answer; until it does, requests are refused with 503",
                settings.data
            );
            drop(tokio::spawn(tell_later(probing)));
        }
    }
    Ok(landing)
}

/// Binds the listener and starts to take webhooks.
///
/// # Errors
/// When the address is taken or a limit is wrong.
pub(crate) async fn start(
    settings: &Settings,
    landing: Landing,
    sockets: &Sockets,
    on_landed: OnLanded,
) -> Result<Receiving, Failure> {
    if settings.auth.has_credentials() && !settings.receiver.auth.has_credentials() {
        let message = "the secrets of ingest.auth were not read, nothing is opened without them";
        return Err(Failure::new(Exit::Config, message));
    }
    let stop = CancellationToken::new();
    let (tls, keeper) = tls::start_ingest(settings.ingest_tls.as_ref(), &stop)?.unzip();
    let keeper = keeper.flatten();
    let listener = sockets.listen(ListenerName::Ingest, settings.ingest_listen)?;
    let address = listener.local_addr().map_err(|source| {
        Failure::caused(
            Exit::Unavailable,
            "read the address of the ingest listener",
            source,
        )
    })?;
    let mut limits = landing.limits;
    let most = &mut limits.connections.max_connections;
    *most = (*most).min(open_files::raise_limit());
    let receiver =
        Receiver::start(limits, landing.raw, wire::clock(), on_landed).map_err(|faults| {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            Failure::new(
                Exit::Config,
                format!("limits of the receiver: {}", faults.join("; ")),
            )
        })?;
    if let Some(directory) = landing.directory {
        disk::watch(directory, settings.disk, &receiver, stop.clone())?;
    }
    let connections = Arc::<Tally>::default();
    let listener = Listener::from(listener)
        .with_tls(tls.clone())
        .counted_in(Arc::clone(&connections));
    let server = tokio::spawn(postlake_receiver::serve(
        listener,
        Arc::clone(&receiver),
        stop.clone(),
    ));
    // Not earlier: the authority looks at this listener.
    if let Some(keeper) = keeper.clone() {
        drop(tokio::spawn(keeper.run(stop.clone())));
    }
    Ok(Receiving {
        receiver,
        stop,
        server,
        connections,
        tls,
        keeper,
        address,
    })
}

/// Whether the store can be written, and keeps what it has. A full disk is no reason not to start:
/// alerts are taken from the reserve, events again when there is space.
async fn probe(data: DataUrl, raw: RawStore) -> Result<(), Failure> {
    match raw.probe_create_only().await {
        Ok(CreateOnly::Honoured) => Ok(()),
        Ok(CreateOnly::Ignored) => {
            tracing::warn!(
                "the store at {data} ignores create-only puts; segments are protected by their unique names alone"
            );
            Ok(())
        }
        Err(error) if error.cause() == LandCause::StorageFull => {
            tracing::warn!("the store at {data} is full");
            Ok(())
        }
        Err(source) => {
            let doing = format!("write to the raw store at {data}");
            Err(Failure::caused(Exit::Unavailable, doing, source))
        }
    }
}

/// What a store that was slow at the start has said in the end.
async fn tell_later(probing: JoinHandle<Result<(), Failure>>) {
    if let Ok(Err(failure)) = probing.await {
        tracing::warn!("{}", chain(&failure));
    }
}

impl Receiving {
    /// The receiver and its listener, for the status.
    pub(crate) fn ingesting(&self) -> Ingesting {
        Ingesting {
            receiver: Arc::clone(&self.receiver),
            connections: Arc::clone(&self.connections),
            tls: self.tls.clone(),
            keeper: self.keeper.clone(),
        }
    }

    /// Without a certificate yet, in how many seconds an authority is asked for one.
    pub(crate) fn lacks_certificate(&self) -> Option<i64> {
        let keeper = self.keeper.as_ref();
        let keeper = keeper.filter(|keeper| !keeper.has_certificate())?;
        Some(keeper.progress().next_at_secs - tls::now()())
    }

    /// Returns once an authority has given a certificate.
    pub(crate) async fn given_certificate(&self) {
        match &self.keeper {
            Some(keeper) => keeper.given().await,
            None => std::future::pending().await,
        }
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

    /// Lets requests in flight end and lands what waits, until that moment at most.
    pub(crate) async fn drain(self, until: Instant) -> Received {
        self.receiver.begin_drain();
        self.stop.cancel();
        let mut faults = Vec::new();
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => faults.push(error.to_string()),
            Err(error) => faults.push(format!("the ingest listener ended badly: {error}")),
        }
        let closed = timeout_at(until, self.receiver.close()).await;
        let counters = self.receiver.counters();
        let mut alerts_lost = counters.alerts_given_up;
        if closed.is_err() {
            tracing::warn!("the store did not answer; what waited for it is left behind");
            alerts_lost += self.receiver.alerts_in_flight();
        }
        if alerts_lost > 0 {
            faults.push(format!(
                "{alerts_lost} alerts could not be landed and are lost"
            ));
        }
        Received { counters, faults }
    }
}

/// What was taken in all, and what a drain could not bring to its end.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) counters: postlake_receiver::Counters,
    pub(crate) faults: Vec<String>,
}
