//! Credentials and the files that hold them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Finding;

/// Bits by which others than the owner may read or write.
const OTHERS: u32 = 0o077;

pub(super) fn examine(files: &[(String, PathBuf)]) -> Vec<Finding> {
    let mut findings: Vec<_> = files
        .iter()
        .filter(|(key, _)| !key.ends_with("cert_file"))
        .map(|(key, path)| file(key, path))
        .collect();
    let has = |part: &str| files.iter().any(|(key, _)| key.contains(part));
    if has("webhook_token_files") {
        let found = "X-MessageSystems-Webhook-Token is accepted; SparkPost has deprecated it";
        findings.push(
            Finding::ok("credentials", "ingest.auth.webhook_token_files", found).warn(
                "give the webhook basic or OAuth 2.0 authentication in SparkPost, then remove the token here",
            ),
        );
    }
    let opens_events = [
        "auth.basic",
        "auth.oauth2",
        "auth.headers",
        "auth.webhook_token_files",
    ]
    .iter()
    .any(|kind| has(kind));
    if !opens_events {
        let found = "there are none: whoever reaches the ingest listener can post events";
        findings.push(
            Finding::ok("credentials", "ingest.auth", found)
                .warn("`postlake init` writes some, or let the proxy in front ask for them"),
        );
    }
    if opens_events && !has("alert_secret_files") {
        let found = "there is no secret for alerts, which can have nothing else";
        findings.push(
            Finding::ok("credentials", "ingest.auth.alert_secret_files", found)
                .warn("put 32 random characters or more in a file and name it here"),
        );
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
    match mode & OTHERS {
        0 => finding(format!("is for its owner alone ({mode:o})")),
        _ => finding(format!("is open to others ({mode:o})"))
            .warn(format!("chmod 600 {}", path.display())),
    }
}
