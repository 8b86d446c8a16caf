//! stdout is data, stderr is talk.

mod meter;

use std::io::{self, IsTerminal as _, Write as _};

use postlake_serve::SqlError;
use postlake_serve::format::{Format, FormatError};

use crate::exit::{Exit, Failure};
pub(crate) use meter::Meter;

/// Says a line on stderr.
#[expect(clippy::print_stderr, reason = "the one place that talks to the user")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// Writes a line of data on stdout; a reader that has gone away is no failure.
///
/// # Errors
/// When stdout does not take it.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}") {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::caused(Exit::Io, "write to stdout", source))
        }
        _ => Ok(()),
    }
}

/// Who runs this, for the audit log.
pub(crate) fn who() -> String {
    let name = ["USER", "LOGNAME"];
    let mut names = name.iter().filter_map(|name| std::env::var(name).ok());
    names.find(|name| !name.is_empty()).unwrap_or_else(|| {
        let id = rustix::process::getuid().as_raw();
        format!("uid {id}")
    })
}

/// The format that was asked for, or a table for a person and CSV for a pipe.
pub(crate) fn format_or_default(asked: Option<Format>) -> Format {
    asked.unwrap_or(if io::stdout().is_terminal() {
        Format::Table
    } else {
        Format::Csv
    })
}

/// How a failed question ends.
pub(crate) fn sql_failure(error: SqlError) -> Failure {
    let exit = if error.kind().is_users_fault() {
        Exit::Data
    } else {
        Exit::Unavailable
    };
    Failure::caused(exit, "ask the lake", error)
}

/// How a failed output ends; a reader that has gone away is no failure.
///
/// # Errors
/// The failure, unless the pipe was closed.
pub(crate) fn written(result: Result<(), FormatError>) -> Result<(), Failure> {
    match result {
        Ok(()) => Ok(()),
        Err(FormatError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::caused(Exit::Io, "write the answer", error)),
    }
}
