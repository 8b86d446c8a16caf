//! The read listener: its routes and its life.

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::{Router, routing::get};
use tokio::net::TcpListener;

use crate::protect::protect;
use crate::state::ServeState;
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
        .with_state(state)
}

/// Serves until `shutdown` is ready, then takes no new connections and returns when the running answers
/// are given.
///
/// # Errors
///
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    state: ServeState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(state))
        .with_graceful_shutdown(shutdown)
        .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;
    use crate::fixture::small_lake;

    const REQUEST: &[u8] =
        b"GET /api/v1/summary HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn it_answers_over_tcp_and_stops_when_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve(listener, small_lake().state(), async move {
            stopped.await.unwrap();
        }));
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(REQUEST).await.unwrap();
        let mut answer = [0_u8; 15];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        drop(connection);
        stop.send(()).unwrap();
        timeout(Duration::from_secs(10), serving)
            .await
            .expect("it stops")
            .unwrap()
            .unwrap();
    }
}
