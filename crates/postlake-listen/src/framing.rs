//! Requests whose end could be understood in two ways.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// True for a body in chunks. When a length stands beside them, the HTTP library goes by the chunks
/// and forgets the length, as RFC 9112, section 6.1, allows. A server before this one may have gone by
/// the length: what follows such a request must not be read as another one.
pub(crate) fn is_chunked(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
}

/// Says that the connection ends with this answer.
pub(crate) fn close_after(response: &mut Response) {
    response.headers_mut().insert(header::CONNECTION, CLOSE);
}
