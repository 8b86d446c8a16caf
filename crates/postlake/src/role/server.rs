//! The roles of one server process, started in order and drained in the order of the data.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postlake_receiver::OnLanded;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::admin::{self, Admin, ReadNotes, Vitals};
use crate::banner::Listeners;
use crate::cli::RoleName;
use crate::config::Settings;
use crate::data_lock::DataLock;
use crate::exit::Failure;
use crate::role::exposure::{refuse_admin_beyond_loopback, refuse_open, refuse_open_ingest};
use crate::role::load::{self, Loading};
use crate::role::receive::{self, Receiving};
use crate::role::release::refuse_newer;
use crate::role::supervise::{self, Supervised};
use crate::role::upkeep::{self, Keeping};
use crate::sockets::{ListenerName, Sockets};
use crate::wire::{self, Landing};

/// With an inherited socket, how long the process before this one may take to drain, and how often is
/// looked whether it has.
const PREDECESSOR: Duration = Duration::from_secs(30);
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// How long reading may go on, after the order to stop, when nothing is loaded any more.
const PARTS: Duration = Duration::from_secs(8);

/// Until so long after the other parts have ended, what waits may be landed: requests get their answer
/// within 8 s, and connections half a second to take it.
const LANDING: Duration = Duration::from_secs(1);

/// A running server.
pub(crate) struct Server {
    receiving: Option<Receiving>,
    loading: Option<Loading>,
    keeping: Option<Keeping>,
    reading: Option<Supervised>,
    pub(crate) listeners: Listeners,
    /// Open to the last, so that a drain can be watched.
    _admin: Admin,
    _lock: Option<DataLock>,
}

impl Server {
    /// Starts the roles. On `Ok` every listener is open.
    ///
    /// # Errors
    /// When an address is open to others without protection, the data directory is held by another
    /// server, the data to load is of a newer release, a listener cannot be bound, or a store cannot be
    /// used. Nothing keeps running then.
    pub(crate) async fn start(
        settings: &Settings,
        roles: &[RoleName],
        sockets: &Sockets,
    ) -> Result<Server, Failure> {
        let has = |role| roles.contains(&role);
        if has(RoleName::Receive) {
            let address = sockets.address(ListenerName::Ingest, settings.ingest_listen)?;
            refuse_open_ingest(settings, address)?;
        }
        if has(RoleName::Read) {
            let address = sockets.address(ListenerName::Read, settings.read_listen)?;
            refuse_open("read.listen", address)?;
        }
        let address = sockets.address(ListenerName::Admin, settings.admin_listen)?;
        refuse_admin_beyond_loopback(address)?;
        let lock = match settings.data.directory() {
            Some(directory) => Some(lock(directory, sockets.any_inherited()).await?),
            None => None,
        };
        let landing = ask_store(settings, has(RoleName::Receive), has(RoleName::Load)).await?;
        let hint = Arc::new(Notify::new());
        let directory = settings.data.directory().map(ToOwned::to_owned);
        let vitals = Vitals::new(wire::clock(), directory);
        let listener = sockets.listen(ListenerName::Admin, settings.admin_listen)?;
        let admin = admin::start(listener, Arc::clone(&vitals))?;
        let mut server = Server {
            receiving: None,
            loading: None,
            keeping: None,
            reading: None,
            listeners: Listeners {
                admin: Some(admin.address),
                ..Listeners::default()
            },
            _admin: admin,
            _lock: lock,
        };
        if let Some(landing) = landing {
            let wake = Arc::clone(&hint);
            let notes = Arc::clone(&vitals);
            let on_landed: OnLanded = Arc::new(move |_| {
                notes.landed();
                wake.notify_one();
            });
            let receiving = receive::start(settings, landing, sockets, on_landed).await?;
            vitals.has_receiver(receiving.ingesting());
            server.listeners.ingest = Some(receiving.address);
            server.listeners.lacks_certificate = receiving.lacks_certificate();
            server.receiving = Some(receiving);
        }
        if has(RoleName::Read) {
            let notes = Arc::<ReadNotes>::default();
            vitals.has_reader(Arc::clone(&notes));
            let reading = supervise::start(settings, server.listeners.ingest, notes, sockets)?;
            server.listeners.read = Some(reading.address);
            server.reading = Some(reading);
        }
        if has(RoleName::Load) {
            let upkept = Arc::clone(&vitals);
            server.loading = Some(load::start(settings, hint, vitals)?);
            server.keeping = Some(upkeep::start(settings, Arc::clone(&upkept))?);
        }
        Ok(server)
    }

    /// Returns when the server cannot go on by itself, and why.
    pub(crate) async fn died(&self) -> Failure {
        match &self.receiving {
            Some(receiving) => receiving.died().await,
            None => std::future::pending().await,
        }
    }

    /// Returns once an authority has given a certificate.
    pub(crate) async fn given_certificate(&self) {
        match &self.receiving {
            Some(receiving) => receiving.given_certificate().await,
            None => std::future::pending().await,
        }
    }

    /// Takes no more, lands what it has, loads as much of it as `loading` allows, and ends the read
    /// process. Every part has its end, counted from now: what is slow with one is missing to the next.
    pub(crate) async fn drain(self, loading: LastLoad) -> Drained {
        let until = Instant::now() + loading.limit();
        drop(self.keeping);
        let mut faults = Vec::new();
        if let Some(receiving) = self.receiving {
            let received = receiving.drain(until + LANDING).await;
            tracing::info!(counters = ?received.counters, "received");
            faults = received.faults;
        }
        let loads = async {
            match (self.loading, loading) {
                (Some(running), LastLoad::Within(_)) => running.drain(until).await,
                // The next process takes the place of this one, threads and all.
                (Some(_), LastLoad::None) => false,
                (None, _) => true,
            }
        };
        let reads = async {
            if let Some(reading) = self.reading {
                reading.stop(until).await;
            }
        };
        let (loaded, ()) = tokio::join!(loads, reads);
        Drained { loaded, faults }
    }
}

/// Whether a server that stops still loads what it has received.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LastLoad {
    /// All that can be loaded in this time from the order to stop.
    Within(Duration),
    /// The next process does it.
    None,
}

impl LastLoad {
    /// How long the parts of the server may take.
    fn limit(self) -> Duration {
        match self {
            LastLoad::Within(limit) => limit,
            LastLoad::None => PARTS,
        }
    }
}

/// How a drain ended.
#[derive(Debug)]
pub(crate) struct Drained {
    /// Everything that was received is loaded and delivered.
    pub(crate) loaded: bool,
    /// What was in flight and could not be brought to its end.
    pub(crate) faults: Vec<String>,
}

/// Before anything is opened, and at the same time: whether the store can be written, for who receives,
/// and whether it holds nothing newer, for who loads. A store that does not answer holds up nothing.
async fn ask_store(
    settings: &Settings,
    receives: bool,
    loads: bool,
) -> Result<Option<Landing>, Failure> {
    let landing = async {
        match receives {
            true => receive::landing(settings).await.map(Some),
            false => Ok(None),
        }
    };
    let nothing_newer = async {
        match loads {
            true => refuse_newer(&settings.data).await,
            false => Ok(()),
        }
    };
    let (landing, nothing_newer) = tokio::join!(landing, nothing_newer);
    nothing_newer.and(landing)
}

/// The lock of the data directory; with `patience`, as soon as the process before this one has let
/// go of it.
async fn lock(directory: &Path, patience: bool) -> Result<DataLock, Failure> {
    let until = Instant::now() + PREDECESSOR;
    loop {
        match DataLock::take(directory) {
            Err(_held) if patience && Instant::now() < until => sleep(LOCK_INTERVAL).await,
            taken => return taken,
        }
    }
}
