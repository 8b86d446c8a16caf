//! A certificate from an authority, as a user of the program sees it, against a real one.

mod pebble;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use postlake_testkit::{Place, Server, http, until};
use rustix::process::Signal;
use serde_json::Value;

use crate::PROGRAM;
use pebble::{Pebble, USUAL, Wants};

/// A place with an authority of its own.
struct Site {
    place: Place,
    pebble: Pebble,
}

impl Site {
    fn new(wants: Wants) -> Option<Site> {
        let site = Site {
            pebble: Pebble::start(wants)?,
            place: Place::local(PROGRAM),
        };
        site.configure(&["localhost"]);
        Some(site)
    }

    fn configure(&self, domains: &[&str]) {
        let file = self.place.home().join("acme.toml");
        fs::write(file, self.pebble.config(domains)).unwrap();
    }

    #[track_caller]
    fn serve(&self) -> Server {
        let serve = ["serve", "--role", "receive", "--config", "acme.toml"];
        Server::start(&mut self.place.command_here(&serve))
    }

    /// A server that has its certificate.
    #[track_caller]
    fn serve_with_certificate(&self) -> Server {
        let server = self.serve();
        until("there is a certificate", || {
            connections(&server)["certificate_ends_secs"].as_i64()
        });
        server
    }

    /// A client that trusts this authority alone and comes to this server.
    fn client(&self) -> Client {
        let root = reqwest::Certificate::from_pem(self.pebble.root().as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only([root])
            .tls_info(true)
            .pool_max_idle_per_host(1)
            .build()
            .unwrap();
        Client {
            client,
            url: format!("https://localhost:{}/webhooks/events", self.pebble.listener),
            runtime: tokio::runtime::Runtime::new().unwrap(),
        }
    }

    fn cached(&self, name: &str) -> PathBuf {
        let folders = fs::read_dir(self.place.directory().join("acme")).unwrap();
        let folders: Vec<_> = folders.map(|folder| folder.unwrap().path()).collect();
        let [folder] = folders.as_slice() else {
            panic!("one folder for one authority: {folders:?}");
        };
        folder.join(name)
    }

    /// What the doctor finds under a name; he must not end with an error of his own.
    #[track_caller]
    fn doctor(&self, check: &str) -> Vec<(String, String)> {
        let report = self
            .place
            .run(&["doctor", "--json", "--config", "acme.toml"]);
        let report: Value = serde_json::from_str(&report.text()).unwrap();
        let findings = report["findings"].as_array().unwrap().iter();
        let findings = findings.filter(|finding| finding["check"] == check);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        findings
            .map(|finding| (text(&finding["level"]), text(&finding["found"])))
            .collect()
    }
}

struct Client {
    client: reqwest::Client,
    url: String,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// Posts an empty batch; the certificate that the connection has been opened with.
    fn post(&self) -> reqwest::Result<Vec<u8>> {
        let posted = self.client.post(&self.url).body("[]").send();
        let answer = self.runtime.block_on(posted)?;
        assert_eq!(answer.status(), 200);
        let tls = answer.extensions().get::<reqwest::tls::TlsInfo>();
        let certificate = tls.and_then(|tls| tls.peer_certificate());
        let certificate = certificate.unwrap().to_vec();
        // The answer is read to its end, so that the connection can be used again.
        self.runtime.block_on(answer.bytes())?;
        Ok(certificate)
    }
}

/// What the status says about the ingest listener.
fn connections(server: &Server) -> Value {
    let status = http::get(server.admin(), "/api/v1/status").unwrap();
    status.json()["ingest"]["connections"].clone()
}

fn failures(server: &Server) -> u64 {
    connections(server)["acme"]["failures"].as_u64().unwrap()
}

/// The condition `certificate` of readyz: the code of the answer and the words.
fn ready(server: &Server) -> (u16, String) {
    let answer = http::get(server.admin(), "/readyz").unwrap();
    let checks = answer.json()["checks"].clone();
    let mut checks = checks.as_array().unwrap().iter();
    let check = checks.find(|check| check["name"] == "certificate");
    let detail = check.unwrap()["detail"].as_str().unwrap();
    (answer.status, detail.to_owned())
}

#[track_caller]
fn end(server: Server) -> String {
    server.signal(Signal::TERM);
    server.wait().success().stderr
}

#[test]
fn a_new_server_gets_a_certificate_and_a_restart_asks_for_none() {
    let Some(mut site) = Site::new(USUAL) else {
        return;
    };
    let server = site.serve_with_certificate();
    let said = server.stderr();
    assert!(said.contains("no certificate yet"), "{said}");
    until("it says so", || {
        let said = server.stderr();
        said.contains("the certificate is there").then_some(())
    });
    assert!(said.contains("https://localhost/webhooks/events"), "{said}");
    let first = site.client().post().unwrap();
    assert_eq!(ready(&server), (200, "ok".to_owned()));
    let about = connections(&server);
    assert_eq!(about["acme"]["orders"], 1);
    // It looks more than once.
    assert!(about["acme"]["challenges_answered"].as_u64() >= Some(1));
    for name in ["", "account.json", "certificate.pem"] {
        let path = site.cached(name);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
    for left in ["attempts.json", "order.json"] {
        assert!(!site.cached(left).exists(), "{left}");
    }
    for check in [
        "authority",
        "certificate",
        "certificate names",
        "certificate key",
    ] {
        let findings = site.doctor(check);
        let [(level, found)] = findings.as_slice() else {
            panic!("{check}: {findings:?}");
        };
        assert_eq!(level, "ok", "{check}: {found}");
    }
    server.stop();

    let root_client = site.client();
    let asked = site.pebble.requests();
    let server = site.serve();
    let said = server.stderr();
    assert!(said.contains("certificate for localhost"), "{said}");
    assert_eq!(root_client.post().unwrap(), first);
    assert_eq!(site.pebble.requests(), asked);
    server.stop();

    site.pebble.stop();
    let server = site.serve();
    assert_eq!(root_client.post().unwrap(), first);
    server.stop();
    let findings = site.doctor("authority");
    assert_eq!(findings[0].0, "fail", "{findings:?}");
}

/// A certificate of half a minute is renewed after twenty seconds. A client that stands keeps its
/// connection, with the old certificate; a new one gets the new one; no request fails.
#[test]
fn a_renewal_drops_no_connection() {
    let wants = Wants {
        validity_secs: 30,
        ..USUAL
    };
    let Some(site) = Site::new(wants) else {
        return;
    };
    let server = site.serve_with_certificate();
    let standing = site.client();
    let first = standing.post().unwrap();
    let renewed = until("the certificate is renewed", || {
        assert_eq!(standing.post().unwrap(), first);
        let orders = connections(&server)["acme"]["orders"].as_u64();
        (orders >= Some(2)).then(|| site.client().post().unwrap())
    });
    assert_ne!(renewed, first);
    assert_eq!(standing.post().unwrap(), first);
    server.stop();
}

/// An authority that is away leaves the old certificate where it is. When it is back it has forgotten
/// the account, which is made anew.
#[test]
fn an_authority_that_is_down_leaves_the_old_certificate_in_place() {
    let Some(mut site) = Site::new(USUAL) else {
        return;
    };
    site.serve_with_certificate().stop();
    let client = site.client();
    site.pebble.stop();
    // Another certificate is wanted, at once.
    site.configure(&["localhost", "localhost.localdomain"]);
    let server = site.serve();
    until("it was tried", || (failures(&server) > 0).then_some(()));
    let first = client.post().unwrap();
    let (code, detail) = ready(&server);
    assert_eq!(code, 200, "{detail}");
    assert!(detail.contains("was not renewed"), "{detail}");
    assert!(detail.contains("onnection refused"), "{detail}");
    let names = site.doctor("certificate names");
    assert_eq!(names[0].0, "warn", "{names:?}");
    let said = end(server);
    assert!(said.contains("the old one stays"), "{said}");

    // What is wanted is something else again, so that no earlier failure counts.
    site.pebble.start_again();
    site.configure(&["localhost"]);
    fs::remove_file(site.cached("certificate.pem")).unwrap();
    let server = site.serve_with_certificate();
    let second = site.client().post().unwrap();
    assert_ne!(first, second);
    assert!(site.cached("account.damaged").exists());
    let said = server.stop().stderr;
    assert!(said.contains("a new one is made"), "{said}");
}

#[test]
fn a_failure_is_remembered_over_restarts_and_a_signal_asks_at_once() {
    let Some(mut site) = Site::new(USUAL) else {
        return;
    };
    site.pebble.stop();
    let server = site.serve();
    until("it was tried", || (failures(&server) > 0).then_some(()));
    let (code, detail) = ready(&server);
    assert_eq!(code, 503);
    assert!(detail.contains("nobody can connect"), "{detail}");
    end(server);
    site.pebble.start_again();
    let server = site.serve();
    let said = server.stderr();
    assert!(
        said.contains("have failed; the next one is later"),
        "{said}"
    );
    assert!(said.contains("is asked again in "), "{said}");
    let (_, detail) = ready(&server);
    assert!(detail.contains("onnection refused"), "{detail}");
    assert_eq!(site.pebble.made("orders"), 0);
    server.signal(Signal::HUP);
    until("there is a certificate", || site.client().post().ok());
    server.stop();
}

/// Killed while the authority looks: the next process takes up the same order with the same account. Now and then the authority looks so soon that there is nothing left to kill.
#[test]
fn a_kill_in_the_middle_of_an_order_costs_nothing_but_time() {
    let wants = Wants {
        sleep_secs: 5,
        ..USUAL
    };
    for _ in 0..10 {
        let Some(site) = Site::new(wants) else {
            return;
        };
        let server = site.serve();
        until("there is an order", || {
            (site.pebble.made("orders") == 1).then_some(())
        });
        server.kill();
        if site.cached("certificate.pem").exists() {
            continue;
        }
        let server = site.serve();
        server.signal(Signal::HUP);
        until("there is a certificate", || site.client().post().ok());
        assert_eq!(site.pebble.made("accounts"), 1);
        // A look that has found nobody spoils an order, and only then there is another one.
        let spoilt = site.pebble.said().contains("set INVALID");
        assert_eq!(site.pebble.made("orders"), if spoilt { 2 } else { 1 });
        server.stop();
        return;
    }
    panic!("ten orders were done before the kill");
}

#[test]
fn damaged_files_are_named_put_aside_and_replaced() {
    let Some(site) = Site::new(USUAL) else {
        return;
    };
    site.serve_with_certificate().stop();
    for (name, aside) in [
        ("certificate.pem", "certificate.damaged"),
        ("account.json", "account.damaged"),
    ] {
        let mut content = fs::read(site.cached(name)).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(site.cached(name), &content).unwrap();
        if name == "account.json" {
            fs::remove_file(site.cached("certificate.pem")).unwrap();
        } else {
            let found = site.doctor("certificate");
            assert!(found[0].1.contains("SHA-256 differs"), "{found:?}");
        }
        let server = site.serve_with_certificate();
        site.client().post().unwrap();
        assert_eq!(fs::read(site.cached(aside)).unwrap(), content);
        let said = end(server);
        assert!(said.contains(name) && said.contains("is damaged"), "{said}");
    }
    assert_eq!(site.pebble.made("accounts"), 2);
}

/// The authority comes to a port where nobody listens.
#[test]
fn what_the_authority_says_is_told() {
    let wants = Wants {
        looks_elsewhere: true,
        ..USUAL
    };
    let Some(site) = Site::new(wants) else {
        return;
    };
    let server = site.serve();
    until("it was tried", || (failures(&server) > 0).then_some(()));
    let (code, detail) = ready(&server);
    assert_eq!(code, 503);
    assert!(
        detail.contains("prove that port 443 of localhost leads to this listener"),
        "{detail}"
    );
    assert!(detail.contains("Failed to connect"), "{detail}");
    let metrics = http::get(server.admin(), "/metrics").unwrap().text();
    assert!(
        metrics.contains("postlake_ingest_acme_failures_total 1"),
        "{metrics}"
    );
    // Nothing is dropped for it: it ends at once, in order.
    let asked = std::time::Instant::now();
    end(server);
    assert!(asked.elapsed() < Duration::from_secs(30));
}

#[test]
fn an_authority_for_its_customers_gets_their_key() {
    let wants = Wants {
        external: Some((
            "kid-1",
            "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
        )),
        ..USUAL
    };
    let Some(site) = Site::new(wants) else {
        return;
    };
    let secret = site.place.home().join("hmac.secret");
    fs::write(&secret, format!("{}\n", wants.external.unwrap().1)).unwrap();
    let server = site.serve_with_certificate();
    site.client().post().unwrap();
    server.stop();
}

/// Without any authority: what `check` says, and its exit code.
#[test]
fn contradictions_are_refused_in_words() {
    let place = Place::local(PROGRAM);
    let whole = "domains = [\"hooks.example.com\"]\nagree_to_terms = true\n";
    let acme = |keys: &str| format!("[ingest.tls.acme]\n{keys}");
    let files = "[ingest.tls]\ncert_file = \"c.pem\"\nkey_file = \"k.pem\"\n";
    let cases = [
        (acme(whole), 0, "is for this machine alone"),
        (
            format!("{files}{}", acme(whole)),
            78,
            "from an authority or from files",
        ),
        (acme("agree_to_terms = true\n"), 78, "names no domain"),
        (
            acme("domains = [\"a.example\"]\n"),
            78,
            "agree_to_terms: is not true",
        ),
        (
            acme("domains = [\"*.a.example\"]\nagree_to_terms = true\n"),
            78,
            "a wildcard needs a record in the DNS",
        ),
        (
            acme(&format!("{whole}directory = \"http://a.example\"\n")),
            78,
            "is no directory",
        ),
        (
            acme(&format!("{whole}contact = \"me\"\n")),
            78,
            "is no mail address",
        ),
        (
            acme(&format!("{whole}domain = \"a.example\"\n")),
            78,
            "domain",
        ),
        (
            format!("[store]\nurl = \"s3://bucket/x\"\n{}", acme(whole)),
            78,
            "acme.cache: is missing",
        ),
        (
            acme(whole).replace("ingest", "read"),
            78,
            "the ingest listener only",
        ),
    ];
    for (config, code, expected) in cases {
        fs::write(place.home().join("acme.toml"), &config).unwrap();
        let check = ["check", "--config", "acme.toml"];
        let checked = postlake_testkit::Running::start(&mut place.command(&check)).wait();
        assert_eq!(checked.code, Some(code), "{config}: {}", checked.stderr);
        assert!(
            checked.stderr.contains(expected),
            "{config}: {}",
            checked.stderr
        );
    }
}
