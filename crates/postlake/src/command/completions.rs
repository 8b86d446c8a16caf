//! `postlake completions` and `postlake man`: made from the command line itself, so never out of date.

use std::fs;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::command::output::say;
use crate::exit::{Exit, Failure};

/// Prints the completion script of a shell.
///
/// # Errors
/// When stdout does not take it.
pub(crate) fn completions(arguments: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "postlake",
        &mut script,
    );
    to_stdout(&script)
}

/// Prints the manual page, or writes one page for each command.
///
/// # Errors
/// When stdout or the directory does not take them.
pub(crate) fn man(arguments: &ManArgs) -> Result<ExitCode, Failure> {
    let Some(directory) = &arguments.dir else {
        return to_stdout(&page(Cli::command())?);
    };
    let failed = |source| {
        let doing = format!("write manual pages into {}", directory.display());
        Failure::caused(Exit::CannotCreate, doing, source)
    };
    fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(failed)?;
    say(&format!(
        "one page for each command in {}",
        directory.display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|source| Failure::caused(Exit::Io, "render the manual page", source))?;
    Ok(page)
}

fn to_stdout(bytes: &[u8]) -> Result<ExitCode, Failure> {
    match io::stdout().write_all(bytes) {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::caused(Exit::Io, "write to stdout", source))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
