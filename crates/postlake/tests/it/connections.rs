//! The life of the listeners of the real program: sockets that are passed on, signals, certificates,
//! too few file descriptors.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use postlake_testkit::{Place, Running, Server, http, until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::Signal;

use crate::PROGRAM;

const RECEIVE: [&str; 4] = ["serve", "--role", "receive", "--ingest-listen=127.0.0.1:0"];

/// Clients that post on new connections all the time and count what was answered; one failure is one
/// too many.
struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(address: SocketAddr) -> Load {
        let (over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let client = |client: usize| {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
            thread::spawn(move || {
                for number in 0_u64.. {
                    if over.load(Relaxed) {
                        return;
                    }
                    let id = format!("{client}-{number}");
                    let headers = [("x-messagesystems-batch-id", id.as_str())];
                    let answer =
                        http::exchange(address, "POST", "/webhooks/events", &headers, b"[]");
                    let status = answer.map(|answer| answer.status);
                    assert_eq!(status.unwrap(), 200, "{id}");
                    answered.fetch_add(1, Relaxed);
                }
            })
        };
        let threads = (0..3).map(client).collect();
        Load {
            over,
            answered,
            threads,
        }
    }

    /// Waits until there were that many answers from now on.
    #[track_caller]
    fn goes_on(&self, answers: u64) {
        let before = self.answered.load(Relaxed);
        until("requests are answered", || {
            (self.answered.load(Relaxed) >= before + answers).then_some(())
        });
    }

    /// Ends the load; the number of answers, all of them 200.
    #[track_caller]
    fn stop(self) -> u64 {
        self.over.store(true, Relaxed);
        for thread in self.threads {
            thread.join().expect("no request failed");
        }
        self.answered.load(Relaxed)
    }
}

/// A listening socket that children get, as systemd passes one.
struct Passed {
    socket: OwnedFd,
    address: SocketAddr,
}

impl Passed {
    fn new() -> Passed {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = fcntl_dupfd_cloexec(&listener, 50).unwrap();
        fcntl_setfd(&socket, FdFlags::empty()).unwrap();
        Passed { socket, address }
    }

    fn command(&self, place: &Place) -> Command {
        let mut command = place.command_here(&RECEIVE);
        command
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", "ingest")
            .env("LISTEN_FDS_FIRST_FD", self.socket.as_raw_fd().to_string());
        command
    }
}

/// The program is replaced twice under load, on its own sockets: every request is answered 200, and
/// every acknowledged batch is in the lake.
#[test]
fn a_process_hands_over_its_sockets_and_no_request_fails() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive,load"]);
    let (address, admin) = (server.ingest(), server.admin());
    let load = Load::start(address);
    for starts in 2..=3 {
        load.goes_on(20);
        server.signal(Signal::USR2);
        until("the next process is ready", || {
            let said = server.stderr();
            (said.matches("postlake is ready").count() == starts).then_some(())
        });
        load.goes_on(20);
    }
    let answered = load.stop();
    assert_eq!(http::get(admin, "/livez").unwrap().status, 200);
    let said = server.stderr();
    let line = format!("webhooks   http://{address}/");
    assert_eq!(said.matches(&line).count(), 3, "{said}");
    place.drain(server);
    let batches = place.number("SELECT count(DISTINCT batch_id) FROM batches");
    assert_eq!(u64::try_from(batches).unwrap(), answered);
}

/// Two processes on one socket that somebody else holds: the second waits for the first one's drain,
/// and connections wait in the queue.
#[test]
fn a_socket_of_somebody_else_outlives_the_process_and_no_request_fails() {
    let place = Place::local(PROGRAM);
    let socket = Passed::new();
    let mut server = Server::start(&mut socket.command(&place));
    assert_eq!(server.ingest(), socket.address);
    let load = Load::start(socket.address);
    for _ in 0..2 {
        load.goes_on(20);
        let next = Running::start(&mut socket.command(&place));
        server.stop();
        server = Server::ready(next);
        load.goes_on(20);
    }
    let answered = load.stop();
    place.drain(server);
    let batches = place.number("SELECT count(DISTINCT batch_id) FROM batches");
    assert_eq!(u64::try_from(batches).unwrap(), answered);
}

#[test]
fn a_signal_while_it_starts_ends_it_in_order() {
    let place = Place::local(PROGRAM);
    let socket = Passed::new();
    let first = Server::start(&mut socket.command(&place));
    let waiting = Running::start(socket.command(&place).arg("-v"));
    until("it listens for signals", || {
        let status = fs::read_to_string(format!("/proc/{}/status", waiting.id())).ok()?;
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        // SIGUSR2 is asked for last.
        (caught & (1 << 11) != 0).then_some(())
    });
    let ended = waiting.terminate().success();
    assert!(
        ended.stderr.contains("stopped before it was ready"),
        "{}",
        ended.stderr
    );
    first.accepts_body("/webhooks/events", b"[]");
    first.stop();
}

#[test]
fn a_socket_with_a_strange_name_is_refused() {
    let place = Place::local(PROGRAM);
    let socket = Passed::new();
    let mut command = socket.command(&place);
    command
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", "ingest:web");
    let ended = Running::start(&mut command).wait();
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("`web`"), "{}", ended.stderr);
}

/// A configuration that has become wrong keeps the old one in force, on SIGHUP and on SIGUSR2.
#[test]
fn a_bad_configuration_on_reload_keeps_the_old_one() {
    let place = Place::local(PROGRAM);
    let file = place.home().join("other.toml");
    fs::write(&file, "[load]\ninterval = \"1s\"\n").unwrap();
    let server = place.serve(&["--role", "receive", "--config", "other.toml"]);
    let said = |what: &str| {
        until("it has looked at the configuration", || {
            server.stderr().contains(what).then_some(())
        });
        server.accepts_body("/webhooks/events", b"[]");
    };
    fs::write(&file, "[load]\ninterval = \"2s\"\n").unwrap();
    server.signal(Signal::HUP);
    said("the configuration has changed and is right");
    fs::write(&file, "[load]\ninterval = \"never\"\n").unwrap();
    server.signal(Signal::HUP);
    said("the old one stays in force");
    server.signal(Signal::USR2);
    said("nothing is handed over, this process goes on");
    let check = Running::start(&mut place.command(&["check", "--config", "other.toml"])).wait();
    assert_eq!(check.code, Some(78));
    server.signal(Signal::TERM);
    server.wait().success();
}

/// Clients that say nothing use up the file descriptors: the server neither ends nor spins, and goes
/// on when they have gone.
#[test]
fn without_file_descriptors_it_waits_and_goes_on() {
    let place = Place::local(PROGRAM);
    let given = place.command_here(&RECEIVE);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
        .arg(given.get_program())
        .args(given.get_args())
        .current_dir(place.home())
        .env("POSTLAKE_ADMIN__LISTEN", "127.0.0.1:0");
    let server = Server::start(&mut command);
    let silent: Vec<_> = (0..200)
        .filter_map(|_| TcpStream::connect(server.ingest()).ok())
        .collect();
    assert!(silent.len() > 100, "{}", silent.len());
    // Those that say nothing make room for one that talks.
    server.accepts_body("/webhooks/events", b"[]");
    let before = cpu_ticks(server.id());
    thread::sleep(std::time::Duration::from_secs(2));
    let used = cpu_ticks(server.id()) - before;
    assert!(used < 100, "{used} of 200 ticks");
    drop(silent);
    server.accepts_body("/webhooks/events", b"[]");
    server.stop();
}

/// Time on the processor so far, in hundredths of a second.
fn cpu_ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let (_, after) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = after.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<u64>().unwrap();
    ticks(11) + ticks(12)
}

/// An authority and a certificate of it for localhost, in files.
fn install(authority: &CertifiedIssuer<'_, KeyPair>, directory: &Path) {
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    fs::write(directory.join("certificate.pem"), certificate.pem()).unwrap();
    fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
}

/// Both listeners speak TLS; a new certificate is taken on SIGHUP while clients come and go.
#[test]
fn certificates_of_both_listeners_are_replaced_while_it_runs() {
    let place = Place::local(PROGRAM);
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    install(&authority, place.home());
    fs::write(
        place.home().join("tls.toml"),
        "[ingest.tls]\ncert_file = \"certificate.pem\"\nkey_file = \"key.pem\"\n\n\
         [read.tls]\ncert_file = \"certificate.pem\"\nkey_file = \"key.pem\"\n",
    )
    .unwrap();
    let server = place.serve(&["--config", "tls.toml", "-v"]);
    assert!(
        server.stderr().contains("webhooks   https://"),
        "{}",
        server.stderr()
    );
    let (ingest, read) = (server.ingest().port(), server.read().port());
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ask = || {
        // A client of its own each time, so that each shakes hands anew.
        let client = reqwest::Client::builder()
            .tls_certs_only([root.clone()])
            .build()
            .unwrap();
        let posted = client
            .post(format!("https://localhost:{ingest}/webhooks/events"))
            .body("[]");
        let asked = client.get(format!("https://localhost:{read}/api/v1/summary"));
        runtime.block_on(async {
            assert_eq!(posted.send().await.unwrap().status(), 200);
            assert_eq!(asked.send().await.unwrap().status(), 200);
        });
    };
    ask();
    install(&authority, place.home());
    server.signal(Signal::HUP);
    until("a new certificate is in use", || {
        ask();
        server
            .stderr()
            .contains("a new certificate is in use")
            .then_some(())
    });
    ask();
    server.stop();
}
