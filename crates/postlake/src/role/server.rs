//! The roles of one server process, started in order and drained in the order of the data.

use std::sync::Arc;

use postlake_receiver::OnLanded;
use tokio::sync::Notify;

use crate::admin::{self, Admin, ReadNotes, Vitals};
use crate::banner::Listeners;
use crate::cli::RoleName;
use crate::config::Settings;
use crate::data_lock::DataLock;
use crate::exit::Failure;
use crate::role::exposure::{refuse_admin_beyond_loopback, refuse_open, refuse_open_ingest};
use crate::role::load::{self, Loading};
use crate::role::receive::{self, Receiving};
use crate::role::supervise::{self, Supervised};
use crate::wire;

/// A running server.
pub(crate) struct Server {
    receiving: Option<Receiving>,
    loading: Option<Loading>,
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
    /// server, a listener cannot be bound, or a store cannot be used. Nothing keeps running then.
    pub(crate) async fn start(settings: &Settings, roles: &[RoleName]) -> Result<Server, Failure> {
        let has = |role| roles.contains(&role);
        if has(RoleName::Receive) {
            refuse_open_ingest(settings)?;
        }
        if has(RoleName::Read) {
            refuse_open("read.listen", settings.read_listen)?;
        }
        refuse_admin_beyond_loopback(settings.admin_listen)?;
        let lock = settings.data.directory().map(DataLock::take).transpose()?;
        let hint = Arc::new(Notify::new());
        let directory = settings.data.directory().map(ToOwned::to_owned);
        let vitals = Vitals::new(wire::clock(), directory);
        let listener = receive::bind(settings.admin_listen).await?;
        let admin = admin::start(listener, Arc::clone(&vitals))?;
        let mut server = Server {
            receiving: None,
            loading: None,
            reading: None,
            listeners: Listeners {
                admin: Some(admin.address),
                ..Listeners::default()
            },
            _admin: admin,
            _lock: lock,
        };
        if has(RoleName::Receive) {
            let wake = Arc::clone(&hint);
            let notes = Arc::clone(&vitals);
            let on_landed: OnLanded = Arc::new(move |_| {
                notes.landed();
                wake.notify_one();
            });
            let receiving = receive::start(settings, on_landed).await?;
            vitals.has_receiver(receiving.receiver());
            server.listeners.ingest = Some(receiving.address);
            server.receiving = Some(receiving);
        }
        if has(RoleName::Read) {
            let notes = Arc::<ReadNotes>::default();
            vitals.has_reader(Arc::clone(&notes));
            let reading = supervise::start(settings, server.listeners.ingest, notes)?;
            server.listeners.read = Some(reading.address);
            server.reading = Some(reading);
        }
        if has(RoleName::Load) {
            server.loading = Some(load::start(settings, hint, vitals)?);
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

    /// Takes no more, lands and loads what it has, then ends the read process. True if everything
    /// that was received is loaded and delivered.
    pub(crate) async fn drain(self) -> bool {
        if let Some(receiving) = self.receiving {
            let counters = receiving.drain().await;
            tracing::info!(?counters, "received");
        }
        let mut complete = true;
        if let Some(loading) = self.loading {
            complete = loading.drain().await;
        }
        if let Some(reading) = self.reading {
            reading.stop().await;
        }
        complete
    }
}
