//! The answers. What the caller may know, in fixed words.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

use crate::refusal::Refusal;

/// When a refused sender should come again, in seconds.
const RETRY_AFTER_SECS: HeaderValue = HeaderValue::from_static("10");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// The acknowledgement: the batch is durable. Exactly 200, the only code that both of the sender's
/// documents count as success.
pub(crate) fn accepted_durable() -> Response {
    json(StatusCode::OK, JSON, Bytes::from_static(b"{}"))
}

/// Not acknowledged for want of a credential, with what would be one.
pub(crate) fn unauthorized(challenges: Vec<HeaderValue>) -> Response {
    let mut response = refused(Refusal::Unauthorized);
    for challenge in challenges {
        response
            .headers_mut()
            .append(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A JSON document.
pub(crate) fn json_document(status: StatusCode, document: &serde_json::Value) -> Response {
    json(status, JSON, Bytes::from(document.to_string()))
}

/// Alive or ready.
pub(crate) fn fine() -> Response {
    json(
        StatusCode::OK,
        JSON,
        Bytes::from_static(b"{\"status\":\"ok\"}"),
    )
}

/// Not acknowledged. The connection is closed: the rest of the body may still be on its way.
pub(crate) fn refused(refusal: Refusal) -> Response {
    let mut response = problem(refusal.status(), refusal.code(), &refusal.to_string());
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, CLOSE);
    if refusal.status() == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECS);
    }
    response
}

/// Alive, but not ready.
pub(crate) fn not_ready(detail: &str) -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail)
}

/// A defect in taking the request. Not acknowledged, as with every other code than 200.
pub(crate) fn panicked() -> Response {
    let mut response = problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "taking the request failed",
    );
    response.headers_mut().insert(header::CONNECTION, CLOSE);
    response
}

/// No such path.
pub(crate) fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "not_found", "no such path")
}

/// The path has no such method.
pub(crate) fn method_not_allowed() -> Response {
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "the path has no such method",
    )
}

/// RFC 9457, with our `code`.
fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let document = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });
    json(status, PROBLEM_JSON, Bytes::from(document.to_string()))
}

fn json(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
