//! Requests whose end could be understood in two ways.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// True for a body in chunks. Nothing behind it is read: a server before this one may take its end to be
/// elsewhere.
pub(crate) fn is_chunked(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
}

/// What is said to broken HTTP, as the HTTP library says it: without words.
pub(crate) fn broken() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    close_after(&mut response);
    response
}

/// Says that the connection ends with this answer.
pub(crate) fn close_after(response: &mut Response) {
    response.headers_mut().insert(header::CONNECTION, CLOSE);
}
