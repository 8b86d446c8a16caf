//! Files and folders are named after what they hold.

use std::collections::BTreeSet;

use super::Finding;

/// Drawers: code that fits nowhere else is missing a concept.
const BANNED: [&str; 15] = [
    "util", "utils", "common", "helper", "helpers", "misc", "manager", "core", "types", "base",
    "shared", "prelude", "models", "model", "stuff",
];

const CODE: [&str; 2] = ["crates/", "xtask/"];

pub(crate) fn check(paths: &BTreeSet<String>) -> Vec<Finding> {
    paths
        .iter()
        .filter(|path| CODE.iter().any(|folder| path.starts_with(folder)))
        .filter_map(|path| check_path(path))
        .collect()
}

fn check_path(path: &str) -> Option<Finding> {
    if path.ends_with("/mod.rs") {
        return Some(Finding::new(
            path,
            1,
            "a module file named mod.rs",
            "name it after its module, beside the folder: foo.rs and foo/",
        ));
    }
    let banned = path
        .split('/')
        .map(stem)
        .find(|name| BANNED.contains(name))?;
    let remedy = "name it after what it holds; if it holds several things, split it";
    Some(Finding::new(
        path,
        1,
        format!("{banned} is the name of a drawer"),
        remedy,
    ))
}

fn stem(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawers_are_refused() {
        let cases = [
            ("crates/a/src/util.rs", false),
            ("crates/a/src/common/x.rs", false),
            ("crates/postlake-testkit/src/helpers.rs", false),
            ("crates/a/tests/it/shared.rs", false),
            ("crates/a/src/store/mod.rs", false),
            ("crates/a/src/store.rs", true),
            ("crates/a/src/utility_bill.rs", true),
            ("crates/a/templates/base.html", false),
            ("docs/core.md", true),
        ];
        for (path, passes) in cases {
            assert_eq!(
                check(&BTreeSet::from([path.to_owned()])).is_empty(),
                passes,
                "{path}"
            );
        }
    }
}
