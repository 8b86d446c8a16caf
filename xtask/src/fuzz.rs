//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, one after the other.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::install;
use crate::program::{cargo, shown, target};

/// Longest input that is made: events of SparkPost have about 1,500 bytes.
const MOST_BYTES: usize = 16 << 10;
/// An input that takes longer is a finding.
const SECONDS_FOR_AN_INPUT: usize = 10;

/// What the arguments ask for.
#[derive(Debug, PartialEq)]
struct Request {
    seconds: u64,
    /// All, if there are none.
    targets: Vec<String>,
}

/// `fuzz [--seconds N] [TARGET ...]`: each of them for so long. What is found lies below `fuzz/artifacts`.
///
/// # Errors
/// When a target finds something, cannot be built, or is not there.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let request = Request::parse(arguments)?;
    let known = known(root)?;
    let unknown = request.targets.iter().find(|name| !known.contains(name));
    if let Some(name) = unknown {
        bail!("there is no target {name}; there are {}", known.join(", "));
    }
    install::cargo_fuzz()?;
    let wanted = if request.targets.is_empty() {
        &known
    } else {
        &request.targets
    };
    for name in wanted {
        fuzz(root, name, request.seconds)?;
    }
    Ok(())
}

impl Request {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut request = Self {
            seconds: 60,
            targets: Vec::new(),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seconds" => {
                    let seconds = words.next().context("--seconds lacks a number")?;
                    request.seconds = seconds.parse().context("read --seconds")?;
                }
                name if !name.starts_with('-') => request.targets.push(name.to_owned()),
                other => bail!("{other} is not --seconds N or a target"),
            }
        }
        ensure!(request.seconds > 0, "no time at all finds nothing");
        Ok(request)
    }
}

/// The targets, by the names of their files.
fn known(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry.context("list the targets")?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        names.extend(name.map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// New inputs that reach something go into a folder of the build; the committed corpus is only read.
fn fuzz(root: &Path, name: &str, seconds: u64) -> Result<()> {
    let build = target(root).join("fuzz");
    let found = build.join("corpus").join(name);
    fs::create_dir_all(&found).with_context(|| format!("create {}", found.display()))?;
    let mut command = cargo();
    command
        .current_dir(root)
        // The pinned toolchain is a stable one.
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("CARGO_TARGET_DIR")
        .args(["fuzz", "run", "--target-dir"])
        .args([&build])
        .arg(name)
        .arg(&found)
        .arg(root.join("fuzz/corpus").join(name))
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MOST_BYTES}"))
        .arg(format!("-timeout={SECONDS_FOR_AN_INPUT}"))
        .arg("-print_final_stats=1");
    shown(&mut command).with_context(|| format!("fuzz {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &str) -> Result<Request> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        Request::parse(&words)
    }

    #[test]
    fn arguments_say_what_and_how_long() {
        assert_eq!(request("").unwrap().seconds, 60);
        let one = request("--seconds 5 decode").unwrap();
        assert_eq!((one.seconds, one.targets), (5, vec!["decode".to_owned()]));
        assert!(request("--minutes 1").is_err() && request("--seconds 0").is_err());
    }

    #[test]
    fn every_target_has_a_corpus_and_an_entry() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        for name in known(root).unwrap() {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
            assert!(root.join("fuzz/corpus").join(&name).is_dir(), "{name}");
        }
    }
}
