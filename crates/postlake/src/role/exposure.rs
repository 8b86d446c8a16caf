//! Who can reach a listener.

use std::net::SocketAddr;

use crate::config::Settings;
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

/// Metrics, status and whatever else the operator may do are for this machine alone, whatever
/// protects the other listeners.
///
/// # Errors
/// When the address is not loopback.
pub(crate) fn refuse_admin_beyond_loopback(address: SocketAddr) -> Result<(), Failure> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    let message = format!(
        "admin.listen: {address} can be reached from other machines; listen on 127.0.0.1 and come \
         through ssh or through a proxy that asks who is there"
    );
    Err(Failure::new(Exit::Config, message))
}

/// Every listener that `serve` would refuse to open, in words.
pub(crate) fn exposure_faults(settings: &Settings) -> Vec<String> {
    [
        refuse_open("ingest.listen", settings.ingest_listen),
        refuse_open("read.listen", settings.read_listen),
        refuse_admin_beyond_loopback(settings.admin_listen),
    ]
    .into_iter()
    .filter_map(Result::err)
    .map(|fault| fault.to_string())
    .collect()
}
