//! What the tests of this crate share: a store that waits and fails on command, a running server,
//! and a client that writes bytes to a socket.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::HeaderMap;
use bytes::Bytes;
use chrono::{TimeZone, Utc};
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use postlake_listen::ServeError;
use postlake_raw::clock::ManualClock;
use postlake_raw::segment::Segment;
use postlake_raw::{Batch, RawStore, SegmentKey, SourceKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Config, Receipt, Receiver, Refusal, serve};

/// Longest wait of a test for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What happens to a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// The store is not reached.
    FailBefore,
    /// The object is stored, the answer is lost.
    LoseAnswer,
    /// Other bytes stand there already.
    Taken,
    /// The disk is full.
    Full,
    /// The answer never comes.
    Hang,
    /// The answer never comes, and the store does not let go of the bytes.
    Stuck,
    /// The device fails.
    Device,
    /// The store's code panics.
    Panic,
}

/// A store in memory whose puts pass a gate and may be made to fail.
#[derive(Debug)]
pub(crate) struct Gate {
    inner: Arc<dyn ObjectStore>,
    passes: Semaphore,
    script: Mutex<VecDeque<Act>>,
    always: Mutex<Option<Act>>,
    puts: watch::Sender<usize>,
    stuck: Mutex<Vec<PutPayload>>,
}

impl Gate {
    pub(crate) fn open() -> Arc<Self> {
        let gate = Self::shut();
        gate.release();
        gate
    }

    pub(crate) fn shut() -> Arc<Self> {
        Self::around(Arc::new(InMemory::new()))
    }

    pub(crate) fn around(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            passes: Semaphore::new(0),
            script: Mutex::default(),
            always: Mutex::default(),
            puts: watch::Sender::new(0),
            stuck: Mutex::default(),
        })
    }

    /// Lets all puts pass from now on.
    pub(crate) fn release(&self) {
        self.passes.add_permits(1_000_000);
    }

    /// What happens to the next puts, one after the other.
    pub(crate) fn script(&self, acts: &[Act]) {
        self.script.lock().unwrap().extend(acts);
    }

    /// What happens to every put that has no script.
    pub(crate) fn always(&self, act: Option<Act>) {
        *self.always.lock().unwrap() = act;
    }

    pub(crate) async fn puts_reach(&self, count: usize) {
        let mut puts = self.puts.subscribe();
        within(puts.wait_for(|puts| *puts >= count)).await.unwrap();
    }

    pub(crate) fn raw(self: &Arc<Self>) -> RawStore {
        RawStore::new(Arc::clone(self) as Arc<dyn ObjectStore>)
    }

    /// Lets go of the bytes of puts that are stuck; how many there were.
    pub(crate) fn let_go(&self) -> usize {
        std::mem::take(&mut *self.stuck.lock().unwrap()).len()
    }

    fn next_act(&self) -> Option<Act> {
        self.script
            .lock()
            .unwrap()
            .pop_front()
            .or(*self.always.lock().unwrap())
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gate before {}", self.inner)
    }
}

fn broken(cause: impl Into<std::io::Error>) -> object_store::Error {
    let source: std::io::Error = cause.into();
    object_store::Error::Generic {
        store: "gate",
        source: Box::new(source),
    }
}

#[async_trait]
impl ObjectStore for Gate {
    async fn put_opts(&self, at: &Path, put: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.puts.send_modify(|puts| *puts += 1);
        self.passes.acquire().await.unwrap().forget();
        match self.next_act() {
            None => self.inner.put_opts(at, put, options).await,
            Some(Act::FailBefore) => Err(broken(std::io::ErrorKind::ConnectionReset)),
            Some(Act::Full) => Err(broken(std::io::ErrorKind::StorageFull)),
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::Stuck) => {
                self.stuck.lock().unwrap().push(put);
                std::future::pending().await
            }
            Some(Act::Device) => Err(broken(std::io::Error::from_raw_os_error(5))),
            Some(Act::Panic) => panic!("the store panics on command"),
            Some(Act::LoseAnswer) => {
                self.inner.put_opts(at, put, options).await?;
                Err(broken(std::io::ErrorKind::ConnectionReset))
            }
            Some(Act::Taken) => {
                self.inner
                    .put_opts(at, "other bytes".into(), options.clone())
                    .await?;
                self.inner.put_opts(at, put, options).await
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// The future's output, or a panic at the deadline.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("in time")
}

/// Waits until the condition holds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(wait).await;
}

/// A clock that stands at 2026-01-02 23:00 UTC.
pub(crate) fn evening() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(
        Utc.with_ymd_and_hms(2026, 1, 2, 23, 0, 0).unwrap(),
    ))
}

pub(crate) fn receiver(gate: &Arc<Gate>, config: Config) -> Arc<Receiver> {
    receiver_at(evening(), gate, config)
}

/// As [`receiver`], with a clock that the test moves.
pub(crate) fn receiver_at(
    clock: Arc<ManualClock>,
    gate: &Arc<Gate>,
    config: Config,
) -> Arc<Receiver> {
    Receiver::start(config, gate.raw(), clock, Arc::new(|_| {})).unwrap()
}

/// Accepts on a task of its own.
pub(crate) fn accept(
    receiver: &Arc<Receiver>,
    source: SourceKind,
    body: &'static str,
) -> JoinHandle<std::result::Result<Receipt, Refusal>> {
    let receiver = Arc::clone(receiver);
    tokio::spawn(async move {
        receiver
            .accept(
                source,
                &HeaderMap::new(),
                Bytes::from_static(body.as_bytes()),
            )
            .await
    })
}

/// Every segment of the store, streams without holes or the test fails.
pub(crate) async fn segments(raw: &RawStore) -> Vec<(SegmentKey, Segment)> {
    let mut segments = Vec::new();
    for date in raw.dates().await.unwrap() {
        for stream in raw.streams(date).await.unwrap() {
            let keys = raw.segments_after(date, stream, 0).await.unwrap();
            for (key, number) in keys.iter().zip(1..) {
                assert_eq!(key.number().get(), number);
                segments.push((*key, raw.read(key).await.unwrap()));
            }
        }
    }
    segments
}

/// Every batch of the store.
pub(crate) async fn batches(raw: &RawStore) -> Vec<Batch> {
    segments(raw)
        .await
        .into_iter()
        .flat_map(|(_, segment)| segment.batches)
        .collect()
}

/// The bodies of the store as text, sorted.
pub(crate) async fn bodies(raw: &RawStore) -> Vec<String> {
    let batches = batches(raw).await;
    let text = |batch: &Batch| String::from_utf8_lossy(&batch.body).into_owned();
    let mut bodies: Vec<_> = batches.iter().map(text).collect();
    bodies.sort();
    bodies
}

/// A server on a port of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<std::result::Result<(), ServeError>>,
}

impl Server {
    pub(crate) async fn start(gate: &Arc<Gate>, config: Config) -> Self {
        Self::around(receiver(gate, config)).await
    }

    pub(crate) async fn around(receiver: Arc<Receiver>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(listener, Arc::clone(&receiver), shutdown.clone()));
        Self {
            address,
            receiver,
            shutdown,
            task,
        }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        within(TcpStream::connect(self.address)).await.unwrap()
    }

    /// Sends the bytes and reads until the server closes.
    pub(crate) async fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        within(stream.write_all(request.as_ref())).await.unwrap();
        read_to_end(&mut stream).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> String {
        self.exchange(post(path, "", body)).await
    }
}

/// A whole request that asks for the connection to be closed, as the sender does.
pub(crate) fn post(path: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// What the server still says until it closes; a reset counts as closing.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(bytes @ 1..) = within(stream.read(&mut piece)).await {
        answer.extend_from_slice(&piece[..bytes]);
    }
    String::from_utf8(answer).unwrap()
}

/// Status code of an answer; 0 when there is none.
pub(crate) fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}
