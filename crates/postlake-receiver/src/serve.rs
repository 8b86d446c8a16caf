//! Connections: accept, limit, converse, drain. HTTP/1 only.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::{debug, error, warn};

use crate::config::Config;
use crate::receiver::Receiver;
use crate::router::router;

/// Pause after the system refused a connection (no file descriptors, as a rule).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long, and for how many bytes, a closed connection still reads what the sender has on its way,
/// so that the answer is not lost by a reset.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 * 1024 * 1024;
const LINGER_BUFFER_BYTES: usize = 8 * 1024;
/// Room for a header block and for reading bodies in large pieces.
const MIN_BUFFER_BYTES: usize = 256 * 1024;

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

/// Answers requests on `listener` until `shutdown` is cancelled, then takes no more connections,
/// lets the requests in flight end and returns. The receiver stays open: close it afterwards.
///
/// # Errors
/// [`ServeError::DrainTimeout`] when requests had to be cut; none of them was acknowledged.
pub async fn serve(
    listener: TcpListener,
    receiver: Arc<Receiver>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let config = receiver.config().clone();
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let router = router(Arc::clone(&receiver));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            (stream, peer, slot) = accept(&listener, &slots) => {
                let (config, router) = (config.clone(), router.clone());
                let shutdown = shutdown.clone();
                connections.spawn(async move {
                    let _slot = slot;
                    converse(stream, peer, &config, router, shutdown).await;
                });
            }
        }
    }
    drop(listener);
    receiver.begin_drain();
    drain(connections, config.drain_timeout).await
}

async fn drain(mut connections: JoinSet<()>, within: Duration) -> Result<(), ServeError> {
    let ends = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    match timeout(within, ends).await {
        Ok(()) => Ok(()),
        Err(_elapsed) => Err(ServeError::DrainTimeout {
            connections: connections.len(),
        }),
    }
}

/// A request that panics costs its connection, and is said.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(cause) = ended {
        error!(error = &cause as &dyn Error, "a connection's task failed");
    }
}

/// The next connection, once there is a free place for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            // The semaphore is never closed; if it were, nothing more could be accepted.
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, slot),
            Err(cause) => {
                warn!(
                    error = &cause as &dyn Error,
                    "a connection was not accepted"
                );
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    config: &Config,
    router: Router,
    shutdown: CancellationToken,
) {
    if let Err(cause) = stream.set_nodelay(true) {
        debug!(
            error = &cause as &dyn Error,
            "connection without TCP_NODELAY"
        );
    }
    let service = service_fn(move |request| answer(router.clone(), peer, request));
    let mut connection = http(config).serve_connection(TokioIo::new(stream), service);
    let mut draining = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|context| connection.poll_without_shutdown(context)) => break ended,
            () = shutdown.cancelled(), if !draining => {
                draining = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Err(cause) = ended {
        debug!(error = &cause as &dyn Error, "connection ended early");
    }
    let stream = connection.into_parts().io.into_inner();
    if let Err(cause) = linger(stream).await {
        debug!(
            error = &cause as &dyn Error,
            "connection was not closed in order"
        );
    }
}

/// A timer is set, or hyper would drop the header timeout without a word.
fn http(config: &Config) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_header_size(config.max_header_bytes)
        .max_buf_size(config.max_header_bytes.max(MIN_BUFFER_BYTES));
    http
}

/// The request carries its peer's address as `ConnectInfo`: failed logins are slowed by address.
fn answer(
    mut router: Router,
    peer: SocketAddr,
    request: hyper::Request<Incoming>,
) -> BoxFuture<'static, Result<Response, Infallible>> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    router.call(request).boxed()
}

/// Says that nothing more comes, then reads and forgets what the other side has under way.
async fn linger(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut left = LINGER_BYTES;
    let mut forgotten = vec![0; LINGER_BUFFER_BYTES];
    let reads = async {
        while left > 0 {
            match stream.read(&mut forgotten).await? {
                0 => break,
                bytes => left = left.saturating_sub(bytes),
            }
        }
        Ok(())
    };
    timeout(LINGER, reads).await.unwrap_or(Ok(()))
}
