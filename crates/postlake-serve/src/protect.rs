//! What stands in front of every route: whose name the request may use, what a browser may do with the
//! answer, and that no other site can make a browser ask.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::api::Problem;
use crate::hosts::HostPolicy;

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
     script-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// The layer around all routes. Every answer, refusals included, carries the security headers, and
/// `Cache-Control: no-store` unless its route said otherwise.
///
/// Used by the read listener, and by whoever opens another one that browsers of this machine reach.
pub async fn protect(
    State(hosts): State<Arc<HostPolicy>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match admit(&hosts, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn admit(hosts: &HostPolicy, request: &Request) -> Result<(), Problem> {
    let host = check_host(hosts, request.uri(), request.headers())?;
    match *request.method() {
        Method::GET | Method::HEAD => Ok(()),
        Method::POST => check_same_site(request.headers(), host),
        _ => Err(Problem::method_not_allowed()),
    }
}

fn check_host<'a>(
    hosts: &HostPolicy,
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Result<&'a str, Problem> {
    let named = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| uri.authority().map(|authority| authority.as_str()))
        .ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "host-missing",
                "the request names no host",
            )
        })?;
    let in_target = uri.host().is_none_or(|host| hosts.allows(host));
    if hosts.allows(named) && in_target {
        return Ok(named);
    }
    Err(Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "host-not-allowed",
        "this listener does not answer to that host name",
    )
    .with_detail("Ask for it as localhost or 127.0.0.1, or add the name to the allowed hosts."))
}

/// A browser says where a request comes from; a program says nothing and is let through.
fn check_same_site(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let same_site = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => origin
            .split_once("://")
            .is_some_and(|(_, from)| from.eq_ignore_ascii_case(host)),
        (None, None) => true,
    };
    if same_site {
        Ok(())
    } else {
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "cross-site",
            "requests from other sites are refused",
        ))
    }
}
