//! The text of a new configuration.

use crate::cli::{InitArgs, InitAuth};

pub(super) const USERNAME: &str = "sparkpost";
pub(super) const CLIENT_ID: &str = "postlake";
pub(super) const HEADER: &str = "X-Postlake-Key";
pub(super) const ALERT_FILE: &str = "alert.secret";

impl InitAuth {
    /// The file of its secret.
    pub(super) fn file(self) -> &'static str {
        match self {
            InitAuth::Basic => "basic.secret",
            InitAuth::Oauth2 => "oauth.secret",
            InitAuth::Header => "header.secret",
        }
    }

    /// Its line under `[ingest.auth]`; `place` is how the secret is named, by file or by credential.
    fn line(self, place: &str) -> String {
        let file = self.file();
        match self {
            InitAuth::Basic => {
                format!("basic = [{{ username = \"{USERNAME}\", password_{place} = \"{file}\" }}]")
            }
            InitAuth::Oauth2 => {
                format!(
                    "oauth2 = [{{ client_id = \"{CLIENT_ID}\", client_secret_{place} = \"{file}\" }}]"
                )
            }
            InitAuth::Header => {
                format!("headers = [{{ name = \"{HEADER}\", value_{place} = \"{file}\" }}]")
            }
        }
    }
}

/// Where systemd puts what the unit has as `StateDirectory`.
const STATE_DIRECTORY: &str = "/var/lib/postlake";

const STORE: &str = "\
# postlake: what is not set here has its default. `postlake check` says what is in force and why,
# `postlake doctor` looks at what is around it. A variable such as POSTLAKE_INGEST__LISTEN goes before
# this file, a flag before both.

[store]
# A directory, or \"s3://bucket/prefix\" with endpoint and credentials in the AWS_* variables.
";

const INGEST: &str = "
[ingest]
# Webhooks come in here. SparkPost posts to a public name, port 443, with the full certificate chain:
# put a proxy with TLS in front, or set [ingest.tls] or [ingest.tls.acme] and listen on \"0.0.0.0:443\".
listen = \"127.0.0.1:8025\"
# Largest body taken, in bytes; a larger one is answered 413.
# max_body_bytes = 33554432
# Bodies being read or waiting, in bytes; beyond it events get 503 and are sent again.
# max_inflight_bytes = 134217728
# Under load, time between two syncs of the disk.
# commit_interval = \"20ms\"
# Events are held back while less is free on the disk; without it 5 % of the disk, at most 512 MiB.
# min_free_bytes = 536870912
# Kept back for alerts on a full disk; without it 1/64 of the disk, at most 64 MiB.
# reserve_bytes = 67108864

# A certificate from files, read again when they are renewed,
# [ingest.tls]
# cert_file = \"fullchain.pem\"
# key_file = \"privkey.pem\"
# or from Let's Encrypt, ordered and renewed by postlake itself; the domains' port 443 has to lead here.
# [ingest.tls.acme]
# domains = [\"hooks.example.com\"]
# agree_to_terms = true            # https://letsencrypt.org/repository/
# contact = \"ops@example.com\"
# directory = \"staging\"          # for trying; nobody trusts what it gives

[ingest.auth]
# Any of these lets a request in, and each is a list: to change a secret, add the new one, change it
# in SparkPost, then remove the old one. Files hold one secret each and are for you alone (chmod 600).
";

const ALERTS: &str = "\
# Alerts carry no credentials: the secret is the last part of their URL.
";

const REST: &str = "
[read]
# API and page, for this machine.
listen = \"127.0.0.1:8080\"

[admin]
# Metrics, health and status; `postlake top` asks here. Loopback only.
listen = \"127.0.0.1:8026\"

[load]
# Time from one pass to the next, at least.
interval = \"2s\"
# A pass commits when it has so many rows, or when it is so old, whatever comes first.
# commit_rows = 100000
# commit_age = \"3s\"

[lake]
# Small files are merged by the server, turn by turn.
# compact = true
# upkeep_interval = \"60s\"
# Files that were replaced are deleted after this time, once every sink has read them.
# vacuum_after = \"7d\"

[retention]
# Whole days; what has no rule is kept for ever.
# raw = \"90d\"
# events = \"400d\"
# alerts = \"400d\"
# quarantine = \"90d\"
# batches = \"400d\"

# Where rows go besides the lake. Without this there is one of type csv; `sinks = []` at the top means
# none.
[[sinks]]
name = \"csv\"
type = \"csv\"
";

/// The whole file.
pub(super) fn config(arguments: &InitArgs) -> String {
    let (data, place) = match arguments.systemd {
        true => (STATE_DIRECTORY, "credential"),
        false => ("./postlake-data", "file"),
    };
    let url = toml_text(arguments.data.as_deref().unwrap_or(data));
    let mut text = format!("{STORE}url = {url}\n{INGEST}");
    for auth in &arguments.auth {
        text.push_str(&auth.line(place));
        text.push('\n');
    }
    text.push_str(ALERTS);
    text.push_str(&format!("alert_secret_{place}s = [\"{ALERT_FILE}\"]\n"));
    text.push_str(REST);
    text
}

/// Text in quotes: JSON's escapes are a part of TOML's.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
