//! TLS 1.2 and 1.3 on a listener, with a certificate that can be replaced while connections run.

mod certificate;
mod challenge;
mod files;
mod resolver;
mod validity;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::hash::HashAlgorithm;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedCipherSuite};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};
use tokio_util::sync::CancellationToken;

use self::certificate::Certificate;
pub use self::challenge::ChallengeAnswer;
use self::challenge::{ACME_TLS_1, Challenges};
use self::files::Source;
pub use self::files::read_capped;
use self::resolver::Current;
pub use self::validity::Validity;

/// What is spoken behind TLS: never h2, which the ingest has no use for.
const HTTP_1_1: &[u8] = b"http/1.1";

/// Seconds since 1970, from the clock that is passed in.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Two PEM files: the certificate with its chain, its own one first, and the private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, then the intermediate ones.
    pub certificate: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Why a certificate is not used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no PEM file, or holds nothing of what it should hold.
    #[error("{path} holds no {what} in PEM form")]
    Pem {
        /// Which.
        path: PathBuf,
        /// What should be there.
        what: &'static str,
    },
    /// The certificate cannot be understood.
    #[error("{path} holds a certificate that cannot be read")]
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// A certificate that was handed in cannot be understood.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// Certificate and key do not belong together, or the key is of no use.
    #[error("certificate and key do not go together")]
    Mismatch {
        /// What the TLS library says.
        source: rustls::Error,
    },
    /// The certificate has expired.
    #[error("the certificate has expired")]
    Expired,
    /// The TLS library refuses its set-up.
    #[error("set up TLS")]
    Setup {
        /// What it says.
        source: rustls::Error,
    },
}

/// What a look at the files has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The files are what they were.
    Unchanged,
    /// New connections get the new certificate.
    Replaced,
}

/// How the certificate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsStatus {
    /// When the certificate in use ends, in seconds since 1970; `None` while there is none yet.
    pub not_after_secs: Option<i64>,
    /// Times that a new certificate was taken into use.
    pub reloads: u64,
    /// Times that a new certificate was refused and the old one kept.
    pub reload_failures: u64,
    /// Handshakes of ACME servers that got their answer.
    pub challenges_answered: u64,
}

/// TLS for a listener. Clones are the same.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    /// Nothing when the certificate is handed in.
    source: Option<Arc<Source>>,
    challenges: Arc<Challenges>,
    now: Now,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tls")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS with a certificate from files. On `Ok` it is in use.
    ///
    /// # Errors
    /// When the files cannot be used. An expired certificate is used, with an error in the log: to
    /// stay away altogether would help nobody.
    pub fn from_files(files: CertificateFiles, now: Now) -> Result<Tls, TlsError> {
        let current = Arc::new(Current::default());
        let config = server_config(Arc::clone(&current) as _, &[HTTP_1_1])?;
        let source = Source::open(files, &current, &provider())?;
        source.watch_end(&current, now());
        Ok(Tls {
            config: Arc::new(config),
            challenges: Arc::new(Challenges::new(Arc::clone(&current))),
            current,
            source: Some(Arc::new(source)),
            now,
        })
    }

    /// TLS whose certificate is handed in by [`Tls::install`]. Until then every handshake fails but
    /// those of an ACME server for which there is an answer.
    ///
    /// # Errors
    /// When the TLS library refuses its set-up.
    pub fn handed_in(now: Now) -> Result<Tls, TlsError> {
        let current = Arc::new(Current::default());
        let challenges = Arc::new(Challenges::new(Arc::clone(&current)));
        let config = server_config(Arc::clone(&challenges) as _, &[HTTP_1_1, ACME_TLS_1])?;
        Ok(Tls {
            config: Arc::new(config),
            challenges,
            current,
            source: None,
            now,
        })
    }

    /// Takes a certificate, its own one first in the chain, into use: for new connections, those that
    /// stand keep theirs.
    ///
    /// # Errors
    /// When it cannot be read or is not of that key. The old one stays.
    pub fn install(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), TlsError> {
        self.current.set(Certificate::new(chain, key, &provider())?);
        Ok(())
    }

    /// Answers ACME servers that ask for `name` (RFC 8737) with this certificate, until what comes
    /// back is dropped. Only TLS of [`Tls::handed_in`] is asked.
    ///
    /// # Errors
    /// When the key is of no use.
    pub fn answer_challenge(
        &self,
        name: &str,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<ChallengeAnswer, TlsError> {
        // Not looked into: it has an extension that only ACME servers know.
        let key = provider().key_provider.load_private_key(key);
        let key = key.map_err(|source| TlsError::Mismatch { source })?;
        let answer = Arc::new(CertifiedKey::new(vec![certificate], key));
        Ok(self.challenges.answer(name, answer))
    }

    /// Looks at the source of the certificate now. A new certificate counts from the next connection
    /// on; those that stand keep theirs.
    ///
    /// # Errors
    /// When a new certificate is refused: unreadable, not of its key, expired. The old one stays, and
    /// the failure is counted.
    pub fn reload(&self) -> Result<Reload, TlsError> {
        match &self.source {
            Some(source) => source.reload(&self.current, &provider(), (self.now)()),
            None => Ok(Reload::Unchanged),
        }
    }

    /// How the certificate stands.
    pub fn status(&self) -> TlsStatus {
        self.current.status()
    }

    /// Looks for a new certificate every few seconds until `stop` is cancelled, and says in the log
    /// what it finds.
    pub async fn keep_fresh(self, stop: CancellationToken) {
        files::keep_fresh(self, stop).await;
    }

    pub(crate) fn accept(&self, stream: TcpStream) -> Accept<TcpStream> {
        TlsAcceptor::from(Arc::clone(&self.config)).accept(stream)
    }

    /// True for the connection of an ACME server, which is over with its handshake.
    pub(crate) fn was_challenge(&self, stream: &TlsStream<TcpStream>) -> bool {
        let was = stream.get_ref().1.alpn_protocol() == Some(ACME_TLS_1);
        if was {
            self.current.count_challenge();
        }
        was
    }
}

/// The one provider of cryptography, named because the tree could hold another one. Suites that hash with SHA-256
/// stand before those with SHA-384, for which CPUs lack instructions: a handshake hashes more than it encrypts.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let common = match suite {
            SupportedCipherSuite::Tls13(suite) => &suite.common,
            SupportedCipherSuite::Tls12(suite) => &suite.common,
        };
        common.hash_provider.algorithm() == HashAlgorithm::SHA384
    });
    Arc::new(provider)
}

fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    protocols: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let setup = |source| TlsError::Setup { source };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(setup)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.ignore_client_order = true;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(setup)?;
    // The sender closes its connections: one ticket is enough for those that come again.
    config.send_tls13_tickets = 1;
    Ok(config)
}
