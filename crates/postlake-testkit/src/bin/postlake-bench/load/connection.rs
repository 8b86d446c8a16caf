//! One connection that posts and reads answers: HTTP/1.1 by hand, so that the generator
//! costs as little as it can.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;

use anyhow::{Context, Result, bail};
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::tls;

/// The first of the addresses that connections come from.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);

/// Longer answers than this are none of ours.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Where connections go, and how.
pub(crate) struct Route {
    pub(crate) target: SocketAddr,
    pub(crate) tls: Option<TlsConnector>,
    /// Connections come from so many addresses of loopback in turn; 0 leaves it to the system.
    pub(crate) addresses: u32,
}

/// What a request says besides its body and the batch id.
pub(crate) struct Head {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    /// Nothing more comes on the connection.
    pub(crate) last: bool,
}

/// What the server said.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether the connection ends with it.
    pub(crate) closes: bool,
    /// Whether it says when to come again.
    pub(crate) says_when: bool,
}

/// A stream of bytes, with or without TLS.
trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<L: AsyncRead + AsyncWrite + Unpin + Send> Line for L {}

pub(crate) struct Connection {
    stream: Box<dyn Line>,
    target: SocketAddr,
}

impl Route {
    /// A new connection, the `number`th.
    pub(crate) async fn open(&self, number: u64) -> Result<Connection> {
        let stream = self
            .connect(number)
            .await
            .context("connect to the server")?;
        stream.set_nodelay(true).context("set nodelay")?;
        let stream: Box<dyn Line> = match &self.tls {
            None => Box::new(stream),
            Some(connector) => Box::new(tls::connect(connector, stream).await?),
        };
        Ok(Connection {
            stream,
            target: self.target,
        })
    }

    async fn connect(&self, number: u64) -> std::io::Result<TcpStream> {
        if self.addresses == 0 {
            return TcpStream::connect(self.target).await;
        }
        let number = u32::try_from(number % u64::from(self.addresses)).unwrap_or(0);
        let socket = TcpSocket::new_v4()?;
        let from = Ipv4Addr::from_bits(FIRST_ADDRESS.to_bits() + number);
        socket.bind((from, 0).into())?;
        socket.connect(self.target).await
    }
}

impl Connection {
    /// Posts one batch. A server may answer before it has everything; then the rest is kept back, and the
    /// connection ends. After an error it is of no use.
    pub(crate) async fn post(&mut self, head: &Head, id: &str, body: &Bytes) -> Result<Answer> {
        let close = if head.last {
            "connection: close\r\n"
        } else {
            ""
        };
        let login = head.authorization.as_ref();
        let login = login.map_or_else(String::new, |login| format!("authorization: {login}\r\n"));
        let text = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\n{close}{login}content-type: application/json\r\n\
             x-messagesystems-batch-id: {id}\r\nuser-agent: SparkPost\r\ncontent-length: {}\r\n\r\n",
            head.path,
            self.target,
            body.len(),
        );
        let mut request = Bytes::from(text).chain(body.clone());
        let (reader, mut writer) = tokio::io::split(&mut self.stream);
        let mut answer = pin!(read_answer(reader));
        let sent = async {
            writer.write_all_buf(&mut request).await?;
            writer.flush().await
        };
        let early = tokio::select! {
            biased;
            // An answer may be there even if the server takes no more.
            _sent = sent => None,
            answer = &mut answer => Some(answer?),
        };
        let was_early = early.is_some();
        let mut answer = match early {
            Some(answer) => answer,
            None => answer.await?,
        };
        answer.closes |= head.last || was_early;
        Ok(answer)
    }
}

async fn read_answer(mut reader: impl AsyncRead + Unpin) -> Result<Answer> {
    let mut answer = BytesMut::with_capacity(1024);
    let head_end = loop {
        if let Some(end) = find(&answer, b"\r\n\r\n") {
            break end + 4;
        }
        read_more(&mut reader, &mut answer).await?;
    };
    let head = String::from_utf8_lossy(answer.get(..head_end).unwrap_or_default()).into_owned();
    let body_bytes = content_length(&head);
    while answer.len() < head_end + body_bytes {
        read_more(&mut reader, &mut answer).await?;
    }
    let status = head.split(' ').nth(1).unwrap_or_default();
    Ok(Answer {
        status: status.parse().context("read the status")?,
        closes: closes(&head),
        says_when: header(&head, "retry-after").is_some(),
    })
}

async fn read_more(reader: &mut (impl AsyncRead + Unpin), answer: &mut BytesMut) -> Result<()> {
    let read = reader.read_buf(answer).await.context("read the answer")?;
    if read == 0 || answer.len() > MAX_ANSWER_BYTES {
        bail!("the answer ends early or never");
    }
    Ok(())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

fn content_length(head: &str) -> usize {
    header(head, "content-length")
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

fn closes(head: &str) -> bool {
    header(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

fn header<'h>(head: &'h str, wanted: &str) -> Option<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_an_answer_is_found() {
        assert_eq!(
            content_length("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
            2
        );
        assert_eq!(content_length("HTTP/1.1 200 OK\r\n\r\n"), 0);
        assert!(closes("HTTP/1.1 503 No\r\nConnection: close\r\n\r\n"));
        assert!(!closes("HTTP/1.1 200 OK\r\n\r\n"));
        assert_eq!(find(b"a\r\n\r\n{}", b"\r\n\r\n"), Some(1));
    }
}
