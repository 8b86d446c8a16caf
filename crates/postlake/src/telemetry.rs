//! Logs: on stderr, structured, without bodies, addresses or secrets.
//!
//! A line is one event: text for people or a JSON object. Control, invisible and direction-changing
//! characters are shown as escapes in both, so that text from outside can neither forge a line nor
//! drive a terminal. A fault that lasts is told a few times and then once a minute.
//!
//! Traces go to a collector of OpenTelemetry, if one is named.

mod line;
mod repeats;
mod traces;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use postlake_raw::clock::Clock;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::TraceSettings;
use crate::exit::{Exit, Failure};
use line::Line;
use repeats::Repeats;
pub(crate) use traces::{counts as span_counts, flush as flush_traces, send as send_traces};

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "whole", derive(clap::ValueEnum))]
pub(crate) enum LogFormat {
    // For people.
    Text,
    // One JSON object per line.
    Json,
}

/// Libraries that write values of rows and questions into their debug logs: `POSTLAKE_LOG=debug` does
/// not reach them. The Delta ones also warn about every commit of somebody else; the loader says what
/// matters.
const INDISCREET: [&str; 4] = [
    "buoyant_kernel=error",
    "datafusion=warn",
    "deltalake_core=error",
    "sqlparser=warn",
];

/// The variable that `--log-format` may be given by; how the read process is told.
pub(crate) const FORMAT_VARIABLE: &str = "POSTLAKE_LOG_FORMAT";

/// The log is one for the process, so its counts are too.
static ERRORS: AtomicU64 = AtomicU64::new(0);
static WARNINGS: AtomicU64 = AtomicU64::new(0);
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Errors, warnings, and how many of both were left out of the log because they were alike.
pub(crate) fn counts() -> (u64, u64, u64) {
    (
        ERRORS.load(Relaxed),
        WARNINGS.load(Relaxed),
        LEFT_OUT.load(Relaxed),
    )
}

/// The value of [`FORMAT_VARIABLE`] for a child process.
pub(crate) fn format_name() -> &'static str {
    match IS_JSON.load(Relaxed) {
        true => "json",
        false => "text",
    }
}

/// How long the end of the program waits for the collector of traces, unless it was flushed before.
const LAST_TRACES: Duration = Duration::from_secs(1);

/// What has to be kept until the end of the program: dropping it sends the last traces.
#[must_use]
#[derive(Debug)]
pub(crate) struct Telemetry {}

impl Drop for Telemetry {
    fn drop(&mut self) {
        flush_traces(LAST_TRACES);
    }
}

/// Starts logging. `POSTLAKE_LOG` sets the filter (`info`, `postlake_loader=debug`, ...); otherwise
/// warnings are shown, and with `-v` what the parts do. With `traces` spans are sent.
///
/// # Errors
/// When there is no thread to send from, or no HTTP client. Logging has started then.
pub(crate) fn start(
    verbose: bool,
    format: LogFormat,
    traces: Option<&TraceSettings>,
    clock: Arc<dyn Clock>,
) -> Result<Telemetry, Failure> {
    IS_JSON.store(format == LogFormat::Json, Relaxed);
    let usual = if verbose {
        "warn,postlake=debug,postlake_receiver=debug,postlake_loader=debug"
    } else {
        "warn"
    };
    let asked = EnvFilter::try_from_env("POSTLAKE_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let filter = INDISCREET
        .iter()
        .filter_map(|directive| directive.parse().ok())
        .fold(asked, EnvFilter::add_directive);
    let coloured = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = Log {
        clock: Arc::clone(&clock),
        format,
        coloured,
        repeats: Repeats::default(),
    };
    let registry = tracing_subscriber::registry().with(log.with_filter(filter));
    let traces = traces
        .map(|traces| traces::start(traces, clock))
        .transpose();
    let (traces, failure) = match traces {
        Ok(traces) => (traces, None),
        Err(failure) => (None, Some(failure)),
    };
    // Without traces nothing is added: an absent layer would have a say in what is logged.
    match traces {
        Some(traces) => registry.with(traces).init(),
        None => registry.init(),
    }
    tell_panics();
    match failure {
        Some(failure) => Err(failure),
        None => Ok(Telemetry {}),
    }
}

/// A panic is a line like any other. Its message is told when it is a literal: others may hold values.
/// One of the runtime itself ends the process, which would go on without being woken any more.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload().downcast_ref::<&'static str>();
        let place = panic.location().map(ToString::to_string);
        let place = place.unwrap_or_default();
        tracing::error!(
            place,
            reason = message.copied().unwrap_or("not told, it may hold data"),
            "a part of the program panicked"
        );
        if is_of_the_runtime(&place) {
            end_at_once();
        }
    }));
}

/// Whether that is where the runtime waits, wakes and hands out work.
fn is_of_the_runtime(place: &str) -> bool {
    let mut parts = place.split("/src/runtime/");
    let library = parts.next().and_then(|path| path.rsplit('/').next());
    let part = parts.next().unwrap_or_default();
    library.is_some_and(|name| name == "tokio" || name.starts_with("tokio-"))
        && ["io/", "driver", "park", "scheduler/"]
            .iter()
            .any(|broken| part.starts_with(broken))
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing can be drained without a runtime; what was answered 200 is durable"
)]
fn end_at_once() -> ! {
    let ends = Failure::new(
        Exit::Failure,
        "the runtime of this process has failed and it cannot go on; start it again",
    );
    let _code = ends.report();
    std::process::exit(Exit::Failure as i32)
}

struct Log {
    clock: Arc<dyn Clock>,
    format: LogFormat,
    coloured: bool,
    repeats: Repeats,
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut line = Line::of(event);
        let level = *event.metadata().level();
        let count = match level {
            Level::ERROR => Some(&ERRORS),
            Level::WARN => Some(&WARNINGS),
            _ => None,
        };
        if let Some(count) = count {
            count.fetch_add(1, Relaxed);
            match self.repeats.admit(line.kind(event)) {
                Some(0) => {}
                Some(left_out) => line.add("alike_left_out", left_out.to_string()),
                None => {
                    LEFT_OUT.fetch_add(1, Relaxed);
                    return;
                }
            }
        }
        let now = self.clock.now();
        let text = match self.format {
            LogFormat::Text => line.text(now, self.coloured),
            LogFormat::Json => line.json(now),
        };
        // Nobody is left to tell when stderr is closed.
        drop(io::stderr().write_all(text.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_the_runtime_are_known() {
        let cargo = "registry/src/index.crates.io-1949cf8c6b5b557f";
        for place in [
            format!("{cargo}/tokio-1.54.1/src/runtime/io/driver.rs:279:27"),
            "vendor/tokio/src/runtime/scheduler/multi_thread/worker.rs:1:1".to_owned(),
        ] {
            assert!(is_of_the_runtime(&place), "{place}");
        }
        for place in [
            "",
            "crates/postlake/src/runtime/io/driver.rs:1:1",
            &format!("{cargo}/tokio-1.54.1/src/sync/mpsc/chan.rs:1:1"),
            &format!("{cargo}/tokio-1.54.1/src/runtime/task/core.rs:1:1"),
            &format!("{cargo}/buoyant_kernel_engine-0.28.0/src/executor.rs:283:22"),
        ] {
            assert!(!is_of_the_runtime(place), "{place}");
        }
    }
}
