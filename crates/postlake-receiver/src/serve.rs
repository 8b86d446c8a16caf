//! The ingest listener: the receiver's paths on connections, and its readiness while they drain.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use postlake_listen::{Listener, ServeError};
use tokio_util::sync::CancellationToken;

use crate::receiver::Receiver;
use crate::router::router;

/// Answers requests on `listener` until `shutdown` is cancelled. From then on `readyz` says 503 and
/// the connections drain, as [`postlake_listen::serve`] says. The receiver stays open: close it
/// afterwards.
///
/// # Errors
/// [`ServeError::DrainTimeout`] when requests had to be cut; none of them was acknowledged.
pub async fn serve(
    listener: impl Into<Listener>,
    receiver: Arc<Receiver>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let router = router(Arc::clone(&receiver));
    let limits = receiver.config().connections;
    let said = async {
        shutdown.cancelled().await;
        receiver.begin_drain();
    };
    let served = postlake_listen::serve(listener.into(), router, limits, shutdown.clone());
    let (served, ()) = tokio::join!(served, said);
    served
}
