//! Which crate may depend on which: the list of `DESIGN.md`, section 8.

use super::Finding;
use super::tree::Tree;
use super::workspace::{Dependency, DependencyKind, Package};

const PRODUCT: &[&str] = &[
    "postlake-location",
    "postlake-event",
    "postlake-raw",
    "postlake-listen",
    "postlake-acme",
    "postlake-receiver",
    "postlake-lake",
    "postlake-loader",
    "postlake-sinks",
    "postlake-sparkpost",
    "postlake-serve",
];

/// A crate, and the crates of the workspace that it may name.
const ALLOWED: &[(&str, &[&str])] = &[
    ("postlake-location", &[]),
    ("postlake-event", &[]),
    ("postlake-raw", &[]),
    ("postlake-listen", &[]),
    ("postlake-acme", &["postlake-listen"]),
    ("postlake-receiver", &["postlake-raw", "postlake-listen"]),
    ("postlake-lake", &["postlake-location", "postlake-event"]),
    (
        "postlake-loader",
        &["postlake-raw", "postlake-event", "postlake-lake"],
    ),
    ("postlake-sinks", &["postlake-event", "postlake-lake"]),
    ("postlake-sparkpost", &[]),
    (
        "postlake-serve",
        &["postlake-event", "postlake-lake", "postlake-listen"],
    ),
    ("postlake", PRODUCT),
    ("postlake-testkit", PRODUCT),
    ("xtask", &[]),
];

/// What every crate may use in its tests, on top of its own list.
const ALLOWED_IN_TESTS: &[&str] = &["postlake-testkit", "postlake-sparkpost"];

pub(crate) fn check(packages: &[Package], tree: &Tree) -> Vec<Finding> {
    packages
        .iter()
        .flat_map(|package| check_package(package, packages, tree))
        .collect()
}

fn check_package(package: &Package, packages: &[Package], tree: &Tree) -> Vec<Finding> {
    let manifest = package.manifest();
    let text = tree.text(&manifest).unwrap_or("");
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
        return vec![Finding::new(
            &manifest,
            1,
            format!("the crate {} is on no list of edges", package.name),
            "add it to ALLOWED in xtask/src/tidy/edges.rs and to the architecture page",
        )];
    };
    package
        .dependencies
        .iter()
        .filter(|dependency| packages.iter().any(|other| other.name == dependency.name))
        .filter(|dependency| !is_allowed(dependency, allowed))
        .map(|dependency| {
            Finding::new(
                &manifest,
                line_naming(text, &dependency.name),
                format!("{} may not depend on {}", package.name, dependency.name),
                "move the code to the crate that may see both, or pass in what is needed as a trait or a value",
            )
        })
        .collect()
}

fn is_allowed(dependency: &Dependency, allowed: &[&str]) -> bool {
    let name = dependency.name.as_str();
    allowed.contains(&name)
        || dependency.kind == DependencyKind::Development && ALLOWED_IN_TESTS.contains(&name)
}

/// The line of a manifest that starts with a dependency's name.
pub(crate) fn line_naming(manifest: &str, name: &str) -> usize {
    let names = |line: &str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '.', '=', '_']))
    };
    manifest
        .lines()
        .position(names)
        .map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::super::workspace::package;
    use super::*;
    use DependencyKind::{Development, Normal};

    fn check_edge(from: &str, to: &str, kind: DependencyKind) -> Vec<String> {
        let packages = [package(from, &[(to, kind)]), package(to, &[])];
        let tree = Tree::of(&[]);
        check(&packages, &tree)
            .iter()
            .map(|finding| finding.what.clone())
            .collect()
    }

    #[test]
    fn only_listed_edges_pass() {
        let cases = [
            ("postlake-receiver", "postlake-raw", Normal, true),
            ("postlake-receiver", "postlake-event", Normal, false),
            ("postlake-receiver", "postlake-event", Development, false),
            ("postlake-serve", "postlake-raw", Normal, false),
            ("postlake-raw", "postlake-testkit", Development, true),
            ("postlake", "postlake-testkit", Normal, false),
            ("postlake", "postlake-testkit", Development, true),
            ("postlake", "postlake-serve", Normal, true),
            ("postlake-sparkpost", "postlake-event", Normal, false),
            ("xtask", "postlake-event", Normal, false),
        ];
        for (from, to, kind, passes) in cases {
            assert_eq!(
                check_edge(from, to, kind).is_empty(),
                passes,
                "{from} -> {to} ({kind:?})"
            );
        }
    }

    #[test]
    fn a_crate_that_is_on_no_list_is_named() {
        assert_eq!(
            check_edge("postlake-new", "postlake-raw", Normal),
            ["the crate postlake-new is on no list of edges"]
        );
    }

    #[test]
    fn the_line_of_a_dependency_is_found() {
        let manifest =
            "[dependencies]\npostlake-lake-x.workspace = true\npostlake-lake.workspace = true\n";
        assert_eq!(line_naming(manifest, "postlake-lake"), 3);
        assert_eq!(line_naming(manifest, "absent"), 1);
    }
}
