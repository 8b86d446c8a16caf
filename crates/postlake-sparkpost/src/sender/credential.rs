//! How a sender shows who it is, in the ways that SparkPost's forms offer.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use reqwest::{Client, Url};
use tokio::sync::Mutex;

use super::{ANSWER_TIMEOUT, SendError};

/// Most bytes of an answer with a token.
const MAX_TOKEN_ANSWER_BYTES: usize = 64 * 1024;

/// A credential. Its secrets are never shown.
#[derive(Clone)]
pub enum Credential {
    /// Basic authentication; SparkPost allows an empty password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// OAuth 2.0 client credentials: a token is fetched before the first request, and again after a 400
    /// or 401, which SparkPost takes for "expired" (webhooks guide, authentication).
    OAuth2 {
        /// Where tokens are given out.
        token_url: String,
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: String,
    },
    /// A header of any name.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// The end of the path that alerts go to; events go out without a credential.
    AlertPath {
        /// The secret.
        secret: String,
    },
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credential(..)")
    }
}

/// The value of `Authorization` for a user.
pub(super) fn basic(username: &str, password: &str) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("{username}:{password}"))
    )
}

/// Fetches tokens, and keeps the last one.
#[derive(Clone)]
pub(super) struct Tokens {
    client: Client,
    url: Url,
    body: String,
    current: Arc<Mutex<Option<HeaderValue>>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tokens(..)")
    }
}

impl Tokens {
    pub(super) fn new(
        client: Client,
        token_url: &str,
        client_id: &str,
        client_secret: &str,
    ) -> Result<Self, SendError> {
        let url = Url::parse(token_url).map_err(|error| SendError::BadUrl(error.into()))?;
        let body = serde_json::json!({
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        });
        Ok(Self {
            client,
            url,
            body: body.to_string(),
            current: Arc::default(),
        })
    }

    /// The last token, or a new one when there is none or it is the one that did not do.
    pub(super) async fn bearer(
        &self,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, SendError> {
        let mut current = self.current.lock().await;
        match current.as_ref().filter(|token| Some(*token) != refused) {
            Some(token) => Ok(token.clone()),
            None => Ok(current.insert(self.fetch().await?).clone()),
        }
    }

    async fn fetch(&self) -> Result<HeaderValue, SendError> {
        let request = self
            .client
            .post(self.url.clone())
            .timeout(ANSWER_TIMEOUT)
            .header("content-type", "application/json")
            .body(self.body.clone());
        let mut response = request.send().await.map_err(SendError::of_exchange)?;
        let status = response.status().as_u16();
        let no_token = || SendError::NoToken { status };
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(SendError::of_exchange)? {
            answer.extend_from_slice(&chunk);
            if answer.len() > MAX_TOKEN_ANSWER_BYTES {
                return Err(no_token());
            }
        }
        let document: serde_json::Value =
            serde_json::from_slice(&answer).map_err(|_no_json| no_token())?;
        let token = document
            .get("access_token")
            .and_then(|token| token.as_str());
        let bearer = format!("Bearer {}", token.ok_or_else(no_token)?);
        let mut bearer = HeaderValue::try_from(bearer).map_err(|_odd| no_token())?;
        bearer.set_sensitive(true);
        Ok(bearer)
    }
}
