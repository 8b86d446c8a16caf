//! The release binaries that are measured and that measure, and a folder to work in.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::program::{cargo, shown, target};

/// What a benchmark runs, and where.
#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) postlake: PathBuf,
    pub(crate) bench: PathBuf,
    pub(crate) faulty_s3: PathBuf,
    pub(crate) hotpath: PathBuf,
    pub(crate) folder: Folder,
}

/// Empty, on the disk that holds the build; removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Binaries {
    /// Builds them as anybody would: the product with its default features.
    /// Unless `build` says no: then they are what the last build left.
    pub(crate) fn prepare(root: &Path, name: &str, build: bool) -> Result<Self> {
        if build {
            release(root, "postlake", &["postlake"])?;
            release(
                root,
                "postlake-testkit",
                &["postlake-bench", "postlake-faulty-s3", "postlake-hotpath"],
            )?;
        }
        let target = target(root);
        Ok(Self {
            postlake: target.join("release/postlake"),
            bench: target.join("release/postlake-bench"),
            faulty_s3: target.join("release/postlake-faulty-s3"),
            hotpath: target.join("release/postlake-hotpath"),
            folder: Folder::make(root, name)?,
        })
    }

    pub(crate) fn size_bytes(&self) -> Result<u64> {
        let data = fs::metadata(&self.postlake).context("look at the release binary")?;
        Ok(data.len())
    }
}

impl Folder {
    /// Of the benchmark `name`.
    pub(crate) fn make(root: &Path, name: &str) -> Result<Self> {
        let path = target(root).join(format!("bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays behind: {error}", self.0.display());
        }
    }
}

pub(crate) fn release(root: &Path, package: &str, names: &[&str]) -> Result<()> {
    let words = ["build", "--release", "--locked", "--package", package];
    let names = names.iter().flat_map(|name| ["--bin", name]);
    shown(cargo().args(words).args(names).current_dir(root))
        .with_context(|| format!("build {package}"))
}
