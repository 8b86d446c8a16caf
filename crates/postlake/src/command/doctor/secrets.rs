//! Credentials and the files that hold them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Finding;
use crate::config::AuthKeys;

/// Bits by which every user of the machine may read or write.
const EVERYBODY: u32 = 0o007;

/// Each file that holds a secret, or a private key.
pub(super) fn files(files: &[(String, PathBuf)]) -> Vec<Finding> {
    let public = |key: &str| key.ends_with("cert_file") || key.ends_with("ca_file");
    let secret = files.iter().filter(|(key, _)| !public(key));
    secret.map(|(key, path)| file(key, path)).collect()
}

/// What is missing or outdated among the credentials.
pub(super) fn credentials(auth: &AuthKeys) -> Vec<Finding> {
    let finding = |key: &str, found: &str| Finding::ok("credentials", key, found);
    let mut findings = Vec::new();
    if !auth.webhook_tokens.is_empty() {
        let found = "X-MessageSystems-Webhook-Token is accepted, which SparkPost has deprecated";
        findings.push(finding("ingest.auth.webhook_token_files", found).warn(
            "give the webhook basic or OAuth 2.0 authentication in SparkPost, then remove the token here",
        ));
    }
    if !auth.has_credentials() {
        let found = "there are none: whoever reaches the ingest listener can post";
        findings.push(
            finding("ingest.auth", found)
                .warn("`postlake init` writes some; or have the proxy in front ask for them"),
        );
    } else if auth.alert_secrets.is_empty() {
        let found = "alerts have no secret, and can have nothing else";
        findings.push(
            finding("ingest.auth.alert_secret_files", found)
                .warn("put 32 random characters or more into a file and name it here"),
        );
    } else if !auth.opens_events() {
        let found = "there is one for alerts only: events are refused";
        findings.push(finding("ingest.auth", found).warn("add basic, oauth2 or headers"));
    } else {
        findings.push(finding("ingest.auth", "events and alerts need one each"));
    }
    findings
}

fn file(key: &str, path: &Path) -> Finding {
    let place = format!("{key} {}", path.display());
    let finding = |found: String| Finding::ok("secret file", place, found);
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o777,
        Err(error) => {
            return finding(format!("cannot be read: {error}"))
                .misconfigured("write the secret into it, for the user that runs postlake");
        }
    };
    if let Err(error) = fs::File::open(path) {
        return finding(format!("cannot be opened: {error}"))
            .misconfigured("make it readable for the user that runs postlake");
    }
    match mode & EVERYBODY {
        0 => finding(format!("is closed to other users ({mode:o})")),
        _ => finding(format!("is open to every user of this machine ({mode:o})"))
            .warn(format!("chmod 600 {}", path.display())),
    }
}
