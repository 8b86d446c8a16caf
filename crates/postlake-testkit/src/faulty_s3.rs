//! An S3 server that fails on command: the subset that a raw store speaks, in memory.
//!
//! PUT (with `If-None-Match: *`), GET (with a range), HEAD, LIST version 2, DELETE and the bulk
//! delete, over plain HTTP/1 on loopback, signatures not looked at. What fails, how often and how is
//! said by [`Faults`], and may be changed while clients talk to it. Dice decide; their seed decides
//! the dice, so a run with one client is the same each time.
//!
//! The server is the oracle's witness: it keeps every object, and the digest of every put that it
//! has answered 200. It runs on a thread of its own, so that it is never the client's runtime that
//! is measured, and so that programs and blocking tests can use it.

mod answers;
mod faults;
mod line;
mod objects;
mod requests;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use object_store::aws::AmazonS3Builder;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use faults::{CredentialFault, Delay, Faults, Stall};
pub use objects::{Acknowledged, Counts};

use faults::Dice;
use line::Line;
use objects::Objects;

/// The one bucket that there is.
pub const BUCKET: &str = "postlake";

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct FaultyS3 {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What all connections share.
#[derive(Debug)]
struct State {
    faults: Mutex<Faults>,
    dice: Mutex<StdRng>,
    objects: Mutex<Objects>,
}

impl FaultyS3 {
    /// Starts it on a free port of loopback, without faults.
    pub fn start(seed: u64) -> FaultyS3 {
        FaultyS3::start_at("127.0.0.1:0".parse().unwrap(), seed)
    }

    /// Starts it at an address, without faults.
    pub fn start_at(address: SocketAddr, seed: u64) -> FaultyS3 {
        let state = Arc::new(State {
            faults: Mutex::default(),
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
            objects: Mutex::default(),
        });
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&state);
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name("faulty-s3".to_owned())
            .spawn(serve)
            .unwrap();
        FaultyS3 {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it is, for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client's settings for it; add retries and timeouts.
    pub fn client(&self) -> AmazonS3Builder {
        AmazonS3Builder::new()
            .with_endpoint(self.endpoint())
            .with_allow_http(true)
            .with_bucket_name(BUCKET)
            .with_region("us-east-1")
            .with_access_key_id("nobody")
            .with_secret_access_key("secret")
    }

    /// From now on requests meet these faults. `Faults::default()` lifts them all.
    pub fn set(&self, faults: Faults) {
        *self.state.faults.lock().unwrap() = faults;
    }

    /// Every object, by name.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.state.objects.lock().unwrap().all()
    }

    /// Every put that was answered 200, in order; its answer may have been lost all the same.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.state.objects.lock().unwrap().acknowledged()
    }

    /// What it was asked, and what it did.
    pub fn counts(&self) -> Counts {
        self.state.objects.lock().unwrap().counts()
    }
}

impl Drop for FaultyS3 {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread panics only when a test of this server has found a defect of it.
            drop(thread.join());
        }
    }
}

impl State {
    /// What this request meets. Each request throws the same number of dice.
    fn dice(&self) -> Dice {
        let faults = self.faults.lock().unwrap().clone();
        Dice::throw(faults, &mut self.dice.lock().unwrap())
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((stream, _peer)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        drop(stream.set_nodelay(true));
        let (line, hand) = Line::new(stream);
        let state = Arc::clone(&state);
        drop(tokio::spawn(async move {
            let service = service_fn(move |request| {
                requests::answer(Arc::clone(&state), Arc::clone(&hand), request)
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(line, service)
                .await;
            // An error here is a fault on command, or a client that gave up.
            drop(served);
        }));
    }
}
