//! Words and paths that do not belong in the tree, and attributes that hide a test.

use super::Finding;
use super::source::{SourceFile, line_of};
use super::tree::Tree;

/// A text that is found in any file, what is wrong with it, and what to do.
struct Banned {
    text: &'static str,
    what: &'static str,
    remedy: &'static str,
}

const PATH: &str = "a path of one machine";
const PATH_REMEDY: &str =
    "take it from an argument, the environment, or the folder of the workspace";

const EVERYWHERE: &[Banned] = &[
    Banned {
        text: "exactly once",
        what: "a promise that nobody can keep over a network",
        remedy: "say \"effectively once\", and thanks to which key",
    },
    Banned {
        text: "exactly-once",
        what: "a promise that nobody can keep over a network",
        remedy: "say \"effectively once\", and thanks to which key",
    },
    Banned {
        text: "/root/",
        what: PATH,
        remedy: PATH_REMEDY,
    },
    Banned {
        text: "/home/",
        what: PATH,
        remedy: PATH_REMEDY,
    },
    Banned {
        text: "/work/",
        what: PATH,
        remedy: PATH_REMEDY,
    },
    Banned {
        text: "/users/",
        what: PATH,
        remedy: PATH_REMEDY,
    },
];

const IN_RUST: &[Banned] = &[
    Banned {
        text: "#[ignore",
        what: "a test that nobody runs",
        remedy: "assert what holds today, with a note, or remove it",
    },
    Banned {
        text: "#[should_panic",
        what: "a test that any panic passes",
        remedy: "assert the error or the message",
    },
    Banned {
        text: "#![deny(warnings",
        what: "a lint level that the next compiler breaks",
        remedy: "leave it to the check: it turns warnings into errors",
    },
];

/// Files that hold what others sent or locked, and this list.
const EXEMPT: [&str; 4] = [
    "Cargo.lock",
    "/fixtures/",
    "LICENSE",
    "xtask/src/tidy/words.rs",
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let rust = tree
        .rust
        .iter()
        .map(|file| (file.path.as_str(), file.text.as_str()));
    let other = tree
        .other
        .iter()
        .map(|file| (file.path.as_str(), file.text.as_str()));
    let read = rust.chain(other).filter(|(path, _)| {
        !EXEMPT
            .iter()
            .any(|exempt| format!("/{path}").contains(exempt))
    });
    let mut findings: Vec<_> = read
        .flat_map(|(path, text)| find(path, &text.to_lowercase(), EVERYWHERE))
        .collect();
    findings.extend(tree.rust.iter().flat_map(attributes));
    findings
}

fn attributes(file: &SourceFile) -> Vec<Finding> {
    find(&file.path, &file.code, IN_RUST)
}

fn find(path: &str, text: &str, list: &[Banned]) -> Vec<Finding> {
    list.iter()
        .flat_map(|banned| {
            text.match_indices(banned.text)
                .map(|(offset, found)| {
                    Finding::new(
                        path,
                        line_of(text, offset),
                        format!("\"{found}\": {}", banned.what),
                        banned.remedy,
                    )
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_words_are_found() {
        let cases = [
            ("README.md", "Delivered Exactly once.", false),
            ("README.md", "Delivered effectively once.", true),
            ("crates/a/src/a.rs", "// see /root/x", false),
            ("crates/a/src/a.rs", "let a = \"/home/x\";", false),
            ("crates/a/fixtures/a.json", "{\"path\": \"/home/x\"}", true),
            ("fixtures/a.json", "{\"path\": \"/home/x\"}", true),
            ("docs/a.md", "`/webhooks/events`", true),
            ("crates/a/src/a.rs", "#[ignore = \"slow\"] fn a() {}", false),
            ("crates/a/src/a.rs", "// #[ignore]", true),
        ];
        for (path, text, passes) in cases {
            assert_eq!(
                check(&Tree::of(&[(path, text)])).is_empty(),
                passes,
                "{path}: {text}"
            );
        }
    }

    #[test]
    fn the_line_is_named() {
        let found = check(&Tree::of(&[("README.md", "a\nb exactly once\n")]));
        assert_eq!(found.first().map(|finding| finding.line), Some(2));
    }
}
