//! What the spans of requests have in common on every listener, for traces.

use axum::http::HeaderMap;
use axum::response::Response;
use tracing::field::display;
use tracing::{Instrument as _, Span};

/// Runs `answer` inside `span` and notes its status there; with a span that nobody wants, runs it alone.
pub async fn answered(span: Span, answer: impl Future<Output = Response>) -> Response {
    if span.is_disabled() {
        return answer.await;
    }
    let noted = async {
        let answer = answer.await;
        let (status, span) = (answer.status(), Span::current());
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("error.type", display(status.as_u16()));
        }
        answer
    };
    noted.instrument(span).await
}

/// The header `traceparent`, if there is one and only one. It is not looked at whether it is right.
pub fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all("traceparent").iter();
    let first = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(first)
}
