//! What every function of AWS Lambda has: the line to the runtime ([`runtime`]), and the function that
//! receives ([`receive`]).
//!
//! No SDK: the runtime's interface is three HTTP calls.

pub(crate) mod receive;
pub(crate) mod runtime;

mod http_event;

use std::time::Duration;

use crate::exit::Failure;
use crate::telemetry::send_traces;
use runtime::{Invocation, Runtime, VARIABLE};

/// Between an answer and the next event the collector of traces gets this long at most.
const TRACES_PATIENCE: Duration = Duration::from_secs(1);

/// Answers events, one after the other.
pub(crate) trait Function {
    /// What came of an event: the answer's bytes, or why there is none.
    fn answer(
        &self,
        invocation: &Invocation,
    ) -> impl Future<Output = Result<Vec<u8>, Failure>> + Send;
}

/// Whether this process was started by the runtime, which gives no arguments.
pub(crate) fn is_entered() -> bool {
    std::env::var_os(VARIABLE).is_some() && std::env::args_os().len() == 1
}

/// Answers invocations until the runtime ends the process.
///
/// # Errors
/// When the function cannot start, which the runtime is told, or the runtime does not answer.
pub(crate) async fn run<F: Function + Sync>(
    start: impl FnOnce() -> Result<F, Failure> + Send,
) -> Result<(), Failure> {
    let runtime = Runtime::of_environment()?;
    let function = match start() {
        Ok(function) => function,
        Err(failure) => {
            runtime.cannot_start(&failure).await;
            return Err(failure);
        }
    };
    loop {
        let invocation = runtime.next().await?;
        let done = function.answer(&invocation).await;
        runtime.answer(&invocation, done).await?;
        // The process stands still until the next event, which may be hours away.
        send_traces(TRACES_PATIENCE).await;
    }
}
