//! A connection that can be reset or closed late on command.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How late a slow close is.
const LATE: Duration = Duration::from_secs(1);

/// What the service can do to its connection.
#[derive(Debug, Default)]
pub(super) struct Hand {
    reset: AtomicBool,
    close_late: AtomicBool,
}

impl Hand {
    /// The end of this connection will be a reset.
    pub(super) fn reset(&self) {
        self.reset.store(true, SeqCst);
    }

    /// The end of this connection will come late.
    pub(super) fn close_late(&self) {
        self.close_late.store(true, SeqCst);
    }
}

/// The connection itself.
#[derive(Debug)]
pub(super) struct Line {
    io: TokioIo<TcpStream>,
    hand: Arc<Hand>,
    closing: Option<Pin<Box<Sleep>>>,
}

impl Line {
    pub(super) fn new(stream: TcpStream) -> (Line, Arc<Hand>) {
        let hand = Arc::<Hand>::default();
        let line = Line {
            io: TokioIo::new(stream),
            hand: Arc::clone(&hand),
            closing: None,
        };
        (line, hand)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.hand.reset.load(SeqCst) {
            // Closing with a linger of zero sends a reset.
            drop(self.io.inner().set_zero_linger());
        }
    }
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hand.reset.load(SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.hand.close_late.load(SeqCst) {
            let late = self.closing.get_or_insert_with(|| Box::pin(sleep(LATE)));
            if late.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
