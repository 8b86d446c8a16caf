//! What the tests share: certificates, a server on a port of its own, clients with and without TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::{CertificateFiles, Limits, Listener, ServeError, Tally, Tls, serve};

/// Longest wait of a test for anything.
const DEADLINE: Duration = Duration::from_secs(60);

/// 2026-11-22.
pub(crate) const TODAY: i64 = 1_795_305_600;

/// The future's output, or a panic at the deadline.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("in time")
}

/// Waits until the condition holds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    within(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// An authority of our own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for localhost that ends with `year`, and its key, in PEM.
    pub(crate) fn issue(&self, year: i32) -> (String, String) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// As [`Authority::issue`], in DER.
    pub(crate) fn issue_der(&self, year: i32) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let (certificate, key) = self.issue(year);
        (
            CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap(),
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
    }

    /// Writes a new certificate into the directory.
    pub(crate) fn install(&self, directory: &Path, year: i32) -> CertificateFiles {
        let (certificate, key) = self.issue(year);
        let files = files(directory);
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }

    /// A client that trusts this authority alone.
    pub(crate) fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}

pub(crate) fn files(directory: &Path) -> CertificateFiles {
    CertificateFiles {
        certificate: directory.join("certificate.pem"),
        key: directory.join("key.pem"),
    }
}

/// TLS with those files, on a day of our choice.
pub(crate) fn tls(files: CertificateFiles) -> Tls {
    Tls::from_files(files, Arc::new(|| TODAY)).unwrap()
}

/// A server on a port of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) tally: Arc<Tally>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    pub(crate) async fn start(router: Router, limits: Limits, tls: Option<Tls>) -> Server {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (tally, shutdown) = (Arc::<Tally>::default(), CancellationToken::new());
        let listener = Listener::from(socket)
            .with_tls(tls)
            .counted_in(Arc::clone(&tally));
        let task = tokio::spawn(serve(listener, router, limits, shutdown.clone()));
        Server {
            address,
            tally,
            shutdown,
            task,
        }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        within(TcpStream::connect(self.address)).await.unwrap()
    }

    /// A handshake; the certificate must be for localhost and of the client's authority.
    pub(crate) async fn connect_tls(
        &self,
        client: &TlsConnector,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        within(client.connect(name, stream)).await
    }
}

pub(crate) fn version(stream: &TlsStream<TcpStream>) -> ProtocolVersion {
    stream.get_ref().1.protocol_version().unwrap()
}

/// Sends the bytes and reads until the server closes; a reset counts as closing.
pub(crate) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &str,
) -> String {
    within(stream.write_all(request.as_bytes())).await.unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(bytes @ 1..) = within(stream.read(&mut piece)).await {
        answer.extend_from_slice(&piece[..bytes]);
    }
    String::from_utf8(answer).unwrap()
}
