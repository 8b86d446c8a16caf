//! The certificate in use, replaced between two handshakes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::TlsStatus;
use super::certificate::Certificate;

/// The certificate that new connections get.
#[derive(Debug, Default)]
pub(crate) struct Current {
    certificate: RwLock<Option<Certificate>>,
    reloads: AtomicU64,
    reload_failures: AtomicU64,
    challenges_answered: AtomicU64,
}

impl Current {
    pub(crate) fn set(&self, certificate: Certificate) {
        let mut current = self
            .certificate
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if current.replace(certificate).is_some() {
            self.reloads.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn count_failure(&self) {
        self.reload_failures.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_challenge(&self) {
        self.challenges_answered.fetch_add(1, Relaxed);
    }

    pub(crate) fn not_after_secs(&self) -> Option<i64> {
        let current = self
            .certificate
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|current| current.not_after_secs)
    }

    pub(crate) fn status(&self) -> TlsStatus {
        TlsStatus {
            not_after_secs: self.not_after_secs(),
            reloads: self.reloads.load(Relaxed),
            reload_failures: self.reload_failures.load(Relaxed),
            challenges_answered: self.challenges_answered.load(Relaxed),
        }
    }
}

impl ResolvesServerCert for Current {
    /// One certificate for every name: whoever reached this socket has asked for this server.
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self
            .certificate
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|current| Arc::clone(&current.key))
    }
}
