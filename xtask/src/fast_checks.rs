//! `cargo xtask quick`: what can be known within seconds about the crates that were touched.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::program::{cargo, quiet, shown};
use crate::steps::Steps;
use crate::tidy;

/// What a change reaches.
#[derive(Debug, PartialEq)]
enum Touched {
    Nothing,
    Packages(BTreeSet<String>),
    Workspace,
}

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let mut steps = Steps::default();
    let scope = touched(&changed_files(root)?).arguments();
    steps.run("fmt", || {
        shown(
            cargo()
                .args(["fmt", "--all", "--check", "--", "-l"])
                .current_dir(root),
        )
    });
    steps.run("tidy", || tidy::run(root));
    match scope {
        None => eprintln!("\nno crate differs from the last commit"),
        Some(scope) => {
            let clippy = ["clippy", "--locked", "--all-targets"];
            let nextest = ["nextest", "run", "--locked", "--no-tests", "pass"];
            steps.run("clippy", || {
                shown(
                    cargo()
                        .args(clippy)
                        .args(&scope)
                        .args(["--", "-D", "warnings"])
                        .current_dir(root),
                )
            });
            steps.run("tests", || {
                shown(
                    cargo()
                        .args(nextest)
                        .args(&scope)
                        .args(arguments)
                        .current_dir(root),
                )
            });
        }
    }
    eprint!("\n{}", steps.summary());
    steps.outcome()
}

fn changed_files(root: &Path) -> Result<Vec<String>> {
    let status = quiet(
        Command::new("git")
            .args(["status", "--porcelain", "--untracked-files=all"])
            .current_dir(root),
    )?;
    let paths = status.lines().filter_map(|line| line.get(3..));
    Ok(paths
        .flat_map(|path| path.split(" -> "))
        .map(|path| path.trim_matches('"').to_owned())
        .collect())
}

fn touched(paths: &[String]) -> Touched {
    let mut packages = BTreeSet::new();
    for path in paths {
        let mut parts = path.split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("crates"), Some(package), Some(_)) => packages.insert(package.to_owned()),
            (Some("xtask"), Some(_), _) => packages.insert("xtask".to_owned()),
            (
                Some("Cargo.toml" | "Cargo.lock" | "clippy.toml" | "rust-toolchain.toml"),
                None,
                _,
            ) => return Touched::Workspace,
            _ => false,
        };
    }
    if packages.is_empty() {
        Touched::Nothing
    } else {
        Touched::Packages(packages)
    }
}

impl Touched {
    /// How cargo is told; none if there is nothing to do.
    fn arguments(&self) -> Option<Vec<String>> {
        match self {
            Self::Nothing => None,
            Self::Workspace => Some(vec!["--workspace".to_owned()]),
            Self::Packages(names) => Some(
                names
                    .iter()
                    .flat_map(|name| ["-p".to_owned(), name.clone()])
                    .collect(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reaches_its_crate() {
        let packages = |names: &[&str]| {
            Touched::Packages(names.iter().map(|name| (*name).to_owned()).collect())
        };
        let cases = [
            (vec![], Touched::Nothing),
            (vec!["README.md", "docs/x.md"], Touched::Nothing),
            (
                vec!["crates/postlake-raw/src/key.rs", "xtask/src/main.rs"],
                packages(&["postlake-raw", "xtask"]),
            ),
            (
                vec!["crates/postlake-raw/src/key.rs", "Cargo.lock"],
                Touched::Workspace,
            ),
        ];
        for (paths, expected) in cases {
            let paths: Vec<String> = paths.into_iter().map(str::to_owned).collect();
            assert_eq!(touched(&paths), expected, "{paths:?}");
        }
    }
}
