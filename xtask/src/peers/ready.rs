//! Waiting for a server until it answers, and ports that nobody uses.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::keeper::{Keeper, Server};

const PAUSE: Duration = Duration::from_millis(50);

/// Asks until `probe` succeeds; `Err` when the server ended, or with the last answer at the limit.
pub(super) fn wait(
    keeper: &mut Keeper,
    server: &Server,
    limit: Duration,
    mut probe: impl FnMut(&mut Keeper) -> Result<()>,
) -> Result<()> {
    let start = Instant::now();
    loop {
        keeper.ensure_running(server)?;
        match probe(keeper) {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > limit => {
                return Err(error).with_context(|| {
                    format!(
                        "not ready after {} s\n{}",
                        limit.as_secs(),
                        server.log_tail()
                    )
                });
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// A port of the loopback address that was free a moment ago.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    Ok(listener.local_addr().context("read the free port")?.port())
}
