//! `POST /oauth/token`: the client credentials grant (RFC 6749, 4.4), so that the sender's OAuth 2.0
//! needs no other server.
//!
//! SparkPost posts the fields of its form to the URL given there; how it encodes them is not
//! documented, so JSON and form bodies are both taken, and the client may say who it is in the body or
//! by basic authentication.

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use tokio::time::timeout;

use crate::answer;
use crate::auth::{Auth, Issued, LoginFault, basic_parts, of_scheme};

const MAX_BODY_BYTES: usize = 16 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
const GRANT: &str = "client_credentials";
/// The one scope there is: to post webhooks.
const SCOPE: &str = "ingest";

/// The error codes of RFC 6749, 5.2, and what a browser gets that another site has sent here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    InvalidRequest(&'static str),
    InvalidClient,
    UnsupportedGrantType,
    CrossSite,
}

/// Answers a token request.
pub(crate) async fn answer(auth: &Auth, head: &Parts, body: Body) -> Response {
    let granted = async {
        same_site(&head.headers)?;
        let request = Request::read(&head.headers, body).await?;
        let known = request
            .logins()?
            .into_iter()
            .fold(None, |known, (id, secret)| {
                known.or(auth.issue(&id, &secret))
            });
        known.ok_or(Fault::InvalidClient)
    };
    match granted.await {
        Ok(issued) => token(&issued),
        Err(fault) => {
            if fault == Fault::InvalidClient {
                let denied = auth.denied(head, LoginFault::Wrong);
                auth.slow_down(&denied).await;
            }
            refusal(fault)
        }
    }
}

/// A browser on another site's page may send a form here; no sender of webhooks is a browser.
fn same_site(headers: &HeaderMap) -> Result<(), Fault> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let from_here = site.is_none_or(|site| matches!(site, b"same-origin" | b"none"));
    if from_here && !headers.contains_key(header::ORIGIN) {
        Ok(())
    } else {
        Err(Fault::CrossSite)
    }
}

/// What the client asks for. Each field may be there once (RFC 6749, 3.2).
#[derive(Deserialize, Default)]
struct Form {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

struct Request {
    form: Form,
    basic: Option<(String, String)>,
}

impl Request {
    async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Fault> {
        let basic = match headers.get(header::AUTHORIZATION) {
            None => None,
            Some(value) => {
                let login = of_scheme(value.as_bytes(), b"basic").and_then(basic_parts);
                Some(login.ok_or(Fault::InvalidClient)?)
            }
        };
        let body = timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await;
        let Ok(Ok(body)) = body else {
            return Err(Fault::InvalidRequest(
                "the body is too long or did not come",
            ));
        };
        let form = form(&body).ok_or(Fault::InvalidRequest(
            "the body is neither a form nor a JSON object, or has a field twice",
        ))?;
        Ok(Self { form, basic })
    }

    /// Whom the client may mean. By basic authentication id and secret are encoded as in a form (RFC
    /// 6749, 2.3.1), which many clients leave out: both readings are tried.
    fn logins(self) -> Result<Vec<(String, String)>, Fault> {
        match self.form.grant_type.as_deref() {
            Some(GRANT) => {}
            Some(_) => return Err(Fault::UnsupportedGrantType),
            None => return Err(Fault::InvalidRequest("grant_type is missing")),
        }
        match (self.basic, self.form.client_id, self.form.client_secret) {
            (Some(_), _, Some(_)) => Err(Fault::InvalidRequest(
                "the client says twice who it is, in the header and in the body",
            )),
            (Some((id, secret)), _, None) => {
                let decoded = (form_decoded(&id), form_decoded(&secret));
                Ok(vec![(id, secret), decoded])
            }
            (None, Some(id), Some(secret)) => Ok(vec![(id, secret)]),
            (None, _, _) => Err(Fault::InvalidClient),
        }
    }
}

/// The fields, whatever the content type says: a JSON object begins with a brace and a form cannot.
fn form(body: &Bytes) -> Option<Form> {
    let text = std::str::from_utf8(body).ok()?.trim_ascii();
    if text.starts_with('{') {
        return serde_json::from_str(text).ok();
    }
    let mut form = Form::default();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let field = match form_decoded(name).as_str() {
            "grant_type" => &mut form.grant_type,
            "client_id" => &mut form.client_id,
            "client_secret" => &mut form.client_secret,
            _ => continue,
        };
        if field.replace(form_decoded(value)).is_some() {
            return None;
        }
    }
    Some(form)
}

fn form_decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// RFC 6749, 5.1.
fn token(issued: &Issued) -> Response {
    let document = serde_json::json!({
        "access_token": issued.token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": SCOPE,
    });
    never_stored(answer::json_document(StatusCode::OK, &document))
}

/// RFC 6749, 5.2.
fn refusal(fault: Fault) -> Response {
    let (status, code, description) = match fault {
        Fault::InvalidRequest(why) => (StatusCode::BAD_REQUEST, "invalid_request", why),
        Fault::InvalidClient => (
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "no client has this id and secret",
        ),
        Fault::UnsupportedGrantType => (
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "the grant type is client_credentials",
        ),
        Fault::CrossSite => (
            StatusCode::FORBIDDEN,
            "invalid_request",
            "browsers of other sites get no token",
        ),
    };
    let document = serde_json::json!({ "error": code, "error_description": description });
    let mut response = never_stored(answer::json_document(status, &document));
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if fault == Fault::InvalidClient {
        let basic = HeaderValue::from_static("Basic realm=\"postlake\"");
        headers.insert(header::WWW_AUTHENTICATE, basic);
    }
    response
}

fn never_stored(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
