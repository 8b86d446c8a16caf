//! The admin listener: metrics, health with its reasons, and the status. For this machine alone.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use postlake_listen::Limits;
use postlake_serve::HostPolicy;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::metrics;
use crate::admin::vitals::Vitals;
use crate::exit::{Exit, Failure};

/// Most connections at a time; idle ones make room.
const MAX_CONNECTIONS: usize = 64;

/// An open admin listener. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Admin {
    task: JoinHandle<()>,
    pub(crate) address: SocketAddr,
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves until the result is dropped: readers of metrics are not waited for.
///
/// # Errors
/// When the listener has no address.
pub(crate) fn start(listener: TcpListener, vitals: Arc<Vitals>) -> Result<Admin, Failure> {
    let address = listener.local_addr().map_err(|source| {
        let doing = "read the address of the admin listener";
        Failure::caused(Exit::Unavailable, doing, source)
    })?;
    let served = postlake_listen::serve(
        listener.into(),
        router(address, vitals),
        limits(),
        CancellationToken::new(),
    );
    let task = tokio::spawn(async move {
        // Nobody asks it to drain.
        if let Err(error) = served.await {
            tracing::error!("the admin listener ended: {error}");
        }
    });
    Ok(Admin { task, address })
}

/// Scrapers and people of one machine: no program of it may take the descriptors that webhooks need.
fn limits() -> Limits {
    Limits {
        max_connections: MAX_CONNECTIONS,
        ..Limits::default()
    }
}

/// A page on another site must neither read this nor make a browser ask: the layer checks the name in
/// `Host` and refuses other sites, as on the read listener.
fn router(address: SocketAddr, vitals: Arc<Vitals>) -> Router {
    let hosts = Arc::new(HostPolicy::for_address(address, &[]));
    Router::new()
        .route("/metrics", get(prometheus))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/api/v1/status", get(status))
        .layer(from_fn_with_state(hosts, postlake_serve::protect))
        .with_state(vitals)
}

async fn prometheus(State(vitals): State<Arc<Vitals>>) -> Response {
    match metrics::page(vitals.status()) {
        Ok(page) => ([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], page).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn readyz(State(vitals): State<Arc<Vitals>>) -> Response {
    let status = vitals.status();
    let code = match status.ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let details = json!({ "ready": status.ready, "checks": status.checks });
    (code, Json(details)).into_response()
}

async fn status(State(vitals): State<Arc<Vitals>>) -> Response {
    Json(vitals.status()).into_response()
}
