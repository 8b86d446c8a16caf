//! One connection: handshake, conversation, an orderly end.

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
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::debug;

use crate::activity::{Activity, InFlight};
use crate::framing::{broken, close_after, is_chunked};
use crate::heads::Heads;
use crate::limits::Limits;
use crate::stalling::Stalling;
use crate::tally::Tally;
use crate::tls::Tls;

/// How long, and for how many bytes, a closed connection still reads what the sender has on its way,
/// so that the answer is not lost by a reset.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 * 1024 * 1024;
const LINGER_PIECE_BYTES: usize = 64 * 1024;
/// `MSG_TRUNC`: Linux drops what has come instead of copying it. Elsewhere it is copied and dropped.
const FORGET: i32 = if cfg!(target_os = "linux") { 0x20 } else { 0 };
/// Room for a header block and for reading bodies in pieces. A connection that has sent a large body keeps
/// as much until it ends.
const MIN_BUFFER_BYTES: usize = 64 * 1024;
/// How long a connection without any request may stay once the server stops: its first request may
/// be on the way, and nobody but this process can answer it.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);

/// What all connections of a listener share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) tls: Option<Tls>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) router: Router,
    pub(crate) limits: Limits,
    pub(crate) shutdown: CancellationToken,
    pub(crate) wanted: watch::Receiver<u64>,
}

/// Speaks with one peer until one of the two has enough. What comes back closes the connection in
/// order; nobody has to wait for that.
pub(crate) async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    about: &Connection,
) -> Option<BoxFuture<'static, ()>> {
    if let Err(cause) = stream.set_nodelay(true) {
        debug!(
            error = &cause as &dyn Error,
            "connection without TCP_NODELAY"
        );
    }
    let activity = Activity::new();
    let Some(tls) = &about.tls else {
        return Some(talk(stream, peer, about, &activity).await);
    };
    let stream = handshake(tls, stream, about, &activity).await?;
    Some(talk(stream, peer, about, &activity).await)
}

async fn handshake(
    tls: &Tls,
    stream: TcpStream,
    about: &Connection,
    activity: &Activity,
) -> Option<TlsStream<TcpStream>> {
    let mut wanted = about.wanted.clone();
    let shaken = tokio::select! {
        shaken = timeout(about.limits.handshake_timeout, tls.accept(stream)) => shaken,
        () = activity.is_spare(&mut wanted) => {
            Tally::count(&about.tally.made_room);
            return None;
        }
    };
    match shaken {
        Ok(Ok(stream)) => Some(stream).filter(|stream| !tls.was_challenge(stream)),
        Ok(Err(cause)) => {
            Tally::count(&about.tally.handshake_failures);
            debug!(error = &cause as &dyn Error, "a TLS handshake failed");
            None
        }
        Err(_elapsed) => {
            Tally::count(&about.tally.handshake_timeouts);
            None
        }
    }
}

/// Why a conversation ended.
enum End {
    Over(hyper::Result<()>),
    /// There was nothing to say and the place or the server is needed no more.
    Idle,
}

async fn talk<IO>(
    stream: IO,
    peer: SocketAddr,
    about: &Connection,
    activity: &Arc<Activity>,
) -> BoxFuture<'static, ()>
where
    IO: OnSocket + 'static,
{
    let stream = Stalling::new(stream, about.limits.write_timeout);
    let stream = Heads::new(stream, about.limits.max_header_bytes, Arc::clone(activity));
    let service = {
        let (router, activity) = (about.router.clone(), Arc::clone(activity));
        let shutdown = about.shutdown.clone();
        let tally = Arc::clone(&about.tally);
        service_fn(move |request| {
            let in_flight = activity.begin();
            if in_flight.is_doubtful {
                Tally::count(&tally.broken_requests);
                return async { Ok(broken()) }.boxed();
            }
            answer(router.clone(), in_flight, peer, shutdown.clone(), request)
        })
    };
    let mut connection = http(&about.limits).serve_connection(TokioIo::new(stream), service);
    let mut wanted = about.wanted.clone();
    let mut draining = false;
    let end = loop {
        tokio::select! {
            // First what has come: a request that is here already is answered.
            biased;
            ended = poll_fn(|context| connection.poll_without_shutdown(context)) => break End::Over(ended),
            last = last_request(about, activity), if !draining => {
                draining = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                if !last {
                    break End::Idle;
                }
            }
            () = activity.is_spare(&mut wanted), if !draining => {
                draining = true;
                Tally::count(&about.tally.made_room);
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                if !activity.has_begun() {
                    break End::Idle;
                }
            }
        }
    };
    if let End::Over(Err(cause)) = end {
        count_end(&about.tally, &cause);
        debug!(error = &cause as &dyn Error, "connection ended early");
    }
    let stream = connection.into_parts().io.into_inner();
    let stream = stream.into_inner().into_inner();
    close(stream).boxed()
}

/// A stream of bytes that ends in a socket of this machine.
trait OnSocket: AsyncRead + AsyncWrite + Unpin + Send + Sync {
    fn socket(&self) -> &TcpStream;
}

impl OnSocket for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl OnSocket for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn close(stream: impl OnSocket) {
    if let Ok(Err(cause)) = timeout(LINGER, linger(stream)).await {
        debug!(
            error = &cause as &dyn Error,
            "connection was not closed in order"
        );
    }
}

/// Ready when the server stops and this connection should end: true after its first request has
/// begun, false if none came.
async fn last_request(about: &Connection, activity: &Activity) -> bool {
    about.shutdown.cancelled().await;
    timeout(FIRST_REQUEST_GRACE, activity.first_request())
        .await
        .is_ok()
}

fn count_end(tally: &Tally, cause: &hyper::Error) {
    let timed_out = |cause: &hyper::Error| {
        let source = cause.source().and_then(|source| source.downcast_ref());
        source.is_some_and(|source: &io::Error| source.kind() == io::ErrorKind::TimedOut)
    };
    if cause.is_parse() {
        Tally::count(&tally.broken_requests);
    } else if cause.is_timeout() {
        Tally::count(&tally.header_timeouts);
    } else if timed_out(cause) {
        Tally::count(&tally.write_timeouts);
    }
}

/// A timer is set, or hyper would drop the header timeout without a word.
fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.max_header_bytes)
        .max_buf_size(limits.max_header_bytes.max(MIN_BUFFER_BYTES));
    http
}

fn answer(
    mut router: Router,
    in_flight: InFlight,
    peer: SocketAddr,
    shutdown: CancellationToken,
    request: hyper::Request<Incoming>,
) -> BoxFuture<'static, Result<Response, Infallible>> {
    let chunked = is_chunked(request.headers());
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    async move {
        let _in_flight = in_flight;
        let mut response = router.call(request).await?;
        if chunked || shutdown.is_cancelled() {
            close_after(&mut response);
        }
        Ok(response)
    }
    .boxed()
}

/// Says that nothing more comes, then forgets what the other side has under way: what was refused may be
/// large, and refusing must cost little. Behind TLS it is not even decrypted.
async fn linger(mut stream: impl OnSocket) -> io::Result<()> {
    stream.shutdown().await?;
    let socket = stream.socket();
    let mut nowhere = Vec::<u8>::with_capacity(LINGER_PIECE_BYTES);
    let mut left = LINGER_BYTES;
    while left > 0 {
        socket.readable().await?;
        let forget = || SockRef::from(socket).recv_with_flags(nowhere.spare_capacity_mut(), FORGET);
        match socket.try_io(Interest::READABLE, forget) {
            Ok(0) => break,
            Ok(bytes) => left = left.saturating_sub(bytes),
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}
