//! From PEM to a certificate that can be used.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::validity::Validity;
use super::{CertificateFiles, TlsError};

/// A certificate with its key and the end of its time.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    /// Seconds since 1970.
    pub(crate) not_after_secs: i64,
}

impl Certificate {
    /// From the content of the two files.
    pub(crate) fn from_pem(
        files: &CertificateFiles,
        certificate: &[u8],
        key: &[u8],
        provider: &CryptoProvider,
    ) -> Result<Certificate, TlsError> {
        let missing = |path: &Path, what| TlsError::Pem {
            path: path.to_owned(),
            what,
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|_broken| missing(&files.certificate, "certificate"))?;
        let own = chain.first();
        let own = own.ok_or_else(|| missing(&files.certificate, "certificate"))?;
        Validity::of(own).ok_or_else(|| TlsError::NoCertificate {
            path: files.certificate.clone(),
        })?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_broken| missing(&files.key, "private key"))?;
        Certificate::new(chain, key, provider)
    }

    /// From a chain, its own certificate first, and its key.
    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Certificate, TlsError> {
        let validity = chain.first().and_then(|own| Validity::of(own));
        let validity = validity.ok_or(TlsError::Unreadable)?;
        let key = CertifiedKey::from_der(chain, key, provider)
            .map_err(|source| TlsError::Mismatch { source })?;
        Ok(Certificate {
            key: Arc::new(key),
            not_after_secs: validity.not_after_secs,
        })
    }
}
