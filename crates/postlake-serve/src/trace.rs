//! The span of a request, for traces. Its fields hold the route and no path, no parameter and no statement.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use postlake_listen::trace::{answered, traceparent};
use tracing::field::Empty;
use tracing::{Span, info_span};

/// The layer around everything.
pub(crate) async fn traced(request: Request, next: Next) -> Response {
    answered(of(&request), next.run(request)).await
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
