//! Fixtures stay: what an older release wrote is read for ever, so its example is never deleted,
//! and a recorded segment is never edited. A page under `docs/adr/` that names the file lifts this.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Finding;
use super::tree::Tree;

const FOLDER: &str = "fixtures/";
const NEVER_EDITED: &str = "fixtures/segments/";
const DECISIONS: &str = "docs/adr/";

/// What the history and the working copy did to fixtures.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) deleted: Vec<String>,
    pub(crate) edited: Vec<String>,
}

/// Reads the history at `root`; without one (an unpacked archive, no commit yet) it is empty.
pub(crate) fn history(root: &Path) -> Result<History> {
    if git(root, &["rev-parse", "--verify", "--quiet", "HEAD"])?.is_none() {
        return Ok(History::default());
    }
    let changed = |filter: &str| -> Result<Vec<String>> {
        let filter = format!("--diff-filter={filter}");
        let log = [
            "log",
            "--format=",
            "--name-only",
            "--no-renames",
            "--relative",
            &filter,
            "--",
            ":(glob)**/fixtures/**",
        ];
        let now = [
            "diff",
            "--name-only",
            "--no-renames",
            "--relative",
            &filter,
            "HEAD",
            "--",
            ":(glob)**/fixtures/**",
        ];
        let lines = [git(root, &log)?, git(root, &now)?].into_iter().flatten();
        Ok(lines
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| !line.is_empty())
            .collect())
    };
    Ok(History {
        deleted: changed("D")?,
        edited: changed("M")?,
    })
}

/// The output of git; none if it answered with a failure.
fn git(root: &Path, arguments: &[&str]) -> Result<Option<String>> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        .output()
        .context("run git")?;
    Ok(output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

pub(crate) fn check(history: &History, tree: &Tree) -> Vec<Finding> {
    let decided = |path: &str| {
        tree.other
            .iter()
            .any(|page| page.path.starts_with(DECISIONS) && page.text.contains(path))
    };
    let deleted = history
        .deleted
        .iter()
        .filter(|path| path.contains(FOLDER) && !tree.paths.contains(*path));
    let edited = history
        .edited
        .iter()
        .filter(|path| path.contains(NEVER_EDITED));
    let deleted = deleted.map(|path| (path, "a fixture was deleted"));
    let edited = edited.map(|path| (path, "a recorded segment was edited"));
    deleted
        .chain(edited)
        .filter(|(path, _)| !decided(path))
        .map(|(path, what)| {
            Finding::new(
                path,
                1,
                what,
                "bring it back, or write the decision under docs/adr/ that names it",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixtures_stay_unless_a_decision_names_them() {
        let path = "crates/a/fixtures/segments/v1.zst";
        let history = |deleted: &[&str], edited: &[&str]| History {
            deleted: deleted.iter().map(|path| (*path).to_owned()).collect(),
            edited: edited.iter().map(|path| (*path).to_owned()).collect(),
        };
        let decision = (
            "docs/adr/0001-drop.md",
            "drops crates/a/fixtures/segments/v1.zst",
        );
        type Files<'a> = &'a [(&'a str, &'a str)];
        let cases: [(History, Files<'_>, bool); 6] = [
            (history(&[], &[]), &[], true),
            (history(&[path], &[]), &[], false),
            (history(&[path], &[]), &[decision], true),
            (history(&[path], &[]), &[(path, "")], true),
            (history(&[], &[path]), &[(path, "")], false),
            (history(&[], &["crates/a/fixtures/a.json"]), &[], true),
        ];
        for (history, files, passes) in cases {
            assert_eq!(
                check(&history, &Tree::of(files)).is_empty(),
                passes,
                "{history:?}"
            );
        }
    }
}
