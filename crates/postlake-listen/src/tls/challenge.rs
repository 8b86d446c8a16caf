//! Answers to ACME servers that look whether a name is ours (TLS-ALPN-01, RFC 8737).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::resolver::Current;

/// The protocol of such a handshake.
pub(crate) const ACME_TLS_1: &[u8] = b"acme-tls/1";

/// The answers that there are, beside the certificate for everybody else.
#[derive(Debug)]
pub(crate) struct Challenges {
    current: Arc<Current>,
    /// By name, in lower case.
    answers: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

/// As long as this is held, the challenge of a name is answered.
pub struct ChallengeAnswer {
    name: String,
    challenges: Arc<Challenges>,
}

impl fmt::Debug for ChallengeAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChallengeAnswer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Drop for ChallengeAnswer {
    fn drop(&mut self) {
        self.challenges.lock().remove(&self.name);
    }
}

impl Challenges {
    pub(crate) fn new(current: Arc<Current>) -> Challenges {
        Challenges {
            current,
            answers: Mutex::default(),
        }
    }

    /// A later answer for the same name takes the place of the earlier one.
    pub(crate) fn answer(
        self: &Arc<Self>,
        name: &str,
        certificate: Arc<CertifiedKey>,
    ) -> ChallengeAnswer {
        let name = name.to_ascii_lowercase();
        self.lock().insert(name.clone(), certificate);
        ChallengeAnswer {
            name,
            challenges: Arc::clone(self),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Challenges {
    /// Nothing, which fails the handshake, for a challenge that nobody waits for.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if !is_challenge(&hello) {
            return self.current.resolve(hello);
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.lock().get(&name).map(Arc::clone)
    }
}

/// An ACME server offers its protocol alone (RFC 8737, section 3).
fn is_challenge(hello: &ClientHello<'_>) -> bool {
    hello
        .alpn()
        .is_some_and(|mut offered| offered.next() == Some(ACME_TLS_1) && offered.next().is_none())
}
