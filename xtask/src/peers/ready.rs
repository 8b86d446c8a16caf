//! Waiting for a server until it answers, and ports that nobody uses.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::keeper::{Keeper, Server};

const PAUSE: Duration = Duration::from_millis(50);
const PORTS: std::ops::Range<u16> = 20000..32000;

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

/// A port of the loopback address that was free a moment ago; each call gives another.
///
/// It lies below the ports that the kernel gives to outgoing connections (32768 and above), so
/// that none of them takes it in the seconds until its server listens.
pub(super) fn free_port() -> Result<u16> {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    // Processes begin at different places.
    let start = std::process::id().wrapping_mul(16);
    for _ in PORTS {
        let number = start.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
        let offset = u16::try_from(number % u32::from(PORTS.end - PORTS.start))
            .context("a remainder is smaller than its divisor")?;
        let port = PORTS.start + offset;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port of {PORTS:?} is free");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_different_and_not_those_of_connections() {
        let (first, second) = (free_port().unwrap(), free_port().unwrap());
        assert_ne!(first, second);
        assert!(PORTS.contains(&first) && PORTS.contains(&second));
    }
}
