//! The packages of the workspace, as cargo sees them, without resolving anything.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// One package of the workspace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder, relative to the root, with `/`.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// The first file of each target, relative to the root.
    pub(crate) targets: Vec<String>,
}

/// One line of a dependency table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dependency {
    /// The package on the registry or in the workspace, not what it is renamed to.
    pub(crate) name: String,
    pub(crate) kind: DependencyKind,
    /// A version requirement such as `^0.13.2`; `*` for a path.
    pub(crate) requirement: String,
    /// Only there with a feature.
    pub(crate) optional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum DependencyKind {
    Normal,
    Build,
    Development,
}

impl Package {
    pub(crate) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }

    pub(crate) fn normal_dependencies(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal)
    }
}

/// Asks cargo for the packages of the workspace at `root`; reads no network and no lock.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("read the answer of cargo metadata")?;
    let root = text(&metadata, "workspace_root").to_owned();
    Ok(list(&metadata, "packages")
        .iter()
        .map(|package| read_package(package, &root))
        .collect())
}

fn read_package(package: &Value, root: &str) -> Package {
    let relative = |path: &str| {
        path.strip_prefix(root)
            .unwrap_or(path)
            .trim_start_matches('/')
            .to_owned()
    };
    Package {
        name: text(package, "name").to_owned(),
        folder: relative(text(package, "manifest_path").trim_end_matches("/Cargo.toml")),
        dependencies: list(package, "dependencies")
            .iter()
            .map(read_dependency)
            .collect(),
        targets: list(package, "targets")
            .iter()
            .map(|target| relative(text(target, "src_path")))
            .collect(),
    }
}

fn read_dependency(dependency: &Value) -> Dependency {
    Dependency {
        name: text(dependency, "name").to_owned(),
        kind: match text(dependency, "kind") {
            "dev" => DependencyKind::Development,
            "build" => DependencyKind::Build,
            _ => DependencyKind::Normal,
        },
        requirement: text(dependency, "req").to_owned(),
        optional: dependency.get("optional").and_then(Value::as_bool) == Some(true),
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

#[cfg(test)]
pub(crate) fn package(name: &str, dependencies: &[(&str, DependencyKind)]) -> Package {
    Package {
        name: name.to_owned(),
        folder: format!("crates/{name}"),
        dependencies: dependencies
            .iter()
            .map(|(name, kind)| Dependency {
                name: (*name).to_owned(),
                kind: *kind,
                requirement: "*".to_owned(),
                optional: false,
            })
            .collect(),
        targets: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_read_from_metadata() {
        let metadata = serde_json::json!({
            "name": "postlake-raw",
            "manifest_path": "/w/crates/postlake-raw/Cargo.toml",
            "dependencies": [
                { "name": "zstd", "kind": null, "req": "^0.13" },
                { "name": "tempfile", "kind": "dev", "req": "^3" },
            ],
            "targets": [{ "src_path": "/w/crates/postlake-raw/src/lib.rs" }],
        });
        let package = read_package(&metadata, "/w");
        assert_eq!(package.manifest(), "crates/postlake-raw/Cargo.toml");
        assert_eq!(package.targets, ["crates/postlake-raw/src/lib.rs"]);
        assert_eq!(
            package
                .normal_dependencies()
                .map(|dependency| dependency.name.as_str())
                .collect::<Vec<_>>(),
            ["zstd"]
        );
        assert_eq!(
            package
                .dependencies
                .get(1)
                .map(|dependency| dependency.kind),
            Some(DependencyKind::Development)
        );
    }
}
