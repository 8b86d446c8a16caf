//! One keep-alive connection that posts and reads answers: HTTP/1.1 by hand, so that the generator
//! costs as little as it can.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer answers than this are none of ours.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What the server said.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether the connection ends with it.
    pub(crate) closes: bool,
}

pub(crate) struct Connection {
    stream: TcpStream,
    target: SocketAddr,
    answer: BytesMut,
}

impl Connection {
    pub(crate) async fn open(target: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(target)
            .await
            .context("connect to the server")?;
        stream.set_nodelay(true).context("set nodelay")?;
        let answer = BytesMut::with_capacity(4096);
        Ok(Self {
            stream,
            target,
            answer,
        })
    }

    /// Posts one batch; `last` says that nothing more comes on this connection. After an error the
    /// connection is of no use.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        id: &str,
        body: &Bytes,
        last: bool,
    ) -> Result<Answer> {
        let close = if last { "connection: close\r\n" } else { "" };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\n{close}content-type: application/json\r\n\
             x-messagesystems-batch-id: {id}\r\nuser-agent: SparkPost\r\ncontent-length: {}\r\n\r\n",
            self.target,
            body.len(),
        );
        let mut request = Bytes::from(head).chain(body.clone());
        self.stream
            .write_all_buf(&mut request)
            .await
            .context("send the request")?;
        let mut answer = self.read_answer().await?;
        answer.closes |= last;
        Ok(answer)
    }

    async fn read_answer(&mut self) -> Result<Answer> {
        self.answer.clear();
        let head_end = loop {
            if let Some(end) = find(&self.answer, b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more().await?;
        };
        let head =
            String::from_utf8_lossy(self.answer.get(..head_end).unwrap_or_default()).into_owned();
        let body_bytes = content_length(&head);
        while self.answer.len() < head_end + body_bytes {
            self.read_more().await?;
        }
        let status = head.split(' ').nth(1).unwrap_or_default();
        Ok(Answer {
            status: status.parse().context("read the status")?,
            closes: closes(&head),
        })
    }

    async fn read_more(&mut self) -> Result<()> {
        let read = self
            .stream
            .read_buf(&mut self.answer)
            .await
            .context("read the answer")?;
        if read == 0 || self.answer.len() > MAX_ANSWER_BYTES {
            bail!("the answer ends early or never");
        }
        Ok(())
    }
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
