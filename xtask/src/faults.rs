//! `cargo xtask faults`: the program with faults done to it, judged by the ledger of its clients, and
//! the scoreboard of that: `bench/runs/<date>-<commit>-faults.md` and `.json`.
//!
//! The faults themselves are `postlake-faults` of the test kit.

mod board;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::bench::machine::Surroundings;
use crate::program::{cargo, outcome, show, shown, target};

/// What is asked for.
#[derive(Debug, Default, PartialEq)]
struct Request {
    /// For the rig as they are.
    rig: Vec<String>,
    /// A release build is asked in place of the one of the tests.
    release: bool,
    /// Rows of earlier runs, in place of a run.
    results: Vec<PathBuf>,
}

/// What `cargo xtask test` plays beside the power cuts, which are one of its tests.
const SMALL: &[&str] = &[
    "--kills",
    "6",
    "--io-kills",
    "2",
    "--s3-batches",
    "3",
    "--without",
    "F3",
];

/// `faults [--kills N] [--cuts N] [--io-kills N|all] [--s3-batches N] [--previous PATH] [--seed S] [--only NAME] [--release] [--results FILE]`.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let request = Request::parse(arguments)?;
    let around = Surroundings::look(root, root)?;
    let results = if request.results.is_empty() {
        play(root, &request.rig, request.release)?
    } else {
        collect(&request.results)?
    };
    let command = format!("cargo xtask faults {}", arguments.join(" "));
    let page = board::report(command.trim_end(), around, &results).write(root)?;
    println!("{page}");
    verdict(&results)
}

/// The small counts, without a scoreboard. On `Ok` nothing was lost or doubled, no promise broken.
pub(crate) fn small(root: &Path) -> Result<()> {
    let words: Vec<String> = SMALL.iter().map(|word| (*word).to_owned()).collect();
    verdict(&play(root, &words, false)?)
}

impl Request {
    fn parse(arguments: &[String]) -> Result<Request> {
        let mut request = Request::default();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--release" => request.release = true,
                "--results" => {
                    let file = words.next().context("--results lacks a file")?;
                    request.results.push(file.into());
                }
                "--kills" | "--cuts" | "--io-kills" | "--s3-batches" | "--previous" | "--seed"
                | "--only" | "--without" => {
                    let value = words
                        .next()
                        .with_context(|| format!("{word} lacks a value"))?;
                    // The word that the issue tracker and the tests use for the same thing.
                    request.rig.extend([word.clone(), value.clone()]);
                }
                "--seeds" => {
                    let value = words.next().context("--seeds lacks a value")?;
                    request.rig.extend(["--cuts".to_owned(), value.clone()]);
                }
                _ => bail!("{word} is unknown; see cargo xtask help"),
            }
        }
        Ok(request)
    }
}

/// Builds the program and the rig as the tests have them, and runs the rig.
fn play(root: &Path, words: &[String], release: bool) -> Result<Value> {
    let mut build = cargo();
    build
        .args(["build", "--locked", "--workspace", "--bin", "postlake"])
        .args(["--bin", "postlake-faults"])
        .current_dir(root);
    if release {
        build.arg("--release");
    }
    shown(&mut build)?;
    let folder = target(root).join(if release { "release" } else { "debug" });
    let mut rig = Command::new(folder.join("postlake-faults"));
    rig.arg("--program")
        .arg(folder.join("postlake"))
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = rig
        .output()
        .with_context(|| format!("run {}", show(&rig)))?;
    let line = outcome("postlake-faults", &output)?;
    serde_json::from_str(&line).context("read what the rig printed")
}

/// Rows of runs that each printed a line into a file.
fn collect(files: &[PathBuf]) -> Result<Value> {
    let mut rows = Vec::new();
    let mut seeds = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let result: Value = serde_json::from_str(&text)
            .with_context(|| format!("read the results in {}", file.display()))?;
        seeds.extend(result.get("seed").cloned());
        rows.extend(board::rows(&result).cloned());
    }
    Ok(json!({ "seed": seeds, "rows": rows }))
}

/// Fails when anything was lost, doubled or broken.
fn verdict(results: &Value) -> Result<()> {
    let bad = |row: &&Value| {
        ["lost", "doubled", "failed"]
            .iter()
            .any(|name| row[*name] != 0)
    };
    let names: Vec<String> = board::rows(results)
        .filter(bad)
        .map(|row| format!("{} {}", row["fault"], row["failures"]))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    bail!("promises were broken: {}", names.join("; "));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &str) -> Result<Request> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        Request::parse(&words)
    }

    #[test]
    fn arguments_go_on_to_the_rig() {
        let parsed = request("--kills 500 --seeds 20 --release --only F1").unwrap();
        assert_eq!(parsed.rig.join(" "), "--kills 500 --cuts 20 --only F1");
        assert!(parsed.release && parsed.results.is_empty());
        for wrong in ["--kills", "F1", "--results"] {
            assert!(request(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn whatever_is_lost_fails() {
        let row = |lost: u64| json!({ "fault": "F1", "lost": lost, "doubled": 0, "failed": 0 });
        assert!(verdict(&json!({ "rows": [row(0)] })).is_ok());
        assert!(verdict(&json!({ "rows": [row(0), row(1)] })).is_err());
    }
}
