//! Programs from Debian's packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::announced;
use crate::program::{find, quiet};

/// A program, and the package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("cc", "gcc"),
    ("git", "git"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("python3", "python3"),
    ("chromium", "chromium"),
    ("ceph-mon", "ceph-mon"),
    ("ceph-osd", "ceph-osd"),
    ("radosgw", "radosgw"),
    ("ceph", "ceph-common"),
    ("psql", "postgresql-client"),
    ("strace", "strace"),
    ("openssl", "openssl"),
    ("pebble", "pebble"),
];

const POSTGRES: &str = "/usr/lib/postgresql";

/// On `Ok` every program of the list is on the search path, and PostgreSQL's server is there.
pub(super) fn install() -> Result<()> {
    let missing = missing(
        |program| find(program).is_some(),
        postgres_folder().is_some(),
    );
    if missing.is_empty() {
        return Ok(());
    }
    announced(&missing.join(", "), || packages(&missing))
}

/// Installs packages by name; needs root, or `sudo` without a password.
pub(super) fn packages(names: &[&str]) -> Result<()> {
    // One source of many that does not answer fails the update, and the packages may still be had.
    let updated = quiet(apt()?.args(["update", "-qq"]));
    let installed = quiet(
        apt()?
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(names),
    );
    match (installed, updated) {
        (Ok(_), _) => Ok(()),
        (Err(error), Ok(_)) => Err(error),
        (Err(error), Err(cause)) => bail!("{cause:#}\n{error:#}"),
    }
}

/// The newest PostgreSQL server that Debian's packages have left here.
pub(super) fn postgres_folder() -> Option<PathBuf> {
    let versions = fs::read_dir(POSTGRES)
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let mut servers: Vec<PathBuf> = versions
        .map(|version| version.join("bin"))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    servers.sort_by_key(|bin| version_of(bin));
    servers.pop()
}

fn version_of(bin: &Path) -> Option<u32> {
    bin.parent()?.file_name()?.to_str()?.parse().ok()
}

fn missing(is_there: impl Fn(&str) -> bool, postgres_is_there: bool) -> Vec<&'static str> {
    let programs = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package);
    programs
        .chain((!postgres_is_there).then_some("postgresql"))
        .collect()
}

fn apt() -> Result<Command> {
    find("apt-get").context("this is no Debian: install the programs by hand")?;
    let mut command = if quiet(Command::new("id").arg("-u"))?.trim() == "0" {
        Command::new("apt-get")
    } else if find("sudo").is_some() {
        let mut sudo = Command::new("sudo");
        sudo.args([
            "-n",
            "DEBIAN_FRONTEND=noninteractive",
            "RUNLEVEL=1",
            "apt-get",
        ]);
        sudo
    } else {
        bail!("installing packages needs root");
    };
    // In run level 1 a package does not start its service: the tests start their own.
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1");
    // Another program that installs at this moment is waited for.
    command.args(["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=5"]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        assert!(missing(|_| true, true).is_empty());
        assert_eq!(
            missing(|program| program != "ceph", false),
            ["ceph-common", "postgresql"]
        );
    }

    #[test]
    fn versions_are_numbers() {
        assert!(
            version_of(Path::new("/usr/lib/postgresql/9/bin"))
                < version_of(Path::new("/usr/lib/postgresql/15/bin"))
        );
    }
}
