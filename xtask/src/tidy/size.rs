//! Files a person reads in one go, and crate roots that are a page of contents.

use super::Finding;
use super::source::{SourceFile, past_closing};

const MAX_PRODUCT_LINES: usize = 800;
const MAX_TEST_LINES: usize = 1500;
const MAX_ROOT_LINES: usize = 120;

/// What a crate's root may hold besides documentation and attributes.
const ROOT_STATEMENTS: [&str; 3] = ["mod", "use", "extern"];

pub(crate) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings: Vec<_> = files.iter().filter_map(check_length).collect();
    let roots = files
        .iter()
        .filter(|file| file.path.ends_with("/src/lib.rs"));
    findings.extend(roots.flat_map(check_root));
    findings
}

fn check_length(file: &SourceFile) -> Option<Finding> {
    let product = file.product_line_count();
    let (lines, limit, which) = if file.is_test() {
        (file.line_count(), MAX_TEST_LINES, "a test file")
    } else if product > MAX_PRODUCT_LINES {
        (product, MAX_PRODUCT_LINES, "a file without its tests")
    } else {
        (file.line_count(), MAX_TEST_LINES, "a file with its tests")
    };
    let what = format!("{lines} lines; {which} has at most {limit}");
    (lines > limit).then(|| {
        Finding::new(
            &file.path,
            lines,
            what,
            "split it by concept: foo.rs keeps the entry, foo/ the parts",
        )
    })
}

fn check_root(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.line_count() > MAX_ROOT_LINES {
        let what = format!(
            "{} lines; a crate's root has at most {MAX_ROOT_LINES}",
            file.line_count()
        );
        findings.push(Finding::new(
            &file.path,
            file.line_count(),
            what,
            "move documentation beside the code it describes",
        ));
    }
    findings.extend(foreign_statement(&file.code).map(|offset| {
        let remedy = "move it into a module; the root holds documentation, `mod` and `use`";
        Finding::new(
            &file.path,
            file.line(offset),
            "code in a crate's root",
            remedy,
        )
    }));
    findings
}

/// The offset of the first statement that is neither an attribute nor `mod name;` nor `use`.
fn foreign_statement(code: &str) -> Option<usize> {
    let mut offset = 0;
    while let Some(rest) = code.get(offset..).filter(|rest| !rest.trim().is_empty()) {
        let start = offset + (rest.len() - rest.trim_start().len());
        let statement = rest.trim_start();
        if statement.starts_with('#') {
            let bracket = statement.find('[')?;
            offset = past_closing(code, start + bracket);
            continue;
        }
        let length = statement.find(';').unwrap_or(statement.len());
        if !is_listing(statement.get(..length)?) {
            return Some(start);
        }
        offset = start + length + 1;
    }
    None
}

fn is_listing(statement: &str) -> bool {
    let bare = match statement.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')').map_or("", |(_, after)| after),
        Some(rest) => rest,
        None => statement,
    };
    let mut words = bare.split_whitespace();
    let keyword = words.next().unwrap_or("");
    ROOT_STATEMENTS.contains(&keyword) && (keyword == "use" || !bare.contains('{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(path: &str, lines: usize) -> SourceFile {
        SourceFile::new(path, &"a();\n".repeat(lines))
    }

    #[test]
    fn long_files_are_refused() {
        let cases = [
            ("crates/a/src/a.rs", 800, true),
            ("crates/a/src/a.rs", 801, false),
            ("crates/a/src/a/tests.rs", 1500, true),
            ("crates/a/tests/it/a.rs", 1501, false),
        ];
        for (path, lines, passes) in cases {
            assert_eq!(
                check(&[lines_of(path, lines)]).is_empty(),
                passes,
                "{path}, {lines} lines"
            );
        }
    }

    #[test]
    fn a_root_lists_and_holds_no_code() {
        let cases = [
            (
                "//! Doc.\n#![deny(x)]\n\nmod a;\npub mod b;\n#[cfg(test)]\nmod c;\npub use a::{A, B};\npub(crate) use b::C;\n",
                true,
            ),
            ("mod a;\nfn b() {}\n", false),
            ("mod a { fn b() {} }\n", false),
            ("#[derive(Debug)]\npub struct A;\n", false),
            ("pub const A: u8 = 1;\n", false),
        ];
        for (text, passes) in cases {
            assert_eq!(
                check(&[SourceFile::new("crates/a/src/lib.rs", text)]).is_empty(),
                passes,
                "{text}"
            );
        }
        assert_eq!(
            check(&[SourceFile::new(
                "crates/a/src/lib.rs",
                &"mod a;\n".repeat(121)
            )])
            .len(),
            1
        );
    }

    #[test]
    fn the_place_of_code_in_a_root_is_its_line() {
        let found = check(&[SourceFile::new(
            "crates/a/src/lib.rs",
            "mod a;\n\nfn b() {}\n",
        )]);
        assert_eq!(found.first().map(|finding| finding.line), Some(3));
    }
}
