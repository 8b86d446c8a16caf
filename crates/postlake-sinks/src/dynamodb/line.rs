//! The line to DynamoDB: its JSON protocol over HTTP, signed.
//!
//! Eight calls are all that is used, so no SDK: the store library brings the HTTP client, the signer
//! and every way to find credentials (variables, profiles of containers, web identity, the instance).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, header};
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpConnector as _, HttpRequestBody, ReqwestConnector};

use super::api::BoxError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// One call; it is made again when it does not come back.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Name of the protocol's version in the header that names the action.
const TARGET: &str = "DynamoDB_20120810";
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Carries calls; tests put other lines in its place.
#[async_trait]
pub(crate) trait Line: fmt::Debug + Send + Sync {
    /// Sends `request`, the JSON of `action`.
    ///
    /// # Errors
    /// When there is no whole answer; the call may have had its effect.
    async fn call(&self, action: &str, request: Vec<u8>) -> Result<Answer, BoxError>;
}

/// Where DynamoDB answers, and who asks.
#[derive(Clone)]
pub struct DynamoDbEndpoint {
    /// `https://dynamodb.<region>.amazonaws.com`, or where an emulator listens.
    pub url: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Who signs.
    pub credentials: AwsCredentialProvider,
}

impl fmt::Debug for DynamoDbEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DynamoDbEndpoint({}, {})", self.url, self.region)
    }
}

#[derive(Debug)]
pub(crate) struct SignedLine {
    client: HttpClient,
    endpoint: DynamoDbEndpoint,
}

impl SignedLine {
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub(crate) fn open(endpoint: DynamoDbEndpoint) -> Result<SignedLine, object_store::Error> {
        let options = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout(CALL_TIMEOUT)
            .with_allow_http(endpoint.url.starts_with("http://"));
        Ok(SignedLine {
            client: ReqwestConnector::default().connect(&options)?,
            endpoint,
        })
    }
}

#[async_trait]
impl Line for SignedLine {
    async fn call(&self, action: &str, request: Vec<u8>) -> Result<Answer, BoxError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/", self.endpoint.url.trim_end_matches('/')))
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header("x-amz-target", format!("{TARGET}.{action}"))
            .body(HttpRequestBody::from(request))?;
        let credential = self.endpoint.credentials.get_credential().await?;
        AwsAuthorizer::new(&credential, "dynamodb", &self.endpoint.region)
            .try_authorize(&mut request, None)?;
        let answer = self.client.execute(request).await?;
        Ok(Answer {
            status: answer.status().as_u16(),
            body: answer.into_body().bytes().await?,
        })
    }
}
