//! playwright-core: drives the Chromium of Debian, brings no browser of its own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::cache;
use crate::program::quiet;

/// The last line that runs on Node 18, which is what Debian 12 has.
const PACKAGE: &str = "playwright-core@1.61.1";

/// On `Ok` the `node_modules` that holds the package.
pub(super) fn install() -> Result<PathBuf> {
    // Checkouts that want different versions do not replace each other's.
    let folder = cache::folder(&PACKAGE.replace('@', "-"), PACKAGE, |folder| {
        let options = [
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--save-exact",
            "--prefix",
        ];
        quiet(Command::new("npm").args(options).arg(folder).arg(PACKAGE)).map(drop)
    })?;
    Ok(folder.join("node_modules"))
}
