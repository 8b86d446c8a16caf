//! Logs: on stderr, without bodies, addresses or secrets.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts logging. `POSTLAKE_LOG` sets the filter (`info`, `postlake_loader=debug`, ...); otherwise
/// warnings are shown, and with `-v` what the parts do.
pub(crate) fn start(verbose: bool) {
    let usual = if verbose {
        "warn,postlake=debug,postlake_receiver=debug,postlake_loader=debug"
    } else {
        // The Delta library warns about every commit of somebody else; the loader says what matters.
        "warn,deltalake_core=error,buoyant_kernel=error"
    };
    let filter = EnvFilter::try_from_env("POSTLAKE_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
}
