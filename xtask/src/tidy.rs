//! The structural rules of the tree, each a function over what was read from disk.
//!
//! A rule takes the tree, the packages or both and returns what breaks it; nothing here compiles
//! or resolves anything, so the whole check takes about a second.

mod absences;
mod dead;
mod edges;
mod errors;
mod fixtures;
mod names;
mod object_names;
mod promises;
mod rings;
mod secrets;
mod size;
mod source;
mod tree;
mod words;
mod workspace;

use std::fmt;
use std::path::Path;

use anyhow::{Result, bail};

use tree::Tree;

/// One place that breaks a rule: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
    remedy: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}:{}: {}\n    {}",
            self.path, self.line, self.what, self.remedy
        )
    }
}

/// Checks the workspace at `root`; on `Err` the text lists every place that breaks a rule.
pub(crate) fn run(root: &Path) -> Result<()> {
    let findings = findings(root)?;
    if findings.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = findings.iter().map(Finding::to_string).collect();
    bail!(
        "{} places break a rule of the tree\n{}",
        list.len(),
        list.join("\n")
    );
}

fn findings(root: &Path) -> Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let packages = workspace::packages(root)?;
    let mut all = [
        edges::check(&packages, &tree),
        absences::check(&packages, &tree),
        rings::check(&packages, &tree.rust),
        names::check(&tree.paths),
        size::check(&tree.rust),
        dead::check(&packages, &tree.rust),
        object_names::check(&tree.rust),
        errors::check(&tree.rust),
        secrets::check(&tree.rust),
        promises::check(&tree),
        words::check(&tree),
        fixtures::check(&fixtures::history(root)?, &tree),
    ]
    .concat();
    all.sort();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        if let Err(error) = run(&root.canonicalize().unwrap()) {
            panic!("{error}");
        }
    }

    #[test]
    fn a_finding_reads_as_place_what_and_remedy() {
        let finding = Finding::new("a.rs", 3, "what is wrong", "what to do");
        assert_eq!(finding.to_string(), "a.rs:3: what is wrong\n    what to do");
    }
}
