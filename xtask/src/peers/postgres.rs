//! PostgreSQL, from Debian's packages, in a folder of its own.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::keeper::{Keeper, Stop};
use super::ready::{free_port, wait};
use crate::install::Tools;
use crate::program::quiet;

const START_LIMIT: Duration = Duration::from_secs(120);

/// The user and group that the server runs as; none: our own.
#[derive(Clone, Copy)]
struct Owner(Option<(u32, u32)>);

/// On `Ok` the server has answered a query; the value is its URL.
pub(super) fn start(keeper: &mut Keeper, tools: &Tools) -> Result<String> {
    let owner = Owner::find()?;
    let folder = keeper.folder("postgres")?;
    if let Owner(Some((user, group))) = owner {
        chown(&folder, Some(user), Some(group)).context("hand the folder to the server's user")?;
    }
    let data = folder.join("data");
    let options = [
        "--auth=trust",
        "--username=postgres",
        "--no-sync",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "-D",
    ];
    keeper.run(
        owner
            .command(&tools.postgres.join("initdb"), &folder)
            .args(options)
            .arg(&data),
    )?;

    let port = free_port()?;
    let mut command = owner.command(&tools.postgres.join("postgres"), &folder);
    command
        .arg("-D")
        .arg(&data)
        .arg("-k")
        .arg(&folder)
        .arg("-p")
        .arg(port.to_string());
    // The data is thrown away, so nothing is synced.
    command.args([
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "fsync=off",
        "-c",
        "full_page_writes=off",
    ]);
    let server = keeper.spawn("postgres", &mut command, &folder, Stop::Interrupt)?;

    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    wait(keeper, &server, START_LIMIT, |keeper| {
        select_one(keeper, &url)
    })?;
    Ok(url)
}

fn select_one(keeper: &mut Keeper, url: &str) -> Result<()> {
    keeper.run(Command::new("psql").args([
        "--no-psqlrc",
        "--tuples-only",
        "--command",
        "SELECT 1",
        url,
    ]))?;
    Ok(())
}

impl Owner {
    /// The server refuses to run as root; Debian's package brings a user for it.
    fn find() -> Result<Self> {
        let number = |arguments: &[&str]| -> Result<u32> {
            quiet(Command::new("id").args(arguments))?
                .trim()
                .parse()
                .context("read the number of a user")
        };
        if number(&["-u"])? != 0 {
            return Ok(Self(None));
        }
        Ok(Self(Some((
            number(&["-u", "postgres"])?,
            number(&["-g", "postgres"])?,
        ))))
    }

    fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env("LC_ALL", "C.UTF-8");
        if let Self(Some((user, group))) = self {
            command.uid(user).gid(group);
        }
        command
    }
}
