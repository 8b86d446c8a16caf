//! The release binaries that are measured and that measure, and a folder to work in.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::program::{cargo, shown};

/// What a benchmark runs, and where.
#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) postlake: PathBuf,
    pub(crate) bench: PathBuf,
    pub(crate) faulty_s3: PathBuf,
    /// Empty, on the disk that holds the build; removed when this is dropped.
    pub(crate) folder: PathBuf,
}

impl Binaries {
    /// Builds them as anybody would: the product with its default features.
    /// Unless `build` says no: then they are what the last build left.
    pub(crate) fn prepare(root: &Path, name: &str, build: bool) -> Result<Self> {
        if build {
            release(root, "postlake", &["postlake"])?;
            release(
                root,
                "postlake-testkit",
                &["postlake-bench", "postlake-faulty-s3"],
            )?;
        }
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let folder = target.join(format!("bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(Self {
            postlake: target.join("release/postlake"),
            bench: target.join("release/postlake-bench"),
            faulty_s3: target.join("release/postlake-faulty-s3"),
            folder,
        })
    }

    pub(crate) fn size_bytes(&self) -> Result<u64> {
        let data = fs::metadata(&self.postlake).context("look at the release binary")?;
        Ok(data.len())
    }
}

impl Drop for Binaries {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} stays behind: {error}", self.folder.display());
        }
    }
}

fn release(root: &Path, package: &str, names: &[&str]) -> Result<()> {
    let words = ["build", "--release", "--locked", "--package", package];
    let names = names.iter().flat_map(|name| ["--bin", name]);
    shown(cargo().args(words).args(names).current_dir(root))
        .with_context(|| format!("build {package}"))
}
