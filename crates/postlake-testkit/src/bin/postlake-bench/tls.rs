//! TLS for the loads that want it: an authority and a certificate of the run's own, and both ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::arguments::Arguments;

/// The name that the certificate is for.
const NAME: &str = "localhost";

/// Writes `authority.pem`, `certificate.pem` and `key.pem` into `--dir`.
pub(crate) fn issue(arguments: &Arguments) -> Result<Value> {
    let folder: PathBuf = arguments.required("dir")?;
    issue_into(&folder)?;
    Ok(json!({ "name": NAME }))
}

fn issue_into(folder: &Path) -> Result<()> {
    let mut params = CertificateParams::new([]).context("set up an authority")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = KeyPair::generate()
        .and_then(|key| CertifiedIssuer::self_signed(params, key))
        .context("make an authority")?;
    let key = KeyPair::generate().context("make a key")?;
    let certificate = CertificateParams::new([NAME.to_owned()])
        .and_then(|params| params.signed_by(&key, &authority))
        .context("make a certificate")?;
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    for (name, text) in [
        ("authority.pem", authority.pem()),
        ("certificate.pem", certificate.pem()),
        ("key.pem", key.serialize_pem()),
    ] {
        fs::write(folder.join(name), text).with_context(|| format!("write {name}"))?;
    }
    Ok(())
}

/// A client that trusts the authority in `folder` alone, speaks TLS 1.3 alone, and shakes hands anew
/// for each connection.
pub(crate) fn connector(folder: &Path) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(folder.join("authority.pem"))
        .context("read the authority")?;
    roots.add(authority).context("trust the authority")?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .context("set up TLS 1.3")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A server with the certificate in `folder`.
pub(crate) fn acceptor(folder: &Path) -> Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_file(folder.join("certificate.pem"))
        .context("read the certificate")?;
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).context("read the key")?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .context("set up TLS 1.3")?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .context("use the certificate")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Shakes hands with a server that has the certificate.
pub(crate) async fn connect(
    connector: &TlsConnector,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(NAME).context("the server's name")?;
    let shaken = connector.connect(name, stream).await;
    shaken.context("shake hands with the server")
}

#[cfg(test)]
mod tests {
    use rustls::{HandshakeKind, ProtocolVersion};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn each_connection_is_tls_1_3_with_a_handshake_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        issue_into(folder.path()).unwrap();
        let (connector, acceptor) = (
            connector(folder.path()).unwrap(),
            acceptor(folder.path()).unwrap(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = acceptor.accept(stream).await.unwrap();
                stream.write_all(b"!").await.unwrap();
            }
        });
        for _ in 0..3 {
            let stream = TcpStream::connect(address).await.unwrap();
            let mut stream = connect(&connector, stream).await.unwrap();
            // What the server has sent behind the handshake, a ticket too, has been seen.
            assert_eq!(stream.read_u8().await.unwrap(), b'!');
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
            assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}
