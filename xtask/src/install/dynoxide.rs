//! dynoxide, a second emulator of DynamoDB, of another code base than ministack's.

use std::path::PathBuf;

use anyhow::Result;

use super::cache;
use crate::program::{cargo, quiet};

const VERSION: &str = "3.2.0";
const FEATURES: &str = "native-sqlite,http-server,cli";

/// On `Ok` the program; built once, not optimised.
pub(super) fn install() -> Result<PathBuf> {
    let folder = cache::folder("dynoxide", &format!("dynoxide-rs {VERSION}"), |folder| {
        let mut install = cargo();
        install
            .args(["install", "--locked", "--quiet", "--debug", "dynoxide-rs"])
            .args(["--version", VERSION, "--no-default-features"])
            .args(["--features", FEATURES, "--root"])
            .arg(folder)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env_remove("CARGO_TARGET_DIR");
        quiet(&mut install).map(drop)
    })?;
    Ok(folder.join("bin/dynoxide"))
}
