//! `cargo xtask package`: what AWS Lambda is given, two zips with a `bootstrap` each.
//!
//! The function that receives is built without the lake, in a target folder of its own: with other
//! features the two builds would undo each other's work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::program::{cargo, quiet, shown, target};

/// Most bytes of the package that receives, zipped.
const MOST_RECEIVE_BYTES: u64 = 15_000_000;

/// What Amazon Linux 2023 has; a program that wants a newer C library does not start there.
const MOST_GLIBC: (u32, u32) = (2, 34);

/// A program, and the package it becomes.
#[derive(Debug)]
struct Recipe {
    program: &'static str,
    zip: &'static str,
    /// Built with the default features, where everything else of the workspace is.
    whole: bool,
}

const RECEIVE: Recipe = Recipe {
    program: "postlake-receive",
    zip: "postlake-receive.zip",
    whole: false,
};
const WHOLE: Recipe = Recipe {
    program: "postlake",
    zip: "postlake.zip",
    whole: true,
};

/// A package as it was made.
#[derive(Debug)]
pub(crate) struct Package {
    zip: PathBuf,
    pub(crate) zipped_bytes: u64,
    bytes: u64,
}

/// `package [--receive] [--out FOLDER]`.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let (mut recipes, mut out) = (vec![RECEIVE, WHOLE], target(root).join("package"));
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--receive" => recipes.truncate(1),
            "--out" => out = words.next().context("--out wants a folder")?.into(),
            _ => bail!("{word} is not --receive or --out FOLDER"),
        }
    }
    for recipe in recipes {
        let made = make(root, &recipe, &out)?;
        println!(
            "{}: {:.1} MB, {:.1} MB unpacked",
            made.zip.display(),
            megabytes(made.zipped_bytes),
            megabytes(made.bytes)
        );
    }
    Ok(())
}

/// The package that receives, in `out`; its size is checked.
pub(crate) fn receive(root: &Path, out: &Path) -> Result<Package> {
    make(root, &RECEIVE, out)
}

/// Whether the program that receives still compiles by itself: in the workspace it sees everything that
/// postlake may name.
pub(crate) fn check_receive(root: &Path) -> Result<()> {
    let mut command = cargo();
    command
        .args(["check", "--locked", "--quiet", "--package", "postlake"])
        .args(["--bin", RECEIVE.program, "--no-default-features"])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", target(root).join("receive"));
    shown(&mut command)
}

fn make(root: &Path, recipe: &Recipe, out: &Path) -> Result<Package> {
    let built = build(root, recipe)?;
    fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    let folder = out.join(recipe.program);
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let bootstrap = folder.join("bootstrap");
    quiet(Command::new("strip").arg("-o").args([&bootstrap, &built]))?;
    check_glibc(&bootstrap)?;
    let zip = out.join(recipe.zip);
    zip_of(&folder, &zip)?;
    let size = |path: &Path| -> Result<u64> {
        let data = fs::metadata(path).with_context(|| format!("look at {}", path.display()))?;
        Ok(data.len())
    };
    let made = Package {
        zipped_bytes: size(&zip)?,
        bytes: size(&bootstrap)?,
        zip,
    };
    ensure!(
        recipe.whole || made.zipped_bytes <= MOST_RECEIVE_BYTES,
        "{} has {} bytes, {MOST_RECEIVE_BYTES} are the most",
        recipe.zip,
        made.zipped_bytes
    );
    Ok(made)
}

fn build(root: &Path, recipe: &Recipe) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--release", "--locked", "--package", "postlake"]);
    command.args(["--bin", recipe.program]).current_dir(root);
    let mut folder = target(root);
    if !recipe.whole {
        folder = folder.join("receive");
        command.arg("--no-default-features");
        command.env("CARGO_TARGET_DIR", &folder);
    }
    shown(&mut command)?;
    Ok(folder.join("release").join(recipe.program))
}

/// Python is what everything here has that writes zips; it keeps the file's mode.
fn zip_of(folder: &Path, zip: &Path) -> Result<()> {
    if zip.exists() {
        fs::remove_file(zip).with_context(|| format!("remove {}", zip.display()))?;
    }
    let words = ["-m", "zipfile", "-c"];
    let mut python = Command::new("python3");
    python.args(words).arg(zip).arg("bootstrap");
    quiet(python.current_dir(folder))?;
    Ok(())
}

fn check_glibc(program: &Path) -> Result<()> {
    let symbols = quiet(Command::new("objdump").arg("-T").arg(program))?;
    if let Some((major, minor)) = newest_glibc(&symbols).filter(|newest| *newest > MOST_GLIBC) {
        bail!(
            "{} wants glibc {major}.{minor}, and Amazon Linux 2023 has {}.{}: build it on Debian 12 or older",
            program.display(),
            MOST_GLIBC.0,
            MOST_GLIBC.1
        );
    }
    Ok(())
}

/// The newest version among `GLIBC_2.34` and the like.
fn newest_glibc(symbols: &str) -> Option<(u32, u32)> {
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (major, minor) = rest.get(..end)?.split_once('.')?;
        let minor = minor.split('.').next()?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    versions.max()
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_c_library_is_found() {
        let symbols =
            "0 DF *UND* (GLIBC_2.2.5) free\n0 DF *UND* (GLIBC_2.34) main\n0 (GLIBC_2.9) x\n";
        assert_eq!(newest_glibc(symbols), Some((2, 34)));
        assert_eq!(newest_glibc("nothing of it"), None);
    }
}
