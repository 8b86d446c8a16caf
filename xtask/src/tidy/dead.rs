//! Every Rust file is reached from a target by `mod`.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::source::{SourceFile, words};
use super::workspace::Package;

pub(crate) fn check(packages: &[Package], files: &[SourceFile]) -> Vec<Finding> {
    let by_path: BTreeMap<&str, &SourceFile> = files
        .iter()
        .map(|file| (file.path.as_str(), file))
        .collect();
    let targets: BTreeSet<String> = packages
        .iter()
        .flat_map(|package| package.targets.clone())
        .collect();
    let reached = reached_from(&targets, &by_path);
    files
        .iter()
        .filter(|file| {
            packages
                .iter()
                .any(|package| file.path.starts_with(&format!("{}/", package.folder)))
        })
        .filter(|file| !reached.contains(&file.path))
        .map(|file| {
            Finding::new(
                &file.path,
                1,
                "no target reaches this file",
                "name it in a `mod` line, or remove it",
            )
        })
        .collect()
}

fn reached_from(
    targets: &BTreeSet<String>,
    files: &BTreeMap<&str, &SourceFile>,
) -> BTreeSet<String> {
    let mut reached = targets.clone();
    let mut open: Vec<String> = targets.iter().cloned().collect();
    while let Some(path) = open.pop() {
        let Some(file) = files.get(path.as_str()) else {
            continue;
        };
        let folder = module_folder(&path, targets.contains(&path));
        for module in declared(&file.code) {
            let candidates = [
                format!("{folder}/{module}.rs"),
                format!("{folder}/{module}/mod.rs"),
            ];
            for candidate in candidates
                .into_iter()
                .filter(|candidate| files.contains_key(candidate.as_str()))
            {
                if reached.insert(candidate.clone()) {
                    open.push(candidate);
                }
            }
        }
    }
    reached
}

/// Where the modules that a file declares lie: beside a target, else in the folder of its name.
fn module_folder(path: &str, is_target: bool) -> &str {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    if is_target || path.ends_with("/mod.rs") {
        parent
    } else {
        path.strip_suffix(".rs").unwrap_or(path)
    }
}

/// The names in `mod name;`.
fn declared(code: &str) -> Vec<&str> {
    let words: Vec<(usize, &str)> = words(code).collect();
    words
        .iter()
        .zip(words.iter().skip(1))
        .filter(|((_, keyword), (offset, name))| {
            *keyword == "mod"
                && code
                    .get(offset + name.len()..)
                    .is_some_and(|rest| rest.trim_start().starts_with(';'))
        })
        .map(|(_, (_, name))| *name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(files: &[(&str, &str)], targets: &[&str]) -> Vec<String> {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| SourceFile::new(path, text))
            .collect();
        let package = Package {
            folder: "crates/a".to_owned(),
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
            ..Package::default()
        };
        check(&[package], &files)
            .into_iter()
            .map(|finding| finding.path)
            .collect()
    }

    #[test]
    fn files_that_no_mod_names_are_dead() {
        let files = [
            ("crates/a/src/lib.rs", "mod one; // mod gone;\n"),
            ("crates/a/src/one.rs", "mod deep;\n#[cfg(test)]\nmod tests;"),
            ("crates/a/src/one/deep.rs", ""),
            ("crates/a/src/one/tests.rs", ""),
            ("crates/a/src/gone.rs", ""),
            ("crates/a/tests/it/main.rs", "mod journey;"),
            ("crates/a/tests/it/journey.rs", ""),
            ("crates/a/tests/it/left.rs", ""),
            ("elsewhere/x.rs", ""),
        ];
        let found = dead(
            &files,
            &["crates/a/src/lib.rs", "crates/a/tests/it/main.rs"],
        );
        assert_eq!(found, ["crates/a/src/gone.rs", "crates/a/tests/it/left.rs"]);
    }
}
