//! The test runner.

use anyhow::Result;

use super::announced;
use crate::program::{cargo, find, quiet};

const VERSION: &str = "0.9.143";

/// On `Ok` `cargo nextest` runs. Any version that is there is taken; a missing one is built.
pub(super) fn install() -> Result<()> {
    if find("cargo-nextest").is_some() || quiet(cargo().args(["nextest", "--version"])).is_ok() {
        return Ok(());
    }
    announced("cargo-nextest", || {
        // Neither optimised nor able to update itself: it waits for tests, and this builds in half the
        // time. In a folder of its own, since its profile is not that of the workspace.
        quiet(
            cargo()
                .args(["install", "--locked", "--quiet", "cargo-nextest"])
                .args(["--version", VERSION, "--debug", "--no-default-features"])
                .env("CARGO_PROFILE_DEV_DEBUG", "0")
                .env_remove("CARGO_TARGET_DIR"),
        )?;
        Ok(())
    })
}
