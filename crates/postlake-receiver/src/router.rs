//! The ingest paths. Thin: reads the body, calls the receiver, says what came of it.

#[cfg(test)]
mod tests;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use futures::FutureExt as _;
use postlake_listen::trace::answered;
use postlake_raw::SourceKind;
use tracing::{Span, error};

use crate::answer;
use crate::auth::Denied;
use crate::receiver::Receiver;
use crate::refusal::Refusal;
use crate::{token_endpoint, trace};

const EVENTS: &str = "/webhooks/events";
const ALERTS: &str = "/webhooks/alerts";
const TOKEN: &str = "/oauth/token";
/// What the path with a secret in it is called.
const SECRET_ALERTS: &str = "/webhooks/alerts/{secret}";

/// The ingest endpoints and nothing else: `POST /webhooks/events`, `POST /webhooks/alerts`,
/// `POST /webhooks/alerts/{secret}`, `POST /oauth/token` if there are clients, `GET /livez`,
/// `GET /readyz`. Other paths are 404, other methods 405, as problem documents.
///
/// Failed logins are slowed by address: the request carries its peer's as
/// `axum::extract::ConnectInfo<SocketAddr>`. Without it all of them count as one.
pub fn router(receiver: Arc<Receiver>) -> Router {
    let mut router = Router::new()
        .route(EVENTS, post(events))
        .route(ALERTS, post(alerts))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz));
    if receiver.auth().issues_tokens() {
        router = router.route(TOKEN, post(token));
    }
    router
        .fallback(elsewhere)
        .method_not_allowed_fallback(async || answer::method_not_allowed())
        .with_state(receiver)
}

async fn events(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let span = trace::request(Some(EVENTS), &request);
    answered(span, guarded(&receiver, SourceKind::Event, request)).await
}

async fn alerts(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let span = trace::request(Some(ALERTS), &request);
    answered(span, guarded(&receiver, SourceKind::Alert, request)).await
}

async fn token(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let span = trace::request(Some(TOKEN), &request);
    let (head, body) = request.into_parts();
    answered(span, token_endpoint::answer(receiver.auth(), &head, body)).await
}

/// A path that has no route. An alert's secret path is no route of its own, so that a wrong secret is
/// an unknown path like any other, in words, methods and work.
async fn elsewhere(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let known = receiver.auth().opens_alerts(request.uri().path());
    if known && request.method() == Method::POST {
        let span = trace::request(Some(SECRET_ALERTS), &request);
        answered(span, webhook(&receiver, SourceKind::Alert, request)).await
    } else {
        let span = trace::request(None, &request);
        answered(span, async { answer::not_found() }).await
    }
}

/// A webhook, once its credentials are right. They are looked at before the body is read.
async fn guarded(receiver: &Receiver, source: SourceKind, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Err(denied) = receiver.auth().check(&head) else {
        return webhook(receiver, source, Request::from_parts(head, body)).await;
    };
    receiver.auth().slow_down(&denied).await;
    let note = |refusal: Refusal| {
        Span::current().record("postlake.refusal", refusal.code());
        receiver.count_refusal(refusal);
    };
    match denied {
        Denied::Address => {
            note(Refusal::AddressNotAllowed);
            answer::refused(Refusal::AddressNotAllowed)
        }
        Denied::Credentials { fault, .. } => {
            note(Refusal::Unauthorized);
            answer::unauthorized(receiver.auth().challenges(fault))
        }
    }
}

async fn webhook(receiver: &Receiver, source: SourceKind, request: Request) -> Response {
    // What a panic leaves half done is dropped: the body, and its hold on memory.
    let taken = AssertUnwindSafe(take(receiver, source, request));
    taken.catch_unwind().await.unwrap_or_else(|_panic| {
        error!("taking a request panicked");
        receiver.count_panic();
        answer::panicked()
    })
}

async fn take(receiver: &Receiver, source: SourceKind, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let accepted = receiver.accept_stream(source, &head.headers, body).await;
    let span = Span::current();
    span.record("postlake.source", source.as_str());
    match accepted {
        Ok(receipt) => {
            span.record("http.request.body.size", receipt.body_bytes);
            answer::accepted_durable()
        }
        Err(refusal) => {
            span.record("postlake.refusal", refusal.code());
            answer::refused(refusal)
        }
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
