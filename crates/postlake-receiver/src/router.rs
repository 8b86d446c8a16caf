//! The ingest paths. Thin: reads the body, calls the receiver, says what came of it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use postlake_raw::SourceKind;

use crate::answer;
use crate::receiver::Receiver;

/// The ingest endpoints and nothing else: `POST /webhooks/events`, `POST /webhooks/alerts`,
/// `GET /livez`, `GET /readyz`. Other paths are 404, other methods 405, as problem documents.
pub fn router(receiver: Arc<Receiver>) -> Router {
    Router::new()
        .route("/webhooks/events", post(events))
        .route("/webhooks/alerts", post(alerts))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(async || answer::not_found())
        .method_not_allowed_fallback(async || answer::method_not_allowed())
        .with_state(receiver)
}

async fn events(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    webhook(&receiver, SourceKind::Event, request).await
}

async fn alerts(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    webhook(&receiver, SourceKind::Alert, request).await
}

async fn webhook(receiver: &Receiver, source: SourceKind, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match receiver.accept_stream(source, &head.headers, body).await {
        Ok(_receipt) => answer::accepted_durable(),
        Err(refusal) => answer::refused(refusal),
    }
}

async fn livez() -> Response {
    answer::fine()
}

async fn readyz(State(receiver): State<Arc<Receiver>>) -> Response {
    match receiver.unready_reason() {
        None => answer::fine(),
        Some(reason) => answer::not_ready(reason),
    }
}
