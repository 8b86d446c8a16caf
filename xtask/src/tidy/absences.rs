//! What a crate does not pull in, however far down: the most useful facts about it.
//!
//! Read from the manifests and `Cargo.lock`. The lock joins the features of the whole workspace, so
//! a fact that holds here holds in every build.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::edges::line_naming;
use super::tree::Tree;
use super::workspace::{Dependency, Package};

const LOCK: &str = "Cargo.lock";

/// A crate and what must not be found below it.
const LACKS: &[(&str, &[&str])] = &[
    (
        "postlake-receiver",
        &[
            "postlake-event",
            "arrow",
            "arrow-array",
            "parquet",
            "datafusion",
            "deltalake-core",
            "wide",
        ],
    ),
    (
        "postlake-raw",
        &[
            "postlake-event",
            "arrow",
            "arrow-array",
            "parquet",
            "datafusion",
            "deltalake-core",
            "axum",
            "wide",
        ],
    ),
    ("postlake-listen", &["instant-acme", "reqwest"]),
    (
        "postlake-event",
        &[
            "tokio",
            "object_store",
            "hyper",
            "datafusion",
            "deltalake-core",
            "reqwest",
        ],
    ),
    (
        "postlake-serve",
        &[
            "postlake-receiver",
            "postlake-raw",
            "postlake-loader",
            "postlake-sinks",
        ],
    ),
    (
        "postlake-sparkpost",
        &[
            "arrow",
            "arrow-array",
            "parquet",
            "datafusion",
            "deltalake-core",
        ],
    ),
    ("xtask", &["arrow-array", "tokio", "clap", "reqwest"]),
];

/// As [`LACKS`], for a crate without its features: the function that receives is built so.
const LACKS_WITHOUT_FEATURES: &[(&str, &[&str])] = &[(
    "postlake",
    &[
        "postlake-event",
        "postlake-lake",
        "postlake-loader",
        "postlake-serve",
        "postlake-sinks",
        "arrow",
        "arrow-array",
        "parquet",
        "datafusion",
        "deltalake-core",
        "clap",
    ],
)];

/// A package, the version line where two are in use, and the only crates that may name it.
const ONLY: &[(&str, &str, &[&str])] = &[
    ("deltalake-core", "", &["postlake-lake"]),
    ("deltalake", "", &[]),
    ("object_store", "^0.13", &["postlake-lake"]),
    ("datafusion", "", &["postlake-lake", "postlake-serve"]),
    ("wide", "", &["postlake-event"]),
    ("clap", "", &["postlake"]),
    ("instant-acme", "", &["postlake-acme"]),
];

/// What a locked package needs: name and version, and the names below it.
#[derive(Debug, Default)]
struct Lock {
    /// `name version` to the `name version` of its dependencies.
    needs: BTreeMap<String, Vec<String>>,
}

pub(crate) fn check(packages: &[Package], tree: &Tree) -> Vec<Finding> {
    let lock = Lock::parse(tree.text(LOCK).unwrap_or(""));
    let mut findings: Vec<_> = LACKS
        .iter()
        .flat_map(|(name, lacks)| check_lacks(name, lacks, packages, &lock))
        .collect();
    let bare: Vec<_> = packages.iter().map(without_features).collect();
    findings.extend(
        LACKS_WITHOUT_FEATURES
            .iter()
            .flat_map(|(name, lacks)| check_lacks(name, lacks, &bare, &lock)),
    );
    findings.extend(
        packages
            .iter()
            .flat_map(|package| check_only(package, tree)),
    );
    findings
}

fn without_features(package: &Package) -> Package {
    let mut package = package.clone();
    package
        .dependencies
        .retain(|dependency| !dependency.optional);
    package
}

fn check_lacks(name: &str, lacks: &[&str], packages: &[Package], lock: &Lock) -> Vec<Finding> {
    let Some(package) = packages.iter().find(|package| package.name == name) else {
        return Vec::new();
    };
    let below = below(package, packages, lock);
    lacks
        .iter()
        .filter_map(|absent| below.get(*absent).map(|path| (absent, path)))
        .map(|(absent, path)| {
            Finding::new(
                &package.manifest(),
                1,
                format!("{name} pulls in {absent}: {}", path.join(" -> ")),
                "drop the dependency, or move what needs it to a crate further right in the flow",
            )
        })
        .collect()
}

/// Everything below a package, each with one path to it.
fn below(package: &Package, packages: &[Package], lock: &Lock) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut open: Vec<(String, Vec<String>)> =
        vec![(package.name.clone(), vec![package.name.clone()])];
    while let Some((id, path)) = open.pop() {
        for next in lock.below(&id, packages) {
            let name = next.split(' ').next().unwrap_or(&next).to_owned();
            let longer: Vec<String> = path.iter().cloned().chain([name.clone()]).collect();
            if seen.insert(next.clone()) {
                found.entry(name).or_insert_with(|| longer.clone());
                open.push((next, longer));
            }
        }
    }
    found
}

impl Lock {
    fn parse(text: &str) -> Self {
        let mut lock = Self::default();
        for block in text.split("[[package]]").skip(1) {
            let value = |key: &str| {
                let line = block
                    .lines()
                    .find_map(|line| line.strip_prefix(key))
                    .unwrap_or("");
                line.trim_matches('"').to_owned()
            };
            let id = format!("{} {}", value("name = "), value("version = "));
            let needs = block
                .lines()
                .filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\","));
            lock.needs.insert(id, needs.map(str::to_owned).collect());
        }
        lock
    }

    /// What stands directly below a package; for one of the workspace, its normal dependencies alone.
    fn below(&self, id: &str, packages: &[Package]) -> Vec<String> {
        let name = id.split(' ').next().unwrap_or(id);
        if let Some(package) = packages.iter().find(|package| package.name == name) {
            return package
                .normal_dependencies()
                .map(|dependency| self.locked(dependency))
                .collect();
        }
        let needs = self.needs.get(id).map_or(&[][..], Vec::as_slice);
        needs.iter().map(|need| self.complete(need)).collect()
    }

    /// The locked package that meets a requirement: of several versions, the one that starts like it.
    fn locked(&self, dependency: &Dependency) -> String {
        let version = dependency
            .requirement
            .trim_start_matches(['^', '=', '~', '*']);
        let starts = |id: &&String| {
            let rest = id
                .strip_prefix(dependency.name.as_str())
                .and_then(|rest| rest.strip_prefix(' '));
            rest.is_some_and(|locked| locked.starts_with(major_and_minor(version)))
        };
        self.needs
            .keys()
            .find(starts)
            .cloned()
            .unwrap_or_else(|| self.complete(&dependency.name))
    }

    /// The lock names a dependency without its version where only one is locked.
    fn complete(&self, need: &str) -> String {
        if need.contains(' ') {
            return need.to_owned();
        }
        let only = self
            .needs
            .keys()
            .find(|id| id.split(' ').next() == Some(need));
        only.cloned().unwrap_or_else(|| need.to_owned())
    }
}

/// `0.13` of `0.13.2`, and `1` of `1.4`: what two compatible versions share.
fn major_and_minor(version: &str) -> &str {
    let mut dots = version.match_indices('.').map(|(offset, _)| offset);
    let end = if version.starts_with("0.") {
        dots.nth(1)
    } else {
        dots.next()
    };
    end.and_then(|end| version.get(..end)).unwrap_or(version)
}

fn check_only(package: &Package, tree: &Tree) -> Vec<Finding> {
    let manifest = package.manifest();
    let text = tree.text(&manifest).unwrap_or("");
    let forbidden = |dependency: &&Dependency| {
        ONLY.iter().any(|(name, version, owners)| {
            dependency.name == *name
                && dependency.requirement.starts_with(version)
                && !owners.contains(&package.name.as_str())
        })
    };
    package
        .normal_dependencies()
        .filter(forbidden)
        .map(|dependency| {
            Finding::new(
                &manifest,
                line_naming(text, &dependency.name),
                format!(
                    "{} may not name {} {}",
                    package.name, dependency.name, dependency.requirement
                ),
                "use what the crate that owns it offers (see ONLY in xtask/src/tidy/absences.rs)",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::workspace::{DependencyKind::Normal, package};
    use super::*;

    const LOCK_TEXT: &str = r#"
[[package]]
name = "axum"
version = "0.8.4"
dependencies = [
 "object_store 0.14.2",
 "hyper",
]

[[package]]
name = "hyper"
version = "1.0.0"
dependencies = [
 "parquet",
]

[[package]]
name = "object_store"
version = "0.13.2"

[[package]]
name = "object_store"
version = "0.14.2"

[[package]]
name = "parquet"
version = "59.0.0"
"#;

    fn what(findings: &[Finding]) -> Vec<&str> {
        findings
            .iter()
            .map(|finding| finding.what.as_str())
            .collect()
    }

    #[test]
    fn a_forbidden_package_is_found_with_its_path() {
        let packages = [
            package("postlake-receiver", &[("postlake-raw", Normal)]),
            package("postlake-raw", &[("axum", Normal)]),
        ];
        let findings = check(&packages, &Tree::of(&[(LOCK, LOCK_TEXT)]));
        assert!(what(&findings).contains(&"postlake-receiver pulls in parquet: postlake-receiver -> postlake-raw -> axum -> hyper -> parquet"));
    }

    #[test]
    fn what_comes_with_a_feature_is_absent_without_it() {
        let mut postlake = package("postlake", &[("axum", Normal)]);
        let lock = Tree::of(&[(LOCK, LOCK_TEXT)]);
        let found = check(std::slice::from_ref(&postlake), &lock);
        assert_eq!(
            what(&found),
            ["postlake pulls in parquet: postlake -> axum -> hyper -> parquet"]
        );
        postlake.dependencies[0].optional = true;
        assert!(check(&[postlake], &lock).is_empty());
    }

    #[test]
    fn the_lock_tells_versions_apart() {
        let lock = Lock::parse(LOCK_TEXT);
        let mut dependency = Dependency {
            name: "object_store".to_owned(),
            kind: Normal,
            requirement: "^0.13.2".to_owned(),
            optional: false,
        };
        assert_eq!(lock.locked(&dependency), "object_store 0.13.2");
        dependency.requirement = "^0.14.2".to_owned();
        assert_eq!(lock.locked(&dependency), "object_store 0.14.2");
        assert_eq!(lock.complete("parquet"), "parquet 59.0.0");
    }

    #[test]
    fn only_the_owner_names_a_package() {
        let cases = [
            ("postlake-lake", true),
            ("postlake-serve", true),
            ("postlake-sinks", false),
        ];
        for (name, passes) in cases {
            let findings = check(&[package(name, &[("datafusion", Normal)])], &Tree::of(&[]));
            assert_eq!(findings.is_empty(), passes, "{name}: {:?}", what(&findings));
        }
    }
}
