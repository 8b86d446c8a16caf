//! Connections that want nothing, or that send their body byte by byte: what stands about beside the load.
//!
//! Each is opened again when the server ends it, so that their number stays.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::arguments::Arguments;

/// What a slow connection announces, and what it sends in each step.
const ANNOUNCED_BYTES: usize = 105_000;
const STEP_BYTES: usize = 500;
const STEP: Duration = Duration::from_secs(1);
/// Between two connections when all of them are opened.
const APART: Duration = Duration::from_micros(500);
/// Before an ended connection is opened again.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Seen {
    open: AtomicU64,
    most_open: AtomicU64,
    opened: AtomicU64,
    failed: AtomicU64,
}

/// Holds `--idle` and `--slow` connections for `--seconds` after all of them are there, which the file
/// `--ready` says.
pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let target: SocketAddr = arguments.required("target")?;
    let (idle, slow): (u64, u64) = (arguments.or("idle", 0)?, arguments.or("slow", 0)?);
    let seconds: f64 = arguments.or("seconds", 10.0)?;
    let ready: PathBuf = arguments.required("ready")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let seen = Arc::new(Seen::default());
    runtime.block_on(async {
        let started = Instant::now();
        for number in 0..idle + slow {
            let is_slow = number % (idle + slow) >= idle;
            drop(tokio::spawn(stand(target, is_slow, Arc::clone(&seen))));
            sleep(APART).await;
        }
        let opening = started.elapsed();
        std::fs::write(&ready, "").with_context(|| format!("write {}", ready.display()))?;
        sleep(Duration::from_secs_f64(seconds)).await;
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        Ok(json!({
            "opening_seconds": opening.as_secs_f64(),
            "most_open": count(&seen.most_open),
            "open_at_the_end": count(&seen.open),
            "opened": count(&seen.opened),
            "not_opened": count(&seen.failed),
        }))
    })
}

/// One place in the crowd.
async fn stand(target: SocketAddr, is_slow: bool, seen: Arc<Seen>) {
    loop {
        if let Ok(stream) = TcpStream::connect(target).await {
            seen.opened.fetch_add(1, Relaxed);
            let open = seen.open.fetch_add(1, Relaxed) + 1;
            seen.most_open.fetch_max(open, Relaxed);
            // Whatever ends the connection, it is opened again.
            drop(hold(stream, target, is_slow).await);
            seen.open.fetch_sub(1, Relaxed);
        } else {
            seen.failed.fetch_add(1, Relaxed);
        }
        sleep(PAUSE).await;
    }
}

/// Until the server ends it.
async fn hold(mut stream: TcpStream, target: SocketAddr, is_slow: bool) -> std::io::Result<()> {
    let mut answer = [0; 1024];
    if !is_slow {
        while stream.read(&mut answer).await? > 0 {}
        return Ok(());
    }
    let head = format!(
        "POST /webhooks/events HTTP/1.1\r\nhost: {target}\r\ncontent-length: {ANNOUNCED_BYTES}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let step = [b' '; STEP_BYTES];
    loop {
        match timeout(STEP, stream.read(&mut answer)).await {
            Err(_silent) => stream.write_all(&step).await?,
            Ok(read) => {
                if read? == 0 {
                    return Ok(());
                }
            }
        }
    }
}
