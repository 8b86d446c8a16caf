//! The disk under a running server: full, and away. On a small disk of its own, a tmpfs, which only
//! root may mount; a test that cannot says so and passes over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use postlake_sparkpost::Request;
use postlake_testkit::http::{self, Answer};
use postlake_testkit::strace::Strace;
use postlake_testkit::{Place, Running, Server, until};

use crate::PROGRAM;

const MIB: usize = 1 << 20;

/// A disk of its own; unmounted in the end.
struct SmallDisk {
    _above: tempfile::TempDir,
    path: PathBuf,
}

impl SmallDisk {
    fn mount(mib: usize) -> Option<SmallDisk> {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("disk");
        fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(&path)
            .output();
        if !mounted.is_ok_and(|mounted| mounted.status.success()) {
            eprintln!("skipped: a tmpfs cannot be mounted here");
            return None;
        }
        Some(SmallDisk {
            _above: above,
            path,
        })
    }

    /// A file that takes all the space there is, but for `spared`.
    fn fill(&self, name: &str, spared: usize) -> PathBuf {
        let file = self.path.join(name);
        let free = rustix::fs::statvfs(&self.path).unwrap();
        let free = usize::try_from(free.f_bavail * free.f_frsize).unwrap();
        fs::write(&file, vec![7; free.saturating_sub(spared)]).unwrap();
        file
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What still holds it open keeps it until it ends.
        let unmounted = Command::new("umount").arg("-l").arg(&self.path).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

/// A receiver alone, so that nothing else writes to the disk.
fn receiver(place: &Place, data: &Path) -> Server {
    let mut command = place.command(&["serve", "--role", "receive"]);
    command
        .args(["--ingest-listen", "127.0.0.1:0", "--data"])
        .arg(data);
    Server::start(&mut command)
}

fn post_event(server: &Server) -> Answer {
    let json = [("content-type", "application/json")];
    http::exchange(server.ingest(), "POST", "/webhooks/events", &json, b"[]").unwrap()
}

/// Bytes that do not compress.
fn alert() -> Request {
    let noise: Vec<u8> = (0..40_000).map(|_| rand::random()).collect();
    Request::alerts_body(noise.into())
}

fn ready(server: &Server) -> u16 {
    http::get(server.ingest(), "/readyz").unwrap().status
}

fn wait_for_events(server: &Server, status: u16) {
    until(&format!("events are answered {status}"), || {
        (post_event(server).status == status).then_some(())
    });
}

#[test]
fn a_full_disk_takes_alerts_and_no_events_and_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount(64) else {
        return;
    };
    let place = Place::local(PROGRAM);
    let server = receiver(&place, &disk.path.join("data"));
    assert_eq!(post_event(&server).status, 200);
    // The reserve is a sixty-fourth of the disk, and really takes that from it.
    let reserve = disk.path.join("data/postlake.reserve");
    until("the reserve is filled", || {
        (fs::metadata(&reserve).ok()?.len() == MIB as u64).then_some(())
    });

    // Less than a twentieth is free: events wait outside, alerts go in, nobody is told to go away.
    let taken = disk.fill("somebody-elses", 2 * MIB);
    wait_for_events(&server, 503);
    let refused = post_event(&server);
    assert_eq!(refused.header("retry-after"), Some("10"));
    assert_eq!(refused.json()["code"], "events_held");
    server.accepts(&alert());
    assert_eq!(ready(&server), 200);

    // Nothing is free: alerts are landed all the same.
    let rest = disk.fill("the-rest", 0);
    assert_eq!(fs::metadata(&reserve).unwrap().len(), MIB as u64);
    for _ in 0..5 {
        server.accepts(&alert());
    }
    assert!(fs::metadata(&reserve).unwrap().len() < MIB as u64);
    assert_eq!(post_event(&server).status, 503);

    // A server that is started on the full disk takes them too.
    server.kill();
    let server = receiver(&place, &disk.path.join("data"));
    server.accepts(&alert());

    fs::remove_file(&taken).unwrap();
    fs::remove_file(&rest).unwrap();
    wait_for_events(&server, 200);
    until("the reserve is filled again", || {
        (fs::metadata(&reserve).ok()?.len() == MIB as u64).then_some(())
    });
    assert_eq!(ready(&server), 200);
    server.kill();
}

#[test]
fn a_disk_that_turns_read_only_is_503_and_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount(64) else {
        return;
    };
    let place = Place::local(PROGRAM);
    let data = disk.path.join("data");
    // The lock's file is open for writing, and no disk turns read-only under that but by a fault; a
    // read-only mount over the folder of segments is one.
    let server = receiver(&place, &data);
    assert_eq!(post_event(&server).status, 200);
    let raw = data.join("raw");
    let bind = |options: &str| {
        let done = Command::new("mount")
            .args(["-o", options])
            .arg(&raw)
            .arg(&raw)
            .status();
        assert!(done.unwrap().success());
    };
    bind("bind");
    bind("remount,bind,ro");
    let refused = post_event(&server);
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (503, Some("store_failed"))
    );
    let unmounted = Command::new("umount").arg(&raw).status();
    assert!(unmounted.unwrap().success());
    wait_for_events(&server, 200);
    server.kill();
}

#[test]
fn a_data_directory_that_vanishes_is_503_and_is_not_made_anew() {
    let place = Place::local(PROGRAM);
    let data = place.directory();
    let elsewhere = place.home().join("elsewhere");
    let server = place.serve(&[]);
    assert_eq!(post_event(&server).status, 200);
    server.wait_loaded(1);

    fs::rename(&data, &elsewhere).unwrap();
    let refused = post_event(&server);
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (503, Some("store_failed"))
    );
    until("the server says that it is not ready", || {
        (ready(&server) == 503).then_some(())
    });
    // The loader has had a look too.
    until("the loader has found nothing to load", || {
        server.stderr().contains("loading failed").then_some(())
    });
    assert!(!data.exists());

    fs::rename(&elsewhere, &data).unwrap();
    until("the server is ready", || {
        (ready(&server) == 200).then_some(())
    });
    wait_for_events(&server, 200);
    server.wait_loaded(2);
    server.kill();
}

/// Whether every thread of the process has a tracer; those that have just ended do not count.
fn is_traced(id: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{id}/task")).unwrap();
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    })
}

/// A tracer that does `what` to every fsync of a running server; none where it may not.
fn every_fsync(server: &Server, log: &Path, what: &str) -> Option<Running> {
    let mut command = Command::new("strace");
    command
        .args(["-q", "-f", "-e", "trace=fsync", "-e", "signal=none", "-o"])
        .arg(log)
        .args(["-e", &format!("inject=fsync:{what}"), "-p"])
        .arg(server.id().to_string());
    let mut tracer = Running::start(&mut command);
    until("every thread of the server is traced", || {
        (is_traced(server.id()) || tracer.ends_within(Duration::ZERO)).then_some(())
    });
    if tracer.ends_within(Duration::ZERO) {
        eprintln!(
            "skipped: a running server cannot be traced: {}",
            tracer.stderr()
        );
        return None;
    }
    Some(tracer)
}

#[test]
fn syncs_that_fail_or_take_long_are_503_in_time_and_everything_goes_on_by_itself() {
    if Strace::find().is_none() {
        return;
    }
    let place = Place::local(PROGRAM);
    let server = receiver(&place, &place.directory());
    assert_eq!(post_event(&server).status, 200);
    let log = place.home().join("trace");
    for (what, code) in [
        ("error=EIO", "store_failed"),
        ("delay_exit=9000000", "not_durable_in_time"),
    ] {
        let Some(tracer) = every_fsync(&server, &log, what) else {
            return;
        };
        let start = Instant::now();
        let refused = post_event(&server);
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        let said = (refused.status, refused.json()["code"].clone());
        assert_eq!(said, (503, code.into()), "{what}");
        tracer.terminate();
        wait_for_events(&server, 200);
    }
    server.kill();
}

#[test]
fn places_that_cannot_hold_data_are_said() {
    let place = Place::local(PROGRAM);
    let file = place.home().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("below");
    for (data, wanted) in [
        (file.as_path(), "as data directory"),
        (below.as_path(), "as data directory"),
    ] {
        let mut command = place.command(&["serve", "--ingest-listen", "127.0.0.1:0", "--data"]);
        let outcome = Running::start(command.arg(data)).wait();
        assert!(outcome.stderr.contains(wanted), "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains(data.to_str().unwrap()),
            "{}",
            outcome.stderr
        );
        assert_eq!(outcome.code, Some(73));
    }
    let none = place.home().join("none");
    let mut command = place.command(&["load", "--data"]);
    let outcome = Running::start(command.arg(&none)).wait();
    assert!(
        outcome.stderr.contains("there is no data directory"),
        "{}",
        outcome.stderr
    );
    assert!(!none.exists());
}
