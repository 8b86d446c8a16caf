//! Posts batches and alerts over HTTP as SparkPost does.

use std::fmt;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url, redirect};
use tokio::time::Instant;

use self::credential::Tokens;
use crate::alerts::AlertPost;
use crate::batch::Batch;
use crate::request::{ALERTS_PATH, Request};

mod credential;

pub use self::credential::Credential;

/// SparkPost waits this long for an answer (webhook reference).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer's body is kept.
const EXCERPT_BYTES: usize = 512;

/// What the receiver said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// From the start of the attempt to the end of the excerpt.
    pub latency: Duration,
    /// The first 512 bytes of the body; invalid UTF-8 is replaced.
    pub excerpt: String,
}

impl Answer {
    /// Whether SparkPost takes the batch as delivered: exactly 200.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.status == 200
    }
}

/// A batch that got its 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The answer.
    pub answer: Answer,
    /// How many attempts it took, the successful one included.
    pub attempts: u32,
}

/// How often, and after which gaps, a request that got no 200 is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all; zero is taken as one.
    pub attempts: u32,
    /// The gap before the second attempt; each further gap is twice as long.
    pub first_gap: Duration,
    /// No gap is longer.
    pub longest_gap: Duration,
}

impl RetryPolicy {
    /// One attempt.
    pub const ONCE: Self = Self {
        attempts: 1,
        first_gap: Duration::ZERO,
        longest_gap: Duration::ZERO,
    };
    /// SparkPost's: 12 attempts in about 8 hours. It does not publish its gaps; these double from 30 s.
    pub const SPARKPOST: Self = Self {
        attempts: 12,
        first_gap: Duration::from_secs(30),
        longest_gap: Duration::from_secs(7_200),
    };
    /// SparkPost's 12 attempts in about 11 seconds, for demonstrations and tests.
    pub const HURRIED: Self = Self {
        attempts: 12,
        first_gap: Duration::from_millis(50),
        longest_gap: Duration::from_secs(2),
    };

    /// The gap after this many failed attempts.
    #[must_use]
    pub fn gap_after(&self, failed: u32) -> Duration {
        let doublings = failed.saturating_sub(1).min(31);
        self.first_gap
            .saturating_mul(1 << doublings)
            .min(self.longest_gap)
    }
}

/// Why there is no answer. No text of this error holds a URL, since a URL may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The target is no URL.
    #[error("the target is not a valid url")]
    BadUrl(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The target is a URL, but not of HTTP.
    #[error("the target must start with http:// or https://")]
    NotHttp,
    /// An extra header cannot be sent.
    #[error("header `{name}` has a name or value that http does not allow")]
    BadHeader {
        /// The header's name.
        name: String,
    },
    /// The HTTP client could not be set up.
    #[error("set up the http client")]
    Client(#[source] reqwest::Error),
    /// No connection: nothing was sent.
    #[error("connect to the target")]
    Unreachable(#[source] reqwest::Error),
    /// No answer in 10 seconds. The request may have been taken.
    #[error("no answer within {} seconds", ANSWER_TIMEOUT.as_secs())]
    TimedOut(#[source] reqwest::Error),
    /// The connection broke. The request may have been taken.
    #[error("exchange with the target broke off")]
    Broken(#[source] reqwest::Error),
    /// The token endpoint gave no token.
    #[error("the token endpoint gave no token, it answered {status}")]
    NoToken {
        /// The status of its answer.
        status: u16,
    },
    /// No attempt got a 200.
    #[error("gave up after {attempts} attempts, last status {}", last_status.map_or("none".to_owned(), |status| status.to_string()))]
    GaveUp {
        /// How many there were.
        attempts: u32,
        /// The status of the last attempt, if it got an answer.
        last_status: Option<u16>,
        /// Why the last attempt got no answer.
        #[source]
        source: Option<Box<SendError>>,
    },
}

impl SendError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::TimedOut(_) | Self::Broken(_) | Self::GaveUp { .. }
        )
    }

    fn of_exchange(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_connect() {
            Self::Unreachable(error)
        } else if error.is_timeout() {
            Self::TimedOut(error)
        } else {
            Self::Broken(error)
        }
    }
}

/// Posts to one target. Cheap to clone. No connection is kept: SparkPost closes each after its request.
#[derive(Clone)]
pub struct Sender {
    client: Client,
    target: Url,
    headers: HeaderMap,
    tokens: Option<Tokens>,
    alert_secret: Option<String>,
}

impl Sender {
    /// A sender to `url`. A URL without a path names a postlake ingest listener: events go to
    /// `/webhooks/events`, alerts to `/webhooks/alerts`. A URL with a path takes everything itself.
    ///
    /// # Errors
    /// The URL is none, is not of HTTP, or the client could not be set up.
    pub fn new(url: &str) -> Result<Self, SendError> {
        let target = Url::parse(url).map_err(|error| SendError::BadUrl(error.into()))?;
        if !matches!(target.scheme(), "http" | "https") {
            return Err(SendError::NotHttp);
        }
        let mut client = Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .http1_only();
        if is_loopback(&target) {
            client = client.no_proxy();
        }
        Ok(Self {
            client: client.build().map_err(SendError::Client)?,
            target,
            headers: HeaderMap::new(),
            tokens: None,
            alert_secret: None,
        })
    }

    /// Adds a header to every request (for instance `Authorization`); it replaces SparkPost's of that name.
    ///
    /// # Errors
    /// HTTP does not allow the name or the value.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, SendError> {
        let bad = || SendError::BadHeader {
            name: name.to_owned(),
        };
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        value.set_sensitive(true);
        self.headers.insert(header, value);
        Ok(self)
    }

    /// Shows who it is with every request.
    ///
    /// # Errors
    /// HTTP does not allow a name or a value, or the token URL is none.
    pub fn with_credential(mut self, credential: &Credential) -> Result<Self, SendError> {
        match credential {
            Credential::Basic { username, password } => {
                self.with_header("authorization", &credential::basic(username, password))
            }
            Credential::Header { name, value } => self.with_header(name, value),
            Credential::OAuth2 {
                token_url,
                client_id,
                client_secret,
            } => {
                let client = self.client.clone();
                self.tokens = Some(Tokens::new(client, token_url, client_id, client_secret)?);
                Ok(self)
            }
            Credential::AlertPath { secret } => {
                self.alert_secret = Some(secret.clone());
                Ok(self)
            }
        }
    }

    /// Posts a batch once.
    ///
    /// # Errors
    /// There was no answer. An answer other than 200 is no error here.
    pub async fn post_events(&self, batch: &Batch) -> Result<Answer, SendError> {
        self.post(&Request::events(batch)).await
    }

    /// Posts alerts once; SparkPost never sends them again.
    ///
    /// # Errors
    /// There was no answer. An answer other than 200 is no error here.
    pub async fn post_alerts(&self, post: &AlertPost) -> Result<Answer, SendError> {
        self.post(&Request::alerts(post)).await
    }

    /// Posts any request once.
    ///
    /// # Errors
    /// There was no answer. An answer other than 200 is no error here.
    pub async fn post(&self, request: &Request) -> Result<Answer, SendError> {
        let Some(tokens) = &self.tokens else {
            return self.post_with(request, None).await;
        };
        let token = tokens.bearer(None).await?;
        let answer = self.post_with(request, Some(&token)).await?;
        if !matches!(answer.status, 400 | 401) {
            return Ok(answer);
        }
        let token = tokens.bearer(Some(&token)).await?;
        self.post_with(request, Some(&token)).await
    }

    async fn post_with(
        &self,
        request: &Request,
        bearer: Option<&HeaderValue>,
    ) -> Result<Answer, SendError> {
        let started = Instant::now();
        let mut headers = self.headers_of(request)?;
        if let Some(bearer) = bearer {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
        let mut response = self
            .client
            .post(self.url(request.path))
            .headers(headers)
            .body(request.body.clone())
            .send()
            .await
            .map_err(SendError::of_exchange)?;
        let mut excerpt = Vec::new();
        while excerpt.len() < EXCERPT_BYTES {
            match response.chunk().await.map_err(SendError::of_exchange)? {
                Some(chunk) => excerpt.extend_from_slice(&chunk),
                None => break,
            }
        }
        excerpt.truncate(EXCERPT_BYTES);
        Ok(Answer {
            status: response.status().as_u16(),
            latency: started.elapsed(),
            excerpt: String::from_utf8_lossy(&excerpt).into_owned(),
        })
    }

    /// Posts a request until it gets a 200, with the same headers and bytes each time.
    ///
    /// On Ok the receiver has answered 200. On Err it may still have taken the request: an answer can be
    /// lost on its way.
    ///
    /// # Errors
    /// [`SendError::GaveUp`] when no attempt got a 200; other errors at once when no retry can help.
    pub async fn post_until_accepted(
        &self,
        request: &Request,
        policy: RetryPolicy,
    ) -> Result<Delivered, SendError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (last_status, source) = match self.post(request).await {
                Ok(answer) if answer.is_accepted() => return Ok(Delivered { answer, attempts }),
                Ok(answer) => (Some(answer.status), None),
                Err(error) if error.is_retryable() => (None, Some(Box::new(error))),
                Err(error) => return Err(error),
            };
            if attempts >= policy.attempts {
                return Err(SendError::GaveUp {
                    attempts,
                    last_status,
                    source,
                });
            }
            tokio::time::sleep(policy.gap_after(attempts)).await;
        }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.target.clone();
        if url.path() != "/" {
            return url;
        }
        match &self.alert_secret {
            Some(secret) if path == ALERTS_PATH => url.set_path(&format!("{path}/{secret}")),
            _ => url.set_path(path),
        }
        url
    }

    fn headers_of(&self, request: &Request) -> Result<HeaderMap, SendError> {
        let mut headers = HeaderMap::with_capacity(request.headers.len() + self.headers.len());
        for (name, value) in &request.headers {
            let value = HeaderValue::from_str(value).map_err(|_| SendError::BadHeader {
                name: (*name).to_owned(),
            })?;
            headers.insert(HeaderName::from_static(name), value);
        }
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        Ok(headers)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sender(..)")
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

#[cfg(test)]
mod tests;
