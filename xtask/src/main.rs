//! The chores of the workspace: checks, and tests with the servers they talk to.
//!
//! Start at [`COMMANDS`]. A further command is a module and a row there; measurements belong in
//! `bench.rs` and `bench/`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal"
)]

mod bench;
mod fast_checks;
mod faults;
mod full_test;
mod fuzz;
mod install;
mod package;
mod peers;
mod program;
mod steps;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

/// A command: its name, what it does, and the function that gets the root and the arguments.
type Command = (
    &'static str,
    &'static str,
    fn(&Path, &[String]) -> Result<()>,
);

const COMMANDS: &[Command] = &[
    (
        "test",
        "everything: install what is missing, start the servers, fmt, clippy, tidy, all tests",
        full_test::run,
    ),
    (
        "quick",
        "fmt, tidy, clippy and tests of the crates that differ from the last commit",
        fast_checks::run,
    ),
    (
        "peers",
        "start the servers alone, print the environment of the tests, stop at an interrupt",
        |_, _| peers::run(),
    ),
    (
        "bench",
        "measure: receive (against a bare server and the bare disk) or convert (against other engines)",
        bench::run,
    ),
    (
        "faults",
        "kill, fail, starve and cut the power of the real program; write the scoreboard",
        faults::run,
    ),
    (
        "fuzz",
        "any bytes to what reads bytes, made by libFuzzer",
        fuzz::run,
    ),
    (
        "package",
        "the packages for AWS Lambda: the function that receives, and the whole program",
        package::run,
    ),
    ("tidy", "the structural rules of the tree", |root, _| {
        tidy::run(root)
    }),
];

const DETAILS: &str = "\
test [--fast] [ARGUMENTS OF NEXTEST]
    --fast    no installs, no servers: tests that need one say so and pass over it
    Example: cargo xtask test --fast -p postlake-raw segment
bench receive|limits|load|fresh|query|compact|convert|functions [--quick] [--rounds N] [--seconds S] [--no-build]
    Writes bench/runs/<date>-<commit>-<name>.md and .json
    Example: cargo xtask bench receive
faults [--kills N] [--cuts N] [--io-kills N|all] [--s3-batches N] [--previous PATH] [--seed S] [--only NAME] [--release]
    --kills     random kills (10)
    --cuts      power cuts (20000); --seeds is the same
    --io-kills  how many calls of each kind are hit (3)
    --only      one fault: F1, F2, F3, F4, F5, F6, F15, F16, F17, F24 or (by name only) B19
    --results   write the scoreboard of what postlake-faults printed into this file; may come again
    Writes bench/runs/<date>-<commit>-faults.md and .json
fuzz [--seconds N] [TARGET ...]
    --seconds   how long for each target (60)
    Needs cargo-fuzz, and builds it when it is not there. What is found lies in fuzz/artifacts
    Example: cargo xtask fuzz --seconds 600 decode
package [--receive] [--out FOLDER]
    --receive   only the package that receives
    Writes postlake-receive.zip and postlake.zip into target/package
peers
    Example: cargo xtask peers > peers.env, and elsewhere: source peers.env; cargo nextest run -p postlake-sinks
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first().filter(|(name, _)| !is_help(name)) else {
        print!("{}", help());
        return Ok(());
    };
    let command = COMMANDS.iter().find(|(known, ..)| known == name);
    let (_, _, action) =
        command.with_context(|| format!("there is no command {name}\n\n{}", help()))?;
    action(&root()?, rest)
}

fn is_help(name: &str) -> bool {
    ["help", "--help", "-h"].contains(&name)
}

fn help() -> String {
    let rows: String = COMMANDS
        .iter()
        .map(|(name, what, _)| format!("  {name:<8}{what}\n"))
        .collect();
    format!("cargo xtask COMMAND\n\n{rows}\n{DETAILS}")
}

/// The root of the workspace: the folder above this package.
fn root() -> Result<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let parent = manifest
        .parent()
        .context("the package lies in the workspace")?;
    Ok(parent.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_command() {
        let help = help();
        for (name, what, _) in COMMANDS {
            assert!(help.contains(name) && help.contains(what), "{name}");
        }
    }

    #[test]
    fn an_unknown_command_is_an_error_with_the_list() {
        let error = run(&["nothing".to_owned()]).unwrap_err().to_string();
        assert!(
            error.contains("there is no command nothing") && error.contains("tidy"),
            "{error}"
        );
    }
}
