//! The span of a request, for traces. Its fields hold nothing that a sender can choose: no path, since one
//! may be a secret, no header, no address.

use axum::extract::Request;
use axum::http::Method;
use postlake_listen::trace::traceparent;
use tracing::field::Empty;
use tracing::{Span, info_span};

/// The span of a request to `route`, if it is one that there is. Part of the trace that its header
/// `traceparent` names, if it names one; whoever collects spans looks whether it is right.
pub(crate) fn request(route: Option<&'static str>, request: &Request) -> Span {
    let method = method(request.method());
    info_span!(
        "request",
        otel.name = format!("{method} {}", route.unwrap_or_default()).trim_end(),
        otel.kind = "server",
        traceparent = traceparent(request.headers()),
        http.request.method = method,
        http.route = route,
        http.request.body.size = Empty,
        http.response.status_code = Empty,
        postlake.source = Empty,
        postlake.refusal = Empty,
        error.type = Empty,
    )
}

/// A method by its name; what is none is sent by those who try what happens.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
}
