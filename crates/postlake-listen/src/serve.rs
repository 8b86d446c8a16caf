//! A listener's life: accept within the limits, then drain.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::connection::{Connection, converse};
use crate::limits::Limits;
use crate::tally::Tally;
use crate::tls::Tls;

/// Pause after the system refused a connection (no file descriptors, as a rule).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two requests to idle connections that they make room.
const ROOM_INTERVAL: Duration = Duration::from_millis(250);

/// A socket that listens, and what is spoken on it.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
    tally: Arc<Tally>,
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self {
            socket,
            tls: None,
            tally: Arc::default(),
        }
    }
}

impl Listener {
    /// The same socket with TLS on it.
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// The same socket, counting into `tally`.
    pub fn counted_in(self, tally: Arc<Tally>) -> Self {
        Self { tally, ..self }
    }
}

/// The server stopped, but not as it should.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Connections were cut because they did not end within `drain_timeout`.
    #[error("{connections} connections did not end in time and were cut")]
    DrainTimeout {
        /// How many.
        connections: usize,
    },
}

/// Answers requests until `shutdown` is cancelled, and then drains: requests in flight end, each
/// connection that stands is answered what it was about to ask, new ones are taken as long as older
/// ones are busy or `drain_notice` lasts, and then no more. HTTP/1 only.
///
/// # Errors
/// [`ServeError::DrainTimeout`] when connections had to be cut.
pub async fn serve(
    listener: Listener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let server = Server::new(listener, router, limits, shutdown.clone());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            taken = server.accept() => server.start(taken, &mut connections),
        }
    }
    server.drain(connections).await
}

type Taken = (TcpStream, SocketAddr, OwnedSemaphorePermit);

struct Server {
    socket: TcpListener,
    slots: Arc<Semaphore>,
    /// Moves when a connection waits for a place.
    wanted: watch::Sender<u64>,
    about: Arc<Connection>,
}

impl Server {
    fn new(
        listener: Listener,
        router: Router,
        limits: Limits,
        shutdown: CancellationToken,
    ) -> Server {
        let wanted = watch::Sender::new(0);
        Server {
            socket: listener.socket,
            slots: Arc::new(Semaphore::new(limits.max_connections)),
            about: Arc::new(Connection {
                tls: listener.tls,
                tally: listener.tally,
                router,
                limits,
                shutdown,
                wanted: wanted.subscribe(),
            }),
            wanted,
        }
    }

    /// The next connection, once there is a free place for it.
    async fn accept(&self) -> Taken {
        loop {
            let slot = self.slot().await;
            match self.socket.accept().await {
                Ok((stream, peer)) => return (stream, peer, slot),
                Err(cause) => {
                    Tally::count(&self.about.tally.accept_failures);
                    warn!(
                        error = &cause as &dyn Error,
                        "a connection was not accepted"
                    );
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn slot(&self) -> OwnedSemaphorePermit {
        loop {
            let slot = Arc::clone(&self.slots).acquire_owned();
            match timeout(ROOM_INTERVAL, slot).await {
                Ok(Ok(slot)) => return slot,
                // The semaphore is never closed; if it were, nothing more could be accepted.
                Ok(Err(_closed)) => std::future::pending::<()>().await,
                Err(_full) => self.wanted.send_modify(|wishes| *wishes += 1),
            }
        }
    }

    fn start(&self, (stream, peer, slot): Taken, connections: &mut JoinSet<()>) {
        let about = Arc::clone(&self.about);
        about.tally.accepted.fetch_add(1, Relaxed);
        connections.spawn(async move {
            let held = (slot, Ended(Arc::clone(&about.tally)));
            let closing = converse(stream, peer, &about).await;
            // The drain need not wait for a peer that has its answer and does not hang up.
            drop(tokio::spawn(async move {
                let _held = held;
                if let Some(closing) = closing {
                    closing.await;
                }
            }));
        });
    }

    /// `old` are the connections that stood when the order came.
    async fn drain(self, mut old: JoinSet<()>) -> Result<(), ServeError> {
        let started = Instant::now();
        let until = started + self.about.limits.drain_timeout;
        let notice = (started + self.about.limits.drain_notice).min(until);
        let mut young = JoinSet::new();
        while Instant::now() < until && !(old.is_empty() && Instant::now() >= notice) {
            tokio::select! {
                biased;
                Some(ended) = old.join_next() => report(ended),
                Some(ended) = young.join_next() => report(ended),
                () = sleep_until(until) => {}
                () = sleep_until(notice), if old.is_empty() => {}
                taken = self.accept() => self.start(taken, &mut young),
            }
        }
        drop(self.socket);
        let ends = async {
            while let Some(ended) = old.join_next().await {
                report(ended);
            }
            while let Some(ended) = young.join_next().await {
                report(ended);
            }
        };
        match timeout_at(until, ends).await {
            Ok(()) => Ok(()),
            Err(_elapsed) => Err(ServeError::DrainTimeout {
                connections: old.len() + young.len(),
            }),
        }
    }
}

struct Ended(Arc<Tally>);

impl Drop for Ended {
    fn drop(&mut self) {
        Tally::count(&self.0.ended);
    }
}

/// A request that panics costs its connection, and is said.
fn report(ended: Result<(), JoinError>) {
    if let Err(cause) = ended {
        error!(error = &cause as &dyn Error, "a connection's task failed");
    }
}
