//! `docs/semantics.md`: each promise names the tests that prove it, and those tests exist.
//!
//! A promise is an item of a list or a row of a table. It names a test as `` `test: crate::name` ``;
//! the crate may be left out, and so may the modules between crate and function.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::source::{SourceFile, words};
use super::tree::Tree;

const PAGE: &str = "docs/semantics.md";
const MARK: &str = "`test: ";

/// Test functions by name, each with the crates that have one of that name.
type Tests<'a> = BTreeMap<&'a str, BTreeSet<String>>;

struct Promise {
    line: usize,
    text: String,
}

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(page) = tree.text(PAGE) else {
        return vec![Finding::new(
            PAGE,
            1,
            "the page of promises is missing",
            "write it: one list item for each promise, with its tests",
        )];
    };
    let tests = tests_of(&tree.rust);
    promises(page)
        .iter()
        .flat_map(|promise| check_promise(promise, &tests))
        .collect()
}

fn check_promise(promise: &Promise, tests: &Tests<'_>) -> Vec<Finding> {
    let named = named_tests(&promise.text);
    if named.is_empty() {
        return vec![Finding::new(
            PAGE,
            promise.line,
            "a promise names no test",
            "add `test: crate::function` in backticks",
        )];
    }
    let absent = named.into_iter().filter(|name| !exists(name, tests));
    absent
        .map(|name| {
            Finding::new(
                PAGE,
                promise.line,
                format!("there is no test {name}"),
                "name a test function that exists, or write it",
            )
        })
        .collect()
}

fn exists(name: &str, tests: &Tests<'_>) -> bool {
    let (path, function) = name.rsplit_once("::").unwrap_or(("", name));
    let Some(crates) = tests.get(function) else {
        return false;
    };
    let first = path.split("::").next().unwrap_or("").replace('_', "-");
    let is_crate = first.starts_with("postlake") || first == "xtask";
    !is_crate || crates.contains(&first)
}

/// The names after `` `test: ``, several separated by commas.
fn named_tests(text: &str) -> Vec<&str> {
    text.split(MARK)
        .skip(1)
        .filter_map(|rest| rest.split_once('`').map(|(names, _)| names))
        .flat_map(|names| names.split(','))
        .map(str::trim)
        .collect()
}

/// List items with the lines that continue them, and the rows of tables without their heads.
fn promises(page: &str) -> Vec<Promise> {
    let mut found: Vec<Promise> = Vec::new();
    let (mut in_item, mut in_code, mut table_row) = (false, false, 0);
    for (index, line) in page.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        table_row = if line.starts_with('|') {
            table_row + 1
        } else {
            0
        };
        let starts = !in_code && (starts_item(line) || table_row > 2);
        if starts {
            found.push(Promise {
                line: index + 1,
                text: line.to_owned(),
            });
        } else if let Some(promise) = found.last_mut().filter(|_| in_item && continues_item(line)) {
            promise.text.push('\n');
            promise.text.push_str(line);
        }
        in_item = starts || in_item && continues_item(line);
    }
    found
}

fn starts_item(line: &str) -> bool {
    let after_number = line.trim_start_matches(|character: char| character.is_ascii_digit());
    line.starts_with("- ")
        || line.starts_with("* ")
        || after_number.len() < line.len() && after_number.starts_with(". ")
}

fn continues_item(line: &str) -> bool {
    line.is_empty() || line.starts_with("  ")
}

fn tests_of(files: &[SourceFile]) -> Tests<'_> {
    let mut tests = Tests::new();
    for file in files {
        let package = package_of(&file.path);
        for name in test_functions(&file.code) {
            tests.entry(name).or_default().insert(package.to_owned());
        }
    }
    tests
}

fn package_of(path: &str) -> &str {
    let mut parts = path.split('/');
    match parts.next() {
        Some("crates") => parts.next().unwrap_or(""),
        first => first.unwrap_or(""),
    }
}

/// Functions whose attributes end in `test` or `test(...)`.
fn test_functions(code: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (offset, _) in code.match_indices("fn ") {
        let before = code.get(..offset).unwrap_or("");
        let head = before.rsplit([';', '}', '{']).next().unwrap_or("");
        let is_test = head.split("#[").skip(1).any(|attribute| {
            let path = attribute.split(['(', ']']).next().unwrap_or("");
            path.trim().rsplit("::").next() == Some("test")
        });
        let name = words(code.get(offset + 3..).unwrap_or("")).next();
        names.extend(name.filter(|_| is_test).map(|(_, name)| name));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: &str = "#[test]\nfn lands_once() {}\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn answers_ok() {}\nfn no_test() {}\n";

    fn check_page(page: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("crates/postlake-raw/tests/it/main.rs", TESTS),
            (PAGE, page),
        ]);
        check(&tree)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.line, finding.what))
            .collect()
    }

    #[test]
    fn promises_name_tests_that_exist() {
        let cases: [(&str, &[&str]); 9] = [
            ("- It lands. `test: postlake_raw::lands_once`\n", &[]),
            (
                "- It lands. `test: postlake-raw::it::lands_once, answers_ok`\n",
                &[],
            ),
            ("- It lands,\n  always.\n\n  `test: lands_once`\n", &[]),
            ("- It lands.\n", &["1: a promise names no test"]),
            (
                "# Head\n\nText.\n\n1. It lands. `test: gone`\n",
                &["5: there is no test gone"],
            ),
            (
                "- It lands. `test: postlake_lake::lands_once`\n",
                &["1: there is no test postlake_lake::lands_once"],
            ),
            (
                "- It lands. `test: no_test`\n",
                &["1: there is no test no_test"],
            ),
            (
                "| promise | test |\n|---|---|\n| it lands | `test: lands_once` |\n| it stays | |\n",
                &["4: a promise names no test"],
            ),
            ("```\n- not a promise\n```\n", &[]),
        ];
        for (page, found) in cases {
            assert_eq!(check_page(page), found, "{page}");
        }
    }

    #[test]
    fn a_missing_page_is_reported() {
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }
}
