//! Who can reach a listener.

use std::net::SocketAddr;

use crate::exit::{Exit, Failure};

/// There is no authentication yet, so nobody but this machine may reach a listener.
///
/// # Errors
/// When the address is not loopback.
pub(crate) fn refuse_open(key: &str, address: SocketAddr) -> Result<(), Failure> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    let message = format!(
        "{key}: {address} can be reached from other machines and nothing protects it; \
         listen on 127.0.0.1 and put a proxy with TLS and a password in front"
    );
    Err(Failure::new(Exit::Config, message))
}
