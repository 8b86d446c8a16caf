//! Logs: on stderr, without bodies, addresses or secrets.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Libraries that write values of rows and questions into their debug logs: `POSTLAKE_LOG=debug` does
/// not reach them. The Delta ones also warn about every commit of somebody else; the loader says what
/// matters.
const INDISCREET: [&str; 4] = [
    "buoyant_kernel=error",
    "datafusion=warn",
    "deltalake_core=error",
    "sqlparser=warn",
];

/// Starts logging. `POSTLAKE_LOG` sets the filter (`info`, `postlake_loader=debug`, ...); otherwise
/// warnings are shown, and with `-v` what the parts do.
pub(crate) fn start(verbose: bool) {
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
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
}
