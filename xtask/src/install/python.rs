//! A Python of its own with the engines that read the lake independently of us.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{cache, debian};
use crate::program::quiet;

const REQUIREMENTS: &str = include_str!("requirements.txt");
const AWS_REQUIREMENTS: &str = include_str!("requirements_aws.txt");
const OPENAPI_REQUIREMENTS: &str = include_str!("requirements_openapi.txt");
const LINT_REQUIREMENTS: &str = include_str!("requirements_lint.txt");

/// On `Ok` an interpreter that has every package of `requirements.txt`.
pub(super) fn install() -> Result<PathBuf> {
    install_into("python", REQUIREMENTS)
}

/// On `Ok` an interpreter with an emulator of AWS and its client, which want other packages than the
/// engines.
pub(super) fn install_aws() -> Result<PathBuf> {
    install_into("aws", AWS_REQUIREMENTS)
}

/// On `Ok` the program that reads templates of CloudFormation and finds fault with them.
pub(super) fn install_cfn_lint() -> Result<PathBuf> {
    let python = install_into("lint", LINT_REQUIREMENTS)?;
    Ok(python.with_file_name("cfn-lint"))
}

/// On `Ok` the program that finds fault with OpenAPI documents.
pub(super) fn install_openapi_validator() -> Result<PathBuf> {
    let python = install_into("openapi", OPENAPI_REQUIREMENTS)?;
    Ok(python.with_file_name("openapi-spec-validator"))
}

/// On `Ok` an interpreter in the folder `name` that has every package of `requirements`, a line each.
pub(super) fn install_into(name: &str, requirements: &str) -> Result<PathBuf> {
    let folder = cache::folder(name, requirements, |folder| {
        create(folder)?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "--retries=10",
        ];
        quiet(
            Command::new(interpreter(folder))
                .args(pip)
                .args(requirements.lines()),
        )
        .map(drop)
    })?;
    Ok(interpreter(&folder))
}

/// Debian's own Python comes without the module that makes environments.
fn create(folder: &Path) -> Result<()> {
    let venv = || {
        quiet(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(folder),
        )
    };
    if venv().is_ok() {
        return Ok(());
    }
    debian::packages(&["python3-venv"])?;
    venv().map(drop)
}

fn interpreter(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}
