//! The read listener: its routes and its life.

use std::sync::Arc;

use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Router, routing::get};
use postlake_listen::{Limits, Listener, ServeError};
use tokio_util::sync::CancellationToken;

use crate::protect::protect;
use crate::state::ServeState;
use crate::trace::traced;
use crate::{api, page};

/// All routes of the read listener with their protection.
pub fn router(state: ServeState) -> Router {
    let hosts = Arc::new(state.config().hosts.clone());
    Router::new()
        .route("/", get(page::overview))
        .merge(page::assets())
        .merge(api::routes())
        .fallback(api::no_such_path)
        .method_not_allowed_fallback(api::wrong_method)
        .layer(from_fn_with_state(hosts, protect))
        .layer(from_fn(traced))
        .with_state(state)
}

/// Serves until `shutdown` is cancelled, then lets the running answers end, within the limits.
///
/// # Errors
///
/// When answers had to be cut at the end.
pub async fn serve(
    listener: impl Into<Listener>,
    state: ServeState,
    limits: Limits,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    postlake_listen::serve(listener.into(), router(state), limits, shutdown).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;
    use crate::fixture::small_lake;

    const REQUEST: &[u8] =
        b"GET /api/v1/summary HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn it_answers_over_tcp_and_stops_when_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let state = small_lake().state();
        let serving = tokio::spawn(serve(listener, state, Limits::default(), stop.clone()));
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(REQUEST).await.unwrap();
        let mut answer = [0_u8; 15];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        drop(connection);
        stop.cancel();
        timeout(Duration::from_secs(10), serving)
            .await
            .expect("it stops")
            .unwrap()
            .unwrap();
    }
}
