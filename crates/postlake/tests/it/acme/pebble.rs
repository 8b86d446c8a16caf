//! A real authority on this machine: Pebble, the test server of Let's Encrypt. Each test has its own, so
//! that it can end it, and have its own port looked at.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use postlake_testkit::{Running, peers, until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tempfile::TempDir;

/// What differs from test to test.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants {
    /// How long its certificates are valid.
    pub(super) validity_secs: u64,
    /// Seconds until it looks at a challenge.
    pub(super) sleep_secs: u64,
    /// It serves only those who have this key: its name, and itself in base64.
    pub(super) external: Option<(&'static str, &'static str)>,
    /// It looks at another port than the listener's.
    pub(super) looks_elsewhere: bool,
}

/// Ninety days, no sleep, for everybody.
pub(super) const USUAL: Wants = Wants {
    validity_secs: 90 * 86_400,
    sleep_secs: 0,
    external: None,
    looks_elsewhere: false,
};

/// A running authority with its own TLS, and the port at which it looks.
#[derive(Debug)]
pub(super) struct Pebble {
    program: String,
    home: TempDir,
    wants: Wants,
    running: Option<Running>,
    directory: u16,
    management: u16,
    /// Where the listener has to be.
    pub(super) listener: u16,
    /// Certificates of the authority's own servers are of this one.
    own: String,
}

impl Pebble {
    /// One that answers, if the program is there.
    #[track_caller]
    pub(super) fn start(wants: Wants) -> Option<Pebble> {
        let program = peers::variable("POSTLAKE_TEST_PEBBLE")?;
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &own).unwrap();
        let home = TempDir::with_prefix("postlake-pebble-").unwrap();
        fs::write(home.path().join("cert.pem"), certificate.pem()).unwrap();
        fs::write(home.path().join("key.pem"), key.serialize_pem()).unwrap();
        fs::write(home.path().join("own.pem"), own.pem()).unwrap();
        let mut pebble = Pebble {
            program,
            home,
            wants,
            running: None,
            directory: free_port(),
            management: free_port(),
            listener: free_port(),
            own: own.pem(),
        };
        pebble.start_again();
        Some(pebble)
    }

    /// On the same ports; it remembers nothing of what it did before.
    #[track_caller]
    pub(super) fn start_again(&mut self) {
        let looks_at = match self.wants.looks_elsewhere {
            true => free_port(),
            false => self.listener,
        };
        let mut config = json!({
            "listenAddress": format!("127.0.0.1:{}", self.directory),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": "cert.pem",
            "privateKey": "key.pem",
            "httpPort": looks_at,
            "tlsPort": looks_at,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": self.wants.external.is_some(),
            "certificateValidityPeriod": self.wants.validity_secs,
        });
        if let Some((name, key)) = self.wants.external {
            config["externalAccountMACKeys"] = json!({ name: key });
        }
        let file = self.home.path().join("pebble.json");
        fs::write(&file, json!({ "pebble": config }).to_string()).unwrap();
        let mut command = Command::new(&self.program);
        command
            .arg("-config")
            .arg(&file)
            .current_dir(self.home.path());
        match self.wants.sleep_secs {
            0 => command.env("PEBBLE_VA_NOSLEEP", "1"),
            secs => command.env("PEBBLE_VA_SLEEPTIME", secs.to_string()),
        };
        // What was proven once is proven again, so that a look at the listener is part of each order.
        // Nonces are refused at random, as this program does.
        command.env("PEBBLE_AUTHZREUSE", "0");
        self.running = Some(Running::start(&mut command));
        until("the authority answers", || self.get("/dir", self.directory));
    }

    /// Ends it; nobody listens on its ports then.
    #[track_caller]
    pub(super) fn stop(&mut self) {
        self.running.take().unwrap().kill();
    }

    /// The configuration of a server that gets its certificate here, in the place's home.
    pub(super) fn config(&self, domains: &[&str]) -> String {
        let external = self.wants.external.map_or(String::new(), |(name, _)| {
            format!(
                "external_account = {{ key_id = \"{name}\", hmac_key_file = \"hmac.secret\" }}\n"
            )
        });
        format!(
            "[ingest]\nlisten = \"127.0.0.1:{}\"\n\n[ingest.tls.acme]\ndomains = {domains:?}\n\
             contact = \"ops@example.com\"\nagree_to_terms = true\ndirectory = \"https://localhost:{}/dir\"\n\
             directory_ca_file = {:?}\n{external}",
            self.listener,
            self.directory,
            self.home.path().join("own.pem"),
        )
    }

    /// The root of its certificates.
    #[track_caller]
    pub(super) fn root(&self) -> String {
        self.get("/roots/0", self.management).unwrap()
    }

    /// How many it has had of them since it was started: `accounts`, `orders`. Requests are more, since
    /// some come again with another nonce.
    pub(super) fn made(&self, what: &str) -> usize {
        let said = self.said();
        let counts = said.lines().filter_map(|line| {
            let (_, count) = line.split_once("There are now ")?;
            let (count, of) = count.split_once(' ')?;
            of.starts_with(what).then(|| count.parse().ok())?
        });
        counts.max().unwrap_or(0)
    }

    /// How often it was asked for anything.
    pub(super) fn requests(&self) -> usize {
        self.said().matches("-> calling handler").count()
    }

    /// What it has written.
    pub(super) fn said(&self) -> String {
        self.running.as_ref().unwrap().stdout()
    }

    fn get(&self, path: &str, port: u16) -> Option<String> {
        let own = reqwest::Certificate::from_pem(self.own.as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only([own])
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        let asked = client.get(format!("https://localhost:{port}{path}"));
        let answered = async { asked.send().await.ok()?.text().await.ok() };
        tokio::runtime::Runtime::new().unwrap().block_on(answered)
    }
}

/// Free a moment ago, and below what the kernel gives to outgoing connections.
fn free_port() -> u16 {
    until("a port is free", || {
        let port = rand::random_range(20_000..32_000);
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
    })
}
