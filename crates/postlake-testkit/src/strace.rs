//! Running a program under `strace`: every call it makes on the disk, written down with its bytes, and
//! faults in the k-th of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Calls that change what is on the disk.
pub const DISK_CALLS: &[&str] = &[
    "openat",
    "mkdir",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "linkat",
    "rename",
    "unlink",
    "ftruncate",
];

/// What a recording needs beside them: whose descriptor is whose, and what was answered to whom.
const RECORDED: &str = "openat,close,dup,fcntl,lseek,mkdir,mkdirat,rmdir,write,writev,pwrite64,pwritev,\
    ftruncate,truncate,fallocate,copy_file_range,sendfile,rename,renameat,renameat2,link,linkat,unlink,\
    unlinkat,symlink,symlinkat,fsync,fdatasync,accept4,recvfrom,sendto,sendmsg";

/// Longest text of one call that is written down whole.
const MAX_TEXT_BYTES: usize = 8 << 20;

/// What is done to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Injected {
    /// The process gets `kill -9` in place of the call.
    Kill,
    /// The call fails with this error, and nothing is done.
    Error(&'static str),
    /// The call is done and returns that much later, in microseconds.
    Delay(u64),
}

/// A fault in a call of each thread: the `nth`, or that and all after it.
#[derive(Clone, Debug)]
pub struct Injection {
    /// Name of the call.
    pub call: &'static str,
    /// What is done to it.
    pub what: Injected,
    /// Which one, from 1. Every thread counts for itself.
    pub nth: usize,
    /// Whether all after it are hit too.
    pub onwards: bool,
}

impl Injection {
    /// The `nth` call of a thread.
    pub fn once(call: &'static str, what: Injected, nth: usize) -> Injection {
        Injection {
            call,
            what,
            nth,
            onwards: false,
        }
    }

    fn expression(&self) -> String {
        let what = match &self.what {
            Injected::Kill => "signal=SIGKILL".to_owned(),
            Injected::Error(name) => format!("error={name}"),
            Injected::Delay(micros) => format!("delay_exit={micros}"),
        };
        let onwards = if self.onwards { "+" } else { "" };
        format!("inject={}:{what}:when={}{onwards}", self.call, self.nth)
    }
}

/// A tracer that is there.
#[derive(Clone, Debug)]
pub struct Strace {
    program: PathBuf,
}

impl Strace {
    /// The one of the search path. Without it a line says so, and a test passes over; with
    /// `POSTLAKE_TEST_REQUIRE_PEERS=1` that is a failure.
    #[track_caller]
    pub fn find() -> Option<Strace> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .map(|folder| folder.join("strace"))
            .find(|file| file.is_file());
        if found.is_none() {
            let required = std::env::var("POSTLAKE_TEST_REQUIRE_PEERS").is_ok_and(|on| on == "1");
            assert!(
                !required,
                "there is no strace, and POSTLAKE_TEST_REQUIRE_PEERS is set"
            );
            eprintln!("skipped: there is no strace");
        }
        found.map(|program| Strace { program })
    }

    /// `command` under the tracer, its calls written to `log`, with these faults.
    pub fn around(&self, command: &Command, log: &Path, injections: &[Injection]) -> Command {
        let mut traced = Command::new(&self.program);
        traced
            .args(["-f", "-qqq", "-xx", "-s"])
            .arg(MAX_TEXT_BYTES.to_string())
            .args(["-e", &format!("trace={RECORDED}"), "-e", "signal=none"]);
        // Much faster, but injected signals are then not delivered.
        if injections.iter().all(|one| one.what != Injected::Kill) {
            traced.arg("--seccomp-bpf");
        }
        for injection in injections {
            traced.args(["-e", &injection.expression()]);
        }
        traced.arg("-o").arg(log);
        Self::pass_on(command, traced)
    }

    /// `command` as it is when the runtime cannot wake itself: each thread's writes to its event
    /// descriptor fail from the `nth` on.
    pub fn without_wakes(&self, command: &Command, nth: usize) -> Command {
        let mut traced = Command::new(&self.program);
        let inject = format!("inject=write:error=ENOSPC:when={nth}+");
        traced
            .args(["-f", "-qqq", "--seccomp-bpf", "-o", "/dev/null"])
            .args(["-e", "trace=write", "-e", "signal=none", "-e", &inject])
            .args(["-P", "anon_inode:[eventfd]"]);
        Self::pass_on(command, traced)
    }

    fn pass_on(command: &Command, mut traced: Command) -> Command {
        traced.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => traced.env(name, value),
                None => traced.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            traced.current_dir(folder);
        }
        traced
    }
}

/// One call as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Name of the call.
    pub name: String,
    /// What stands between the brackets.
    pub arguments: String,
    /// What it returned; none if it never did, or (`begun`) has not yet.
    pub returned: Option<i64>,
    /// This is the beginning of a call whose end comes later as an entry of its own.
    pub begun: bool,
    /// This is the end of a call that has an entry for its beginning.
    pub resumed: bool,
    /// A fault was injected.
    pub injected: bool,
}

impl Call {
    /// The texts among the arguments, decoded. Panics on one that was cut.
    #[track_caller]
    pub fn texts(&self) -> Vec<Vec<u8>> {
        let mut texts = Vec::new();
        let mut rest = self.arguments.as_str();
        while let Some((_, after)) = rest.split_once('"') {
            let Some((text, left)) = after.split_once('"') else {
                break;
            };
            assert!(!left.starts_with("..."), "the log has cut a text");
            texts.push(unescape(text));
            rest = left;
        }
        texts
    }

    /// The text with that index as a path.
    pub fn path(&self, index: usize) -> Option<PathBuf> {
        let text = self.texts().into_iter().nth(index)?;
        Some(PathBuf::from(String::from_utf8(text).ok()?))
    }

    /// The first argument as a number: the descriptor of most calls.
    pub fn descriptor(&self) -> Option<i64> {
        let first = self.arguments.split(',').next()?;
        first.trim().parse().ok()
    }

    /// The last argument as a number.
    pub fn last_number(&self) -> Option<i64> {
        self.arguments.rsplit(',').next()?.trim().parse().ok()
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(text.get(at..at + 2).unwrap_or("00"), 16);
    (0..text.len() / 4)
        .map(|index| digits(index * 4 + 2).unwrap())
        .collect()
}

/// The calls of a log in the order in which they ended; a call that was interrupted by others has an
/// entry where it began as well.
#[track_caller]
pub fn calls(log: &Path) -> Vec<Call> {
    let bytes = fs::read(log).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let mut begun: std::collections::HashMap<&str, String> = std::collections::HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((thread, what)) = line.split_once(' ') else {
            continue;
        };
        let what = what.trim_start();
        if let Some(start) = what.strip_suffix(" <unfinished ...>") {
            calls.extend(call(&format!("{start}) = ?"), true));
            begun.insert(thread, start.to_owned());
        } else if let Some((_, end)) = what.split_once(" resumed>") {
            let start = begun.remove(thread).unwrap_or_default();
            let whole = call(&format!("{start}{end}"), false);
            calls.extend(whole.map(|call| Call {
                resumed: true,
                ..call
            }));
        } else {
            calls.extend(call(what, false));
        }
    }
    calls
}

fn call(text: &str, begun: bool) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, outcome) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end();
    let returned = outcome.split_whitespace().next()?.parse().ok();
    Some(Call {
        name: name.to_owned(),
        arguments: arguments.strip_suffix(')').unwrap_or(arguments).to_owned(),
        returned: if begun { None } else { returned },
        begun,
        resumed: false,
        injected: outcome.contains("(INJECTED)"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_calls_also_when_threads_interrupt_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let lines = "\
7 openat(AT_FDCWD, \"\\x2f\\x61\", O_RDONLY|O_CLOEXEC) = 3
7 fsync(3 <unfinished ...>
12  writev(5, [{iov_base=\"\\x48\\x54\", iov_len=2}, {iov_base=\"\\x7b\", iov_len=1}], 2) = 3
7 <... fsync resumed>)                    = -1 EIO (Input/output error) (INJECTED)
12  mkdir(\"\\x2f\\x62\", 0777) = ?
12  +++ killed by SIGKILL +++
";
        fs::write(&log, lines).unwrap();
        let calls = calls(&log);
        let seen: Vec<_> = calls
            .iter()
            .map(|call| (call.name.as_str(), call.returned, call.begun, call.injected))
            .collect();
        let expected = [
            ("openat", Some(3), false, false),
            ("fsync", None, true, false),
            ("writev", Some(3), false, false),
            ("fsync", Some(-1), false, true),
            ("mkdir", None, false, false),
        ];
        assert_eq!(seen, expected);
        assert_eq!(calls[0].path(0), Some(PathBuf::from("/a")));
        assert_eq!(calls[2].texts(), [b"HT".to_vec(), b"{".to_vec()]);
        assert_eq!(calls[3].descriptor(), Some(3));
    }
}
