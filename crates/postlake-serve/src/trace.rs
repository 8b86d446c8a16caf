//! The span of a request, for traces. Its fields hold the route and no path, no parameter and no statement.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span, info_span};

/// The layer around everything.
pub(crate) async fn traced(request: Request, next: Next) -> Response {
    let span = of(&request);
    if span.is_disabled() {
        return next.run(request).await;
    }
    let noted = async {
        let answer = next.run(request).await;
        let (status, span) = (answer.status(), Span::current());
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("error.type", display(status.as_u16()));
        }
        answer
    };
    noted.instrument(span).await
}

fn of(request: &Request) -> Span {
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(MatchedPath::as_str);
    info_span!(
        "request",
        otel.name = format!("{method} {}", route.unwrap_or_default()).trim_end(),
        otel.kind = "server",
        traceparent = traceparent(request.headers()),
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        error.type = Empty,
    )
}

/// A method by its name, if the listener knows it.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "_OTHER",
    }
}

/// The header, if there is one and only one.
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all("traceparent").iter();
    let first = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(first)
}
