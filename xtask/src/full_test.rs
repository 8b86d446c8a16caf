//! `cargo xtask test`: from a fresh checkout to one exit code.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::program::{cargo, show, shown};
use crate::steps::Steps;
use crate::{faults, install, package, peers, tidy};

/// A line of output longer than this is cut.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// What the arguments ask for.
#[derive(Debug, PartialEq)]
struct Request {
    fast: bool,
    /// For nextest; without a package among them, the whole workspace is meant.
    nextest: Vec<String>,
}

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let request = Request::parse(arguments);
    let mut steps = Steps::default();
    let tools = if request.fast {
        None
    } else {
        steps.run("install", install::all)
    };
    check_sources(&mut steps, root, &request);
    let built = steps
        .run("build tests", || {
            shown(&mut request.nextest(root, &["--no-run"]))
        })
        .is_some();
    let peers = tools
        .as_ref()
        .and_then(|tools| steps.run("servers", || peers::start(tools)));

    let closing = if !built {
        steps.skip("tests", "they do not build");
        None
    } else if peers.is_none() && !request.fast {
        steps.skip("tests", "a server is missing");
        None
    } else {
        let variables = peers.as_ref().map_or(&[][..], |peers| peers.variables());
        let mut nextest = request.nextest(root, &["--profile", "ci"]);
        nextest.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut closing = String::new();
        steps.run("tests", || run_nextest(&mut nextest, &mut closing));
        Some(closing)
    };
    drop(peers);
    if request.fast || !request.nextest.is_empty() {
        steps.skip("faults", "only with everything else");
    } else if built {
        steps.run("faults", || faults::small(root));
    }
    eprint!("\n{}", steps.summary());
    // The runner's own closing lines come last, where people and machines look for them.
    eprint!("{}", closing.unwrap_or_default());
    steps.outcome()
}

fn check_sources(steps: &mut Steps, root: &Path, request: &Request) {
    let clippy = ["clippy", "--locked", "--all-targets"];
    let scope = request.packages();
    steps.run("fmt", || {
        shown(
            cargo()
                .args(["fmt", "--all", "--check", "--", "-l"])
                .current_dir(root),
        )
    });
    steps.run("clippy", || {
        shown(
            cargo()
                .args(clippy)
                .args(scope)
                .args(["--", "-D", "warnings"])
                .current_dir(root),
        )
    });
    steps.run("tidy", || tidy::run(root));
    if !request.fast {
        steps.run("receive alone", || package::check_receive(root));
    }
}

impl Request {
    fn parse(arguments: &[String]) -> Self {
        let (fast, nextest): (Vec<_>, Vec<_>) = arguments
            .iter()
            .cloned()
            .partition(|argument| argument == "--fast");
        Self {
            fast: !fast.is_empty(),
            nextest,
        }
    }

    /// The packages named in the arguments, as arguments; else the whole workspace.
    fn packages(&self) -> Vec<String> {
        let mut packages = Vec::new();
        let mut arguments = self.nextest.iter();
        while let Some(argument) = arguments.next() {
            if argument == "-p" || argument == "--package" {
                packages.extend([
                    "-p".to_owned(),
                    arguments.next().cloned().unwrap_or_default(),
                ]);
            }
        }
        if packages.is_empty() {
            vec!["--workspace".to_owned()]
        } else {
            packages
        }
    }

    fn nextest(&self, root: &Path, options: &[&str]) -> Command {
        let mut command = cargo();
        command
            .args(["nextest", "run", "--locked"])
            .args(options)
            .current_dir(root);
        if self.packages().iter().any(|scope| scope == "--workspace") {
            command.arg("--workspace");
        }
        command.args(&self.nextest);
        command
    }
}

/// Runs the tests, shows what the runner says and holds back its closing lines in `closing`.
fn run_nextest(command: &mut Command, closing: &mut String) -> Result<()> {
    let line = show(command);
    let mut child = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {line}"))?;
    let stderr = child.stderr.take().context("the output was asked for")?;
    *closing = show_until_summary(stderr)?;
    let status = child.wait().with_context(|| format!("wait for {line}"))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// Shows each line as it comes, up to the runner's summary; returns that and what follows.
fn show_until_summary(output: impl Read) -> Result<String> {
    let mut reader = BufReader::new(output);
    let mut closing = String::new();
    loop {
        let mut bytes = Vec::new();
        let read = reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut bytes)
            .context("read the runner's output")?;
        if read == 0 {
            return Ok(closing);
        }
        let line = String::from_utf8_lossy(&bytes);
        if !closing.is_empty() || line.contains("Summary [") {
            closing.push_str(&line);
        } else {
            eprint!("{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &str) -> Request {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        Request::parse(&words)
    }

    #[test]
    fn arguments_are_told_apart() {
        let cases = [
            (
                "",
                false,
                "--workspace",
                "cargo nextest run --locked --workspace",
            ),
            (
                "--fast -p xtask tidy",
                true,
                "-p xtask",
                "cargo nextest run --locked -p xtask tidy",
            ),
            (
                "segment --fast",
                true,
                "--workspace",
                "cargo nextest run --locked --workspace segment",
            ),
        ];
        for (words, fast, packages, line) in cases {
            let request = request(words);
            assert_eq!(request.fast, fast, "{words}");
            assert_eq!(request.packages().join(" "), packages, "{words}");
            assert_eq!(show(&request.nextest(Path::new("."), &[])), line, "{words}");
        }
    }

    #[test]
    fn the_closing_lines_are_held_back() {
        let output = "PASS a\n----\n  Summary [ 1.0s] 1 tests run: 1 passed, 0 skipped\nerror: x\n";
        let closing = show_until_summary(output.as_bytes()).unwrap();
        assert_eq!(
            closing,
            "  Summary [ 1.0s] 1 tests run: 1 passed, 0 skipped\nerror: x\n"
        );
    }
}
