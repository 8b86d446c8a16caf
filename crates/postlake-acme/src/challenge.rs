//! What an ACME server wants to see in a handshake (TLS-ALPN-01, RFC 8737): a certificate of nobody
//! with the digest of its token in it.

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate for one challenge and its key.
#[derive(Debug)]
pub(crate) struct Answer {
    /// In DER.
    pub(crate) certificate: CertificateDer<'static>,
    /// Of this challenge alone.
    pub(crate) key: PrivateKeyDer<'static>,
}

/// A key or a certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("make a certificate for {name}")]
pub struct CannotMake {
    name: String,
    source: rcgen::Error,
}

/// The answer for `name`; `digest` is the SHA-256 of the key authorization, 32 bytes.
///
/// # Errors
/// When the name can stand in no certificate.
pub(crate) fn answer(name: &str, digest: &[u8]) -> Result<Answer, CannotMake> {
    let make = || {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Answer {
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    };
    make().map_err(|source| CannotMake {
        name: name.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Object identifier 1.3.6.1.5.5.7.1.31, critical, a digest in an octet string in an octet string.
    const EXTENSION: [u8; 19] = [
        0x06, 0x08, 0x2b, 6, 1, 5, 5, 7, 1, 0x1f, 0x01, 0x01, 0xff, 0x04, 0x22, 0x04, 0x20, 7, 7,
    ];

    #[test]
    fn the_digest_is_in_a_critical_extension_and_the_name_is_the_only_one() {
        let answer = answer("hooks.example.com", &[7; 32]).unwrap();
        let has = |bytes: &[u8]| {
            let mut windows = answer.certificate.windows(bytes.len());
            windows.any(|window| window == bytes)
        };
        assert!(has(&EXTENSION));
        let certificate = webpki::EndEntityCert::try_from(&answer.certificate);
        // A verifier knows no such extension, and refuses what is critical and unknown.
        assert!(matches!(
            certificate,
            Err(webpki::Error::UnsupportedCriticalExtension)
        ));
        assert!(has(b"\x82\x11hooks.example.com"));
    }

    #[test]
    fn the_listener_takes_it() {
        let tls = postlake_listen::Tls::handed_in(std::sync::Arc::new(|| 0)).unwrap();
        let answer = answer("hooks.example.com", &[7; 32]).unwrap();
        let standing = tls.answer_challenge("hooks.example.com", answer.certificate, answer.key);
        assert!(standing.is_ok());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert!(answer("h\u{f6}oks.example.com", &[7; 32]).is_err());
    }
}
