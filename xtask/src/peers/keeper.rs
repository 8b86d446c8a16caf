//! Ends the servers and removes their data, whatever ends this process.
//!
//! A small shell script reads from a pipe what there is to end. The pipe closes when the keeper is
//! dropped, and also when this process is interrupted or killed: then the script does its work.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::program::{last_lines, outcome, show};

const SCRIPT: &str = include_str!("keeper.sh");
const LOG_LINES: usize = 20;

/// No program that is run to its end needs a fifth of this on a busy machine.
const RUN_LIMIT: Duration = Duration::from_secs(240);

/// How a server is told to end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    /// At once: it keeps its data safe, and the data is thrown away.
    Kill,
    /// It has children to end first.
    Interrupt,
}

/// Owner of servers and their folders.
pub(super) struct Keeper {
    script: Child,
    orders: Option<ChildStdin>,
    servers: Vec<Child>,
    folder: PathBuf,
}

/// A server that was started.
#[derive(Debug, Clone)]
pub(super) struct Server {
    index: usize,
    name: &'static str,
    log: PathBuf,
}

impl Keeper {
    pub(super) fn start() -> Result<Self> {
        let mut script = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start the keeper")?;
        let orders = script.stdin.take();
        let mut keeper = Self {
            script,
            orders,
            servers: Vec::new(),
            folder: PathBuf::new(),
        };
        keeper.folder = new_folder()?;
        let order = format!("remove {}", keeper.folder.display());
        keeper.order(&order)?;
        Ok(keeper)
    }

    /// An empty folder that goes when the keeper goes.
    pub(super) fn folder(&mut self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(folder)
    }

    /// Starts a server whose output goes to a file in `folder`; `Ok` means started, not ready.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        command: &mut Command,
        folder: &Path,
        stop: Stop,
    ) -> Result<Server> {
        let log = folder.join(format!("{name}.out"));
        let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let errors = output.try_clone().context("share the log")?;
        // A group of its own: an interrupt at the terminal reaches it through the keeper only.
        let command = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("run {}", show(command)))?;
        let signal = match stop {
            Stop::Kill => "KILL",
            Stop::Interrupt => "INT",
        };
        let order = format!("stop {} {signal}", child.id());
        self.servers.push(child);
        self.order(&order)?;
        Ok(Server {
            index: self.servers.len() - 1,
            name,
            log,
        })
    }

    /// Runs a program to its end; on `Ok` this is what it wrote. It ends early if the keeper does,
    /// and it is killed at [`RUN_LIMIT`].
    pub(super) fn run(&mut self, command: &mut Command) -> Result<String> {
        let line = show(command);
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("run {line}"))?;
        let process = child.id();
        self.order(&format!("stop {process} KILL"))?;
        let (ended, end) = mpsc::sync_channel::<()>(0);
        let watch = thread::spawn(move || kill_unless(&end, process, RUN_LIMIT));
        let output = child.wait_with_output();
        drop(ended);
        let killed = watch.join().unwrap_or(false);
        let output = output.with_context(|| format!("wait for {line}"))?;
        self.order(&format!("done {process}"))?;
        if killed {
            bail!("{line}: not done after {} s", RUN_LIMIT.as_secs());
        }
        outcome(&line, &output)
    }

    /// `Err`, with the end of its log, once the server has ended by itself.
    pub(super) fn ensure_running(&mut self, server: &Server) -> Result<()> {
        let child = self
            .servers
            .get_mut(server.index)
            .context("the server was started here")?;
        match child
            .try_wait()
            .with_context(|| format!("look at {}", server.name))?
        {
            None => Ok(()),
            Some(status) => bail!("{} ended: {status}\n{}", server.name, server.log_tail()),
        }
    }

    fn order(&mut self, line: &str) -> Result<()> {
        let orders = self.orders.as_mut().context("the keeper has a pipe")?;
        writeln!(orders, "{line}").context("write to the keeper")
    }
}

impl Server {
    pub(super) fn log_tail(&self) -> String {
        fs::read_to_string(&self.log)
            .map_or_else(|_| String::new(), |text| last_lines(&text, LOG_LINES))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Err(error) = self.script.wait() {
            eprintln!("wait for the keeper: {error}");
        }
        for server in &mut self.servers {
            if let Err(error) = server.wait() {
                eprintln!("wait for a server: {error}");
            }
        }
    }
}

/// Kills the group of a process unless `end` closes before; true if it did.
fn kill_unless(end: &Receiver<()>, process: u32, limit: Duration) -> bool {
    if end.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
        return false;
    }
    let line = format!("kill -s KILL -- -{process}");
    Command::new("sh").args(["-c", &line]).status().is_ok()
}

/// A folder that was not there before and that servers under other users can pass through.
fn new_folder() -> Result<PathBuf> {
    let process = std::process::id();
    for number in 0..1000 {
        let folder = std::env::temp_dir().join(format!("postlake-peers-{process}-{number}"));
        match fs::create_dir(&folder) {
            Ok(()) => {
                fs::set_permissions(&folder, Permissions::from_mode(0o755))
                    .with_context(|| format!("open {} to others", folder.display()))?;
                return Ok(folder);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("create {}", folder.display()));
            }
        }
    }
    bail!("the temporary folder is full of older ones");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_the_keeper_ends_servers_and_removes_folders() {
        let mut keeper = Keeper::start().unwrap();
        let folder = keeper.folder("a").unwrap();
        let sleeping = |seconds: &str| {
            let mut command = Command::new("sleep");
            command.arg(seconds);
            command
        };
        let killed = keeper
            .spawn("killed", &mut sleeping("600"), &folder, Stop::Kill)
            .unwrap();
        let interrupted = keeper
            .spawn(
                "interrupted",
                &mut sleeping("600"),
                &folder,
                Stop::Interrupt,
            )
            .unwrap();
        keeper.ensure_running(&killed).unwrap();
        keeper.ensure_running(&interrupted).unwrap();
        let processes: Vec<u32> = keeper.servers.iter().map(Child::id).collect();
        drop(keeper);
        assert!(!folder.exists());
        for process in processes {
            assert!(!Path::new(&format!("/proc/{process}")).exists());
        }
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_with_its_children() {
        let mut shell = Command::new("sh");
        let child = shell
            .args(["-c", "sleep 600 & wait"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let (_ended, end) = mpsc::sync_channel(0);
        assert!(kill_unless(&end, child.id(), Duration::ZERO));
        // The pipe closes when the last of them is gone.
        assert!(!child.wait_with_output().unwrap().status.success());
    }

    #[test]
    fn a_program_that_has_ended_is_not_ended_again() {
        let mut keeper = Keeper::start().unwrap();
        let mut echo = Command::new("echo");
        assert_eq!(keeper.run(echo.arg("said")).unwrap(), "said\n");
        let error = keeper
            .run(&mut Command::new("false"))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "false: exit status: 1\n");
    }

    #[test]
    fn a_server_that_ended_is_reported_with_its_log() {
        let mut keeper = Keeper::start().unwrap();
        let folder = keeper.folder("a").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo the reason; exit 4"]);
        let server = keeper
            .spawn("short", &mut command, &folder, Stop::Kill)
            .unwrap();
        keeper
            .servers
            .get_mut(server.index)
            .unwrap()
            .wait()
            .unwrap();
        let error = keeper.ensure_running(&server).unwrap_err().to_string();
        assert!(
            error.contains("short ended: exit status: 4") && error.contains("the reason"),
            "{error}"
        );
    }
}
