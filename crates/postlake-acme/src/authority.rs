//! The way to the authority: HTTPS with an end in time and in bytes.

mod wait;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use postlake_listen::{Now, read_capped};
use reqwest::{Certificate, Client, redirect};

use self::wait::until;
use crate::settings::Settings;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer that is read; a chain of certificates has some kilobytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;
const MAX_CA_FILE_BYTES: u64 = 1 << 20;
const REDIRECTS: usize = 3;
const NAME: &str = concat!("postlake/", env!("CARGO_PKG_VERSION"));

/// There can be no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file with the authorities for the directory cannot be read.
    #[error("read {path}")]
    CaFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file with the authorities for the directory holds none.
    #[error("{path} holds no certificate in PEM form")]
    NoCa {
        /// Which.
        path: PathBuf,
    },
    /// The HTTP client refuses its set-up.
    #[error("set up the client for the authority")]
    Setup {
        /// What it says.
        source: reqwest::Error,
    },
}

/// A client that remembers how long the authority wants to be left alone. Clones are the same.
#[derive(Clone)]
pub(crate) struct Authority {
    client: Client,
    now: Now,
    /// Seconds since 1970.
    wanted_until: Arc<Mutex<Option<i64>>>,
}

impl Authority {
    pub(crate) fn new(settings: &Settings, now: Now) -> Result<Authority, ClientError> {
        let mut builder = Client::builder()
            .https_only(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(redirect::Policy::limited(REDIRECTS));
        if let Some(path) = &settings.directory_ca_file {
            builder = builder.tls_certs_only(trusted(path)?);
        }
        let client = builder
            .build()
            .map_err(|source| ClientError::Setup { source })?;
        Ok(Authority {
            client,
            now,
            wanted_until: Arc::default(),
        })
    }

    /// Until when the authority wants not to be asked, in seconds since 1970, as its refusals since
    /// this was last asked say.
    pub(crate) fn wanted_until(&self) -> Option<i64> {
        let wanted = self.wanted_until.lock();
        wanted.unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note_wait(&self, headers: &HeaderMap) {
        let wanted = headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok());
        let wanted = wanted.and_then(|wait| until(wait, (self.now)()));
        let latest = self.wanted_until.lock();
        let mut latest = latest.unwrap_or_else(PoisonError::into_inner);
        *latest = (*latest).max(wanted);
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let failed = |source: reqwest::Error| Error::Other(Box::new(source));
        let (parts, body) = request.into_parts();
        #[expect(
            clippy::disallowed_methods,
            reason = "our own request, a few kilobytes"
        )]
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
        };
        let mut headers = parts.headers;
        headers.insert(USER_AGENT, HeaderValue::from_static(NAME));
        let url = parts.uri.to_string();
        let request = self.client.request(parts.method, url).headers(headers);
        let response = request.body(body).send().await.map_err(failed)?;
        let (parts, body) = Response::<reqwest::Body>::from(response).into_parts();
        if parts.status.is_client_error() || parts.status.is_server_error() {
            self.note_wait(&parts.headers);
        }
        #[expect(clippy::disallowed_methods, reason = "limited")]
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = Full::new(body.map_err(Error::Other)?.to_bytes());
        Ok(BytesResponse::from(Response::from_parts(parts, body)))
    }
}

type Answer = Result<BytesResponse, Error>;

impl HttpClient for Authority {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(self.clone().exchange(request))
    }
}

fn trusted(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let pem = read_capped(path, MAX_CA_FILE_BYTES).map_err(|source| ClientError::CaFile {
        path: path.to_path_buf(),
        source,
    })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(authorities) if !authorities.is_empty() => Ok(authorities),
        _ => Err(ClientError::NoCa {
            path: path.to_path_buf(),
        }),
    }
}
