//! The heads of requests, looked at before the HTTP library does: it forgets a length that stands beside
//! chunks.
//!
//! Whoever stands before this server may have gone by the length, and then what follows is another
//! request to one of the two (RFC 9112, sections 6.1 and 11.2). Such a request is refused.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use httparse::{EMPTY_HEADER, Request, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::activity::Activity;

/// As many as the HTTP library takes.
const MAX_HEADERS: usize = 100;

/// Passes everything on, and tells `activity` which request has an end that could be understood in two
/// ways.
#[derive(Debug)]
pub(crate) struct Heads<IO> {
    io: IO,
    place: Place,
    requests: u64,
    max_header_bytes: usize,
    activity: Arc<Activity>,
}

/// Where in the stream of requests the next byte is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// In a head; what has come of it.
    Head(Vec<u8>),
    /// In a body; what is left of it.
    Body(u64),
    /// Behind the last request of the connection, or where the HTTP library gives up, too.
    End,
}

impl<IO> Heads<IO> {
    pub(crate) fn new(io: IO, max_header_bytes: usize, activity: Arc<Activity>) -> Self {
        Self {
            io,
            place: Place::Head(Vec::new()),
            requests: 0,
            max_header_bytes,
            activity,
        }
    }

    pub(crate) fn into_inner(self) -> IO {
        self.io
    }

    fn look(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match std::mem::replace(&mut self.place, Place::End) {
                Place::Head(begun) => self.head(begun, bytes),
                Place::Body(left) => {
                    let all = bytes.len() as u64;
                    self.place = match left.checked_sub(all) {
                        None | Some(0) => Place::Head(Vec::new()),
                        Some(left) => Place::Body(left),
                    };
                    let taken = usize::try_from(left).unwrap_or(usize::MAX);
                    bytes.get(taken..).unwrap_or_default()
                }
                Place::End => return,
            };
        }
    }

    /// Goes on with a head that has begun; what of `bytes` is behind it.
    fn head<'b>(&mut self, mut begun: Vec<u8>, bytes: &'b [u8]) -> &'b [u8] {
        let mut fresh = bytes;
        if begun.is_empty() {
            // Empty lines before a request do not count.
            let first = bytes.iter().position(|byte| !b"\r\n".contains(byte));
            fresh = bytes
                .get(first.unwrap_or(bytes.len())..)
                .unwrap_or_default();
        }
        let before = begun.len();
        let whole = match before {
            0 => fresh,
            _ => {
                begun.extend_from_slice(fresh);
                begun.as_slice()
            }
        };
        // Only the end of a line can be the end of a head.
        let parsed = match fresh.contains(&b'\n') {
            true => Parsed::from(whole),
            false => Parsed::Partial,
        };
        match parsed {
            Parsed::Partial if whole.len() <= self.max_header_bytes => {
                if before == 0 {
                    begun.extend_from_slice(fresh);
                }
                self.place = Place::Head(begun);
                &[]
            }
            Parsed::Head(length, end) if length <= self.max_header_bytes => {
                self.requests += 1;
                self.place = match end {
                    End::Nothing => Place::Head(Vec::new()),
                    End::Length(left) => Place::Body(left),
                    End::Chunks => Place::End,
                    End::Doubtful => {
                        self.activity.doubt(self.requests);
                        Place::End
                    }
                };
                fresh.get(length - before..).unwrap_or_default()
            }
            Parsed::Partial | Parsed::Broken | Parsed::Head(..) => &[],
        }
    }
}

enum Parsed {
    Partial,
    Broken,
    /// Its length, and what it says about the end of the request.
    Head(usize, End),
}

enum End {
    Nothing,
    Length(u64),
    Chunks,
    Doubtful,
}

impl Parsed {
    fn from(bytes: &[u8]) -> Self {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut request = Request::new(&mut headers);
        let length = match request.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Self::Partial,
            Err(_broken) => return Self::Broken,
        };
        let value_of = |name: &str| {
            let mut named = request.headers.iter();
            let header = named.find(|header| header.name.eq_ignore_ascii_case(name));
            header.map(|header| header.value)
        };
        let end = match (value_of("content-length"), value_of("transfer-encoding")) {
            (None, None) => End::Nothing,
            (None, Some(_)) => End::Chunks,
            (Some(_), Some(_)) => End::Doubtful,
            (Some(value), None) => {
                // A sign is no digit, though it can be parsed.
                let digits = std::str::from_utf8(value).unwrap_or_default();
                let digits = digits.strip_prefix('+').map_or(digits, |_signed| "");
                match digits.parse() {
                    Ok(0) => End::Nothing,
                    Ok(length) => End::Length(length),
                    Err(_not_a_length) => return Self::Broken,
                }
            }
        };
        Self::Head(length, end)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Heads<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(context, buffer));
        self.look(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(read)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Heads<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_HEADER_BYTES: usize = 1024;
    const PLAIN: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const LENGTH: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nb\r\n\r\n";
    const CHUNKS: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    const BOTH: &[u8] =
        b"POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    const BOTH_TURNED: &[u8] =
        b"POST / HTTP/1.1\nTRANSFER-ENCODING: chunked\nCONTENT-LENGTH: x\n\n0\r\n\r\n";

    /// The doubtful request when the stream comes in pieces of a size, and how many heads were seen.
    fn seen(stream: &[u8], piece: usize) -> (Option<u64>, u64) {
        let activity = Activity::new();
        let mut heads = Heads::new((), MAX_HEADER_BYTES, Arc::clone(&activity));
        stream.chunks(piece).for_each(|piece| heads.look(piece));
        let doubtful = (1..10).find(|number| activity.is_doubtful(*number));
        (doubtful, heads.requests)
    }

    /// The parts of a stream, its doubtful request, and how many heads are seen.
    type Case = (&'static [&'static [u8]], Option<u64>, u64);

    #[test]
    fn a_request_with_two_ends_is_found_wherever_it_stands() {
        let table: [Case; 9] = [
            (&[PLAIN, LENGTH, PLAIN], None, 3),
            (&[LENGTH, LENGTH, BOTH], Some(3), 3),
            (&[BOTH], Some(1), 1),
            (&[b"\r\n\r\n", PLAIN, b"\r\n", BOTH_TURNED], Some(2), 2),
            // Nothing follows chunks on a connection, and nothing a broken head.
            (&[CHUNKS, BOTH], None, 1),
            (&[b"GET / HTTP/1.1\r\nno name\r\n\r\n", BOTH], None, 0),
            (
                &[b"POST / HTTP/1.1\r\ncontent-length: +5\r\n\r\n", BOTH],
                None,
                0,
            ),
            // A body may look like a head.
            (
                &[
                    b"POST / HTTP/1.1\r\ncontent-length: 71\r\n\r\n",
                    BOTH,
                    PLAIN,
                ],
                None,
                2,
            ),
            (&[&[b'a'; MAX_HEADER_BYTES + 1], BOTH], None, 0),
        ];
        for (number, (parts, doubtful, heads)) in table.into_iter().enumerate() {
            let stream = parts.concat();
            for piece in [1, 2, 3, 7, 64, stream.len()] {
                assert_eq!(
                    seen(&stream, piece),
                    (doubtful, heads),
                    "{number} in pieces of {piece}"
                );
            }
        }
    }
}
