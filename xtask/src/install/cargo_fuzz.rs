//! What builds and runs the targets of `fuzz/`.

use anyhow::Result;

use super::announced;
use crate::program::{cargo, find, quiet};

const VERSION: &str = "0.13.2";

/// On `Ok` `cargo fuzz` runs. Any version that is there is taken.
pub(super) fn install() -> Result<()> {
    if find("cargo-fuzz").is_some() || quiet(cargo().args(["fuzz", "--version"])).is_ok() {
        return Ok(());
    }
    announced("cargo-fuzz", || {
        quiet(
            cargo()
                .args(["install", "--locked", "--quiet", "cargo-fuzz"])
                .args(["--version", VERSION, "--debug"])
                .env("CARGO_PROFILE_DEV_DEBUG", "0")
                .env_remove("CARGO_TARGET_DIR"),
        )?;
        Ok(())
    })
}
