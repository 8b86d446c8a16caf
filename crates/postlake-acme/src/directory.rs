//! What an authority says about itself.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use instant_acme::{BodyWrapper, Error, HttpClient as _};
use postlake_listen::Now;
use serde::Deserialize;

use crate::authority::{Authority, ClientError};
use crate::settings::Settings;

/// Why the directory could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// There can be no client.
    #[error("set up the client")]
    Client {
        /// Why.
        source: ClientError,
    },
    /// Nobody answers, or not as an authority does.
    #[error("ask for the directory")]
    Exchange {
        /// Why.
        source: Error,
    },
    /// The answer is not 200.
    #[error("the answer is {status}")]
    Status {
        /// What it is.
        status: u16,
    },
}

/// An authority's directory, as far as a user wants to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where its terms can be read.
    pub terms: Option<String>,
    /// It serves only those who have an account with it already.
    pub external_account_required: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    #[serde(rename = "newOrder")]
    _new_order: String,
    #[serde(rename = "newAccount")]
    _new_account: String,
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    terms_of_service: Option<String>,
    #[serde(default)]
    external_account_required: bool,
}

/// Asks the authority of `settings` for its directory; nothing is ordered.
///
/// # Errors
/// When it cannot be reached or sends something else.
pub async fn directory(settings: &Settings, now: &Now) -> Result<Directory, DirectoryError> {
    let authority = Authority::new(settings, Arc::clone(now));
    let authority = authority.map_err(|source| DirectoryError::Client { source })?;
    let exchange = |source| DirectoryError::Exchange { source };
    let request = Request::builder()
        .uri(settings.directory.as_str())
        .body(BodyWrapper::<Bytes>::default())
        .map_err(|source| exchange(source.into()))?;
    let mut response = authority.request(request).await.map_err(exchange)?;
    let status = response.parts.status;
    if !status.is_success() {
        let status = status.as_u16();
        return Err(DirectoryError::Status { status });
    }
    let body = response.body.into_bytes().await;
    let body = body.map_err(|source| exchange(Error::Other(source)))?;
    let sent: Sent = serde_json::from_slice(&body).map_err(|source| exchange(source.into()))?;
    Ok(Directory {
        terms: sent.meta.terms_of_service,
        external_account_required: sent.meta.external_account_required,
    })
}
