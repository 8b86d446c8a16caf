//! Who can reach a listener.

use std::net::SocketAddr;

use crate::config::Settings;
use crate::exit::{Exit, Failure};

/// What stands between the ingest listener and the network.
#[derive(Clone, Copy, Debug)]
struct Protection {
    loopback: bool,
    credentials: bool,
    tls: bool,
    trusted_proxy: bool,
    open_to_everyone: bool,
}

impl Protection {
    fn of(settings: &Settings, address: SocketAddr) -> Protection {
        Protection {
            loopback: address.ip().is_loopback(),
            credentials: settings.auth.has_credentials(),
            tls: settings.ingest_tls.is_some(),
            trusted_proxy: !settings.trusted_proxies.is_empty(),
            open_to_everyone: settings.open_to_everyone,
        }
    }

    /// What is missing, and what can be done about it.
    fn lacks(self) -> Option<&'static str> {
        if self.loopback || self.open_to_everyone {
            None
        } else if !self.credentials {
            Some(
                "anybody who reaches it can post: configure a credential under [ingest.auth], or listen \
                 on 127.0.0.1; --dangerously-open-to-everyone takes webhooks from anybody",
            )
        } else if !self.tls && !self.trusted_proxy {
            Some(
                "credentials would cross the network in the clear: configure a certificate under [ingest.tls], name \
                 the proxy that ends TLS in ingest.trusted_proxies, or listen on 127.0.0.1; --dangerously-open-to-everyone does \
                 without",
            )
        } else {
            None
        }
    }
}

/// Beyond this machine webhooks need credentials, and a way on which nobody reads them.
///
/// # Errors
/// When one of them is missing and nobody has said that this is meant.
pub(crate) fn refuse_open_ingest(settings: &Settings, address: SocketAddr) -> Result<(), Failure> {
    let Some(lacks) = Protection::of(settings, address).lacks() else {
        return Ok(());
    };
    let message =
        format!("ingest.listen: {address} can be reached from other machines and {lacks}");
    Err(Failure::new(Exit::Config, message))
}

/// What is read has no authentication yet, so nobody but this machine may reach that listener.
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
        refuse_open_ingest(settings, settings.ingest_listen),
        refuse_open("read.listen", settings.read_listen),
        refuse_admin_beyond_loopback(settings.admin_listen),
    ]
    .into_iter()
    .filter_map(Result::err)
    .map(|fault| fault.to_string())
    .collect()
}
