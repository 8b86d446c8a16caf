//! What comes over a connection, up to the segments: whatever the bytes, the server lives, each 200 has its
//! batch in the store, and each batch there was sent.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use postlake_raw::clock::SystemClock;
use postlake_raw::{RawStore, segment};
use postlake_receiver::{Config, Receiver, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The server closes a connection whose other side has ended.
const PATIENCE: Duration = Duration::from_secs(20);
const MOST_ANSWER_BYTES: u64 = 16 << 20;
/// A batch of a connection that has ended may be landed a little later.
const REMEMBERED: usize = 64;

struct Wire {
    runtime: Runtime,
    address: SocketAddr,
    store: Arc<InMemory>,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    answered: usize,
    landed: usize,
    sent: VecDeque<Vec<u8>>,
}

/// The first byte says in pieces of what size the others are written.
pub(super) fn check(input: &[u8]) {
    static WIRE: OnceLock<Wire> = OnceLock::new();
    let Some((first, sent)) = input.split_first() else {
        return;
    };
    let wire = WIRE.get_or_init(start);
    let mut books = wire.books.lock().unwrap_or_else(PoisonError::into_inner);
    books.sent.push_back(sent.to_vec());
    if books.sent.len() > REMEMBERED {
        books.sent.pop_front();
    }
    let size = if *first == 0 {
        usize::MAX
    } else {
        usize::from(*first)
    };
    let answer = wire.runtime.block_on(exchange(wire.address, sent, size));
    books.answered += accepted(&answer);
    for body in wire.runtime.block_on(landed(&wire.store)) {
        books.landed += 1;
        let known = books.sent.iter().any(|sent| was_sent(sent, &body));
        assert!(
            known,
            "a body was landed that nobody sent: {}",
            String::from_utf8_lossy(&body)
        );
    }
    assert!(
        books.answered <= books.landed,
        "{} were answered 200, {} landed",
        books.answered,
        books.landed
    );
}

fn start() -> Wire {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let store = Arc::new(InMemory::new());
    let raw = RawStore::new(Arc::clone(&store) as _);
    let config = Config {
        commit_interval: Duration::from_millis(1),
        ..Config::default()
    };
    let address = runtime.block_on(async {
        let receiver =
            Receiver::start(config, raw, Arc::new(SystemClock), Arc::new(|_| ())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(tokio::spawn(serve(
            listener,
            receiver,
            CancellationToken::new(),
        )));
        address
    });
    Wire {
        runtime,
        address,
        store,
        books: Mutex::default(),
    }
}

async fn exchange(address: SocketAddr, sent: &[u8], size: usize) -> Vec<u8> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (reading, mut writing) = stream.into_split();
    let mut answer = Vec::new();
    let write = async {
        for piece in sent.chunks(size) {
            // It may have closed: what it answered before counts.
            if writing.write_all(piece).await.is_err() {
                return;
            }
        }
        drop(writing.shutdown().await);
    };
    let mut reading = reading.take(MOST_ANSWER_BYTES);
    #[expect(clippy::disallowed_methods, reason = "the reader is cut by take")]
    let read = reading.read_to_end(&mut answer);
    // A connection that is reset has said what it had to say.
    let (_, ended) = tokio::join!(write, timeout(PATIENCE, read));
    drop(ended.expect("a connection ends"));
    answer
}

/// How many batches an answer says are durable.
fn accepted(answer: &[u8]) -> usize {
    let text = String::from_utf8_lossy(answer);
    let parts = text
        .split("HTTP/1.")
        .filter(|part| part.get(1..5) == Some(" 200"));
    parts.filter(|part| part.contains("\r\n\r\n{}")).count()
}

/// The bodies that have come into the store since the last look; they are taken out of it.
async fn landed(store: &InMemory) -> Vec<Vec<u8>> {
    let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut bodies = Vec::new();
    for object in objects {
        let bytes = store
            .get(&object.location)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        let segment = segment::decode(None, &bytes).unwrap();
        bodies.extend(segment.batches.iter().map(|batch| batch.body.to_vec()));
        store.delete(&object.location).await.unwrap();
    }
    bodies
}

/// In one piece, or in chunks: then each byte in its order.
fn was_sent(sent: &[u8], body: &[u8]) -> bool {
    let mut rest = sent.iter();
    body.is_empty()
        || sent.windows(body.len()).any(|window| window == body)
        || body.iter().all(|byte| rest.any(|other| other == byte))
}
