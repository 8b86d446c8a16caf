//! Installs what the tests need and the machine lacks. A second run finds everything and is silent.

mod cache;
mod cargo_fuzz;
mod debian;
mod dynoxide;
mod nextest;
mod node;
mod python;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::program;
use crate::steps::seconds;

/// Where the programs are that the servers and the tests start.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) python: PathBuf,
    /// The interpreter that has the emulator of AWS.
    pub(crate) python_of_aws: PathBuf,
    pub(crate) chromium: PathBuf,
    pub(crate) node: PathBuf,
    pub(crate) node_modules: PathBuf,
    /// The folder of `initdb` and `postgres`.
    pub(crate) postgres: PathBuf,
    /// An authority for certificates.
    pub(crate) pebble: PathBuf,
    /// Finds fault with templates of CloudFormation.
    pub(crate) cfn_lint: PathBuf,
    /// Finds fault with OpenAPI documents.
    pub(crate) openapi_validator: PathBuf,
    /// An emulator of DynamoDB.
    pub(crate) dynoxide: PathBuf,
}

/// On `Ok` every tool is there; each thing that had to be installed was named with its time.
pub(crate) fn all() -> Result<Tools> {
    debian::install()?;
    let tools = Tools {
        python: python::install()?,
        python_of_aws: python::install_aws()?,
        chromium: program::find("chromium").context("chromium is on the search path")?,
        node: program::find("node").context("node is on the search path")?,
        node_modules: node::install()?,
        postgres: debian::postgres_folder()
            .context("PostgreSQL's programs lie under /usr/lib/postgresql")?,
        pebble: program::find("pebble").context("pebble is on the search path")?,
        cfn_lint: python::install_cfn_lint()?,
        openapi_validator: python::install_openapi_validator()?,
        // Last, since these are built for minutes and what is above fails at once if it fails.
        dynoxide: dynoxide::install()?,
    };
    nextest::install()?;
    Ok(tools)
}

/// On `Ok` `cargo fuzz` runs.
pub(crate) fn cargo_fuzz() -> Result<()> {
    cargo_fuzz::install()
}

/// The interpreter with the engines alone, for what needs nothing else.
pub(crate) fn python() -> Result<PathBuf> {
    python::install()
}

/// The interpreter with the emulator of AWS, for `bench functions`.
pub(crate) fn python_of_aws() -> Result<PathBuf> {
    python::install_aws()
}

/// An interpreter with FastAPI, for `bench receive`.
pub(crate) fn python_of_peers(requirements: &str) -> Result<PathBuf> {
    python::install_into("bench-peers", requirements)
}

/// Debian's packages by name, for what is only measured.
pub(crate) fn debian_packages(names: &[&str]) -> Result<()> {
    announced(&names.join(", "), || debian::packages(names))
}

/// Says what is being installed, and when it is done how long that took.
fn announced<T>(what: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("installing {what}");
    let start = Instant::now();
    let value = action().with_context(|| format!("install {what}"))?;
    eprintln!(
        "installed {what} in {}",
        seconds(start.elapsed()).trim_start()
    );
    Ok(value)
}
