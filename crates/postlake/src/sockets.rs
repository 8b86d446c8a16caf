//! Listening sockets: inherited from whoever started this process, or bound here; kept, so that the
//! next process can have them while connections wait in their queues.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use listenfd::ListenFd;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use tokio::net::{TcpListener, TcpSocket};

use crate::exit::{Exit, Failure};

/// Connections that may wait for their turn, or for the next process. The system may allow less.
const BACKLOG: u32 = 4096;

/// Where a row of file descriptors for the next process may begin.
const ROWS: [i32; 6] = [40, 100, 200, 400, 1000, 4000];

/// What a listener is for, by the name in `LISTEN_FDNAMES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenerName {
    Ingest,
    Read,
    Admin,
}

impl ListenerName {
    const ALL: [ListenerName; 3] = [Self::Ingest, Self::Read, Self::Admin];

    fn text(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    fn of(text: &str) -> Option<ListenerName> {
        Self::ALL.into_iter().find(|name| name.text() == text)
    }
}

/// The sockets of this process.
#[derive(Debug)]
pub(crate) struct Sockets {
    inherited: Mutex<Vec<(ListenerName, StdListener)>>,
    any_inherited: bool,
    held: Mutex<Vec<(ListenerName, OwnedFd)>>,
    /// The program as it was started: its file may be another one by now.
    program: Option<PathBuf>,
}

impl Sockets {
    /// None but what is bound here.
    pub(crate) fn none() -> Sockets {
        Sockets {
            inherited: Mutex::default(),
            any_inherited: false,
            held: Mutex::default(),
            program: std::env::current_exe().ok(),
        }
    }

    /// The sockets that systemd, or the process before this one, has passed: `LISTEN_FDS`,
    /// `LISTEN_PID`, `LISTEN_FDNAMES` as in sd_listen_fds(3). To be called before there are threads.
    ///
    /// # Errors
    /// When a socket has a name that is no listener's, or is no TCP listener.
    pub(crate) fn from_environment() -> Result<Sockets, Failure> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut passed = ListenFd::from_env();
        let names: Vec<&str> = names.split(':').collect();
        let mut inherited = Vec::new();
        for index in 0..passed.len() {
            let text = names.get(index).copied().unwrap_or_default();
            let name = match ListenerName::of(text) {
                Some(name) => name,
                // A single socket without a name of ours can only be the one that matters.
                None if passed.len() == 1 => ListenerName::Ingest,
                None => {
                    let message = format!(
                        "the socket {index} in LISTEN_FDNAMES is named `{text}`; name each one ingest, read or \
                         admin (FileDescriptorName= of the socket unit)"
                    );
                    return Err(Failure::new(Exit::Config, message));
                }
            };
            let failed = |source| {
                let doing = format!("take over the {} socket", name.text());
                Failure::caused(Exit::Unavailable, doing, source)
            };
            let taken = passed.take_tcp_listener(index).map_err(failed)?;
            inherited.extend(taken.map(|socket| (name, socket)));
        }
        Ok(Sockets {
            any_inherited: !inherited.is_empty(),
            inherited: Mutex::new(inherited),
            ..Sockets::none()
        })
    }

    /// True if somebody has passed sockets: the process before this one may still be draining.
    pub(crate) fn any_inherited(&self) -> bool {
        self.any_inherited
    }

    /// Where the listener of that name will be reached: the inherited socket's address counts, not the
    /// configured one.
    ///
    /// # Errors
    /// When the inherited socket does not tell.
    pub(crate) fn address(
        &self,
        name: ListenerName,
        configured: SocketAddr,
    ) -> Result<SocketAddr, Failure> {
        let inherited = lock(&self.inherited);
        let Some((_, socket)) = inherited.iter().find(|(known, _)| *known == name) else {
            return Ok(configured);
        };
        socket.local_addr().map_err(|source| {
            let doing = format!("read the address of the inherited {} socket", name.text());
            Failure::caused(Exit::Unavailable, doing, source)
        })
    }

    /// The inherited socket of that name, whatever its address, or a new one.
    ///
    /// # Errors
    /// When the address is taken.
    pub(crate) fn listen(
        &self,
        name: ListenerName,
        address: SocketAddr,
    ) -> Result<TcpListener, Failure> {
        let failed = |source| {
            let doing = format!("listen on {address} (is another server running there?)");
            Failure::caused(Exit::Unavailable, doing, source)
        };
        let inherited = {
            let mut inherited = lock(&self.inherited);
            let found = inherited.iter().position(|(known, _)| *known == name);
            found.map(|index| inherited.swap_remove(index).1)
        };
        let listener = match inherited {
            Some(socket) => {
                socket.set_nonblocking(true).map_err(failed)?;
                TcpListener::from_std(socket).map_err(failed)?
            }
            None => bind(address).map_err(failed)?,
        };
        let held = listener.as_fd().try_clone_to_owned().map_err(failed)?;
        lock(&self.held).push((name, held));
        Ok(listener)
    }

    /// Whether the program that would take over can be started at all.
    ///
    /// # Errors
    /// When it cannot.
    pub(crate) fn try_successor(&self) -> Result<(), Failure> {
        let failed =
            |source| Failure::caused(Exit::Failure, "try the program that takes over", source);
        let status = self
            .successor()?
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        let message = format!("the program that takes over does not start ({status})");
        Err(Failure::new(Exit::Failure, message))
    }

    /// Puts the program, as it now is on the disk, in the place of this process, with the same
    /// arguments and the listening sockets. To be called when everything is drained.
    pub(crate) fn hand_over(&self) -> Failure {
        let passed = match self.row() {
            Ok(passed) => passed,
            Err(failure) => return failure,
        };
        let mut command = match self.successor() {
            Ok(command) => command,
            Err(failure) => return failure,
        };
        let names: Vec<_> = lock(&self.held)
            .iter()
            .map(|(name, _)| name.text())
            .collect();
        let first = passed.first().map_or(0, |fd| fd.as_raw_fd());
        let source = command
            .args(std::env::args_os().skip(1))
            .env("LISTEN_PID", std::process::id().to_string())
            .env("LISTEN_FDS", passed.len().to_string())
            .env("LISTEN_FDS_FIRST_FD", first.to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .exec();
        Failure::caused(Exit::Failure, "start the program that takes over", source)
    }

    fn successor(&self) -> Result<Command, Failure> {
        let Some(program) = &self.program else {
            let message = "the path of this program is not known";
            return Err(Failure::new(Exit::Failure, message));
        };
        let mut command = Command::new(program);
        if let Some(name) = std::env::args_os().next() {
            command.arg0::<OsString>(name);
        }
        Ok(command)
    }

    /// The sockets under numbers without a gap, open beyond `exec`.
    fn row(&self) -> Result<Vec<OwnedFd>, Failure> {
        let held = lock(&self.held);
        let mut cause = None;
        for start in ROWS {
            match copies(&held, start) {
                Ok(Some(row)) => return Ok(row),
                Ok(None) => {}
                Err(error) => cause = Some(error),
            }
        }
        let doing = "copy the listening sockets for the program that takes over";
        Err(match cause {
            Some(cause) => Failure::caused(Exit::Failure, doing, cause),
            None => Failure::new(Exit::Failure, doing),
        })
    }
}

/// `None` when the numbers are not free.
fn copies(
    held: &[(ListenerName, OwnedFd)],
    start: i32,
) -> rustix::io::Result<Option<Vec<OwnedFd>>> {
    let mut row = Vec::new();
    for (number, (_, socket)) in (start..).zip(held) {
        let copy = fcntl_dupfd_cloexec(socket, number)?;
        if copy.as_raw_fd() != number {
            return Ok(None);
        }
        row.push(copy);
    }
    for copy in &row {
        fcntl_setfd(copy, FdFlags::empty())?;
    }
    Ok(Some(row))
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
