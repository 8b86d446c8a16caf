//! `[ingest.tls.acme]`: which certificate is wanted, and from which authority.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use postlake_acme::{ExternalAccount, Settings};
use postlake_location::DataUrl;
use serde::Deserialize;
use url::Url;

use super::Faults;

/// Short names of directories; the first is what is meant when none is named.
const DIRECTORIES: [(&str, &str); 2] = [
    (
        "letsencrypt",
        "https://acme-v02.api.letsencrypt.org/directory",
    ),
    (
        "staging",
        "https://acme-staging-v02.api.letsencrypt.org/directory",
    ),
];
/// The folder in the data directory.
const CACHE: &str = "acme";
/// The most names that Let's Encrypt puts into one certificate.
const MAX_DOMAINS: usize = 100;

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default)]
    domains: Vec<String>,
    contact: Option<OneOrMany>,
    #[serde(default)]
    agree_to_terms: bool,
    directory: Option<String>,
    directory_ca_file: Option<PathBuf>,
    cache: Option<PathBuf>,
    external_account: Option<ExternalSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExternalSection {
    key_id: String,
    hmac_key_file: PathBuf,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// The section, if it is whole and right. Files are relative to the folder of the configuration file.
pub(super) fn acme(
    figment: &Figment,
    key: &str,
    (folder, data): (&Path, Option<&DataUrl>),
    faults: &mut Faults,
) -> Option<Settings> {
    let section = faults.value(figment, key, None::<Section>)??;
    let names = domains(&section.domains, key, faults);
    let contacts = contacts(section.contact, key, faults);
    let directory = directory(section.directory.as_deref(), key, faults);
    let cache = cache(section.cache, data, key, faults);
    if !section.agree_to_terms {
        let message = "is not true: an authority issues nothing to those who do not agree to its terms (Let's Encrypt's: \
                       https://letsencrypt.org/repository/; `postlake doctor` names those of other directories)";
        faults.add(&format!("{key}.agree_to_terms"), message);
    }
    let external = section.external_account.map(|external| ExternalAccount {
        key_id: external.key_id,
        hmac_key_file: folder.join(external.hmac_key_file),
    });
    Some(Settings {
        names,
        contacts,
        directory: directory?,
        directory_ca_file: section.directory_ca_file.map(|file| folder.join(file)),
        external_account: external,
        cache: cache?,
    })
}

fn domains(domains: &[String], key: &str, faults: &mut Faults) -> Vec<String> {
    let key = format!("{key}.domains");
    if domains.is_empty() {
        faults.add(
            &key,
            "names no domain: write the host of the webhooks' URL, domains = [\"hooks.example.com\"]",
        );
    }
    if domains.len() > MAX_DOMAINS {
        let message = format!("are {}, and {MAX_DOMAINS} is the most", domains.len());
        faults.add(&key, message);
    }
    let mut names: Vec<String> = Vec::new();
    for domain in domains {
        let name = domain.to_ascii_lowercase();
        match fault_of(&name) {
            Some(fault) => faults.add(&key, format!("`{domain}` {fault}")),
            None if names.contains(&name) => faults.add(&key, format!("`{domain}` is there twice")),
            None => names.push(name),
        }
    }
    names
}

/// What is wrong with a domain.
fn fault_of(name: &str) -> Option<&'static str> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if name.starts_with("*.") {
        Some(
            "cannot be proven by this listener: a wildcard needs a record in the DNS; name each host, or take the certificate from files",
        )
    } else if name.parse::<IpAddr>().is_ok() {
        Some("is an address; a certificate is for names")
    } else if name.contains("://") || name.contains('/') || name.contains(':') {
        Some("is more than a host: leave out scheme, port and path")
    } else if !name.is_ascii() {
        Some("has letters beyond ASCII: write it as in the DNS (xn--...)")
    } else if name.len() > 253 || !name.split('.').all(label) {
        Some("is no name of a host")
    } else {
        None
    }
}

fn contacts(contact: Option<OneOrMany>, key: &str, faults: &mut Faults) -> Vec<String> {
    let contacts = match contact {
        None => Vec::new(),
        Some(OneOrMany::One(contact)) => vec![contact],
        Some(OneOrMany::Many(contacts)) => contacts,
    };
    let contacts = contacts.into_iter();
    let contacts: Vec<_> = contacts
        .map(|contact| contact.trim_start_matches("mailto:").to_owned())
        .collect();
    for contact in &contacts {
        let parts = contact.split_once('@');
        if parts.is_none_or(|(user, host)| user.is_empty() || host.is_empty()) {
            faults.add(&format!("{key}.contact"), "is no mail address");
        }
    }
    contacts
}

fn directory(directory: Option<&str>, key: &str, faults: &mut Faults) -> Option<Url> {
    let [(_, usual), _] = DIRECTORIES;
    let wanted = directory.unwrap_or(usual);
    let short = DIRECTORIES.iter().find(|(name, _)| *name == wanted);
    let url = short.map_or(wanted, |(_, url)| url);
    match Url::parse(url) {
        Ok(url) if url.scheme() == "https" && url.has_host() => Some(url),
        _ => {
            let message = format!(
                "`{wanted}` is no directory: write `letsencrypt`, `staging` (Let's Encrypt's for trying, which \
                 nobody trusts) or the https URL of another one"
            );
            faults.add(&format!("{key}.directory"), message);
            None
        }
    }
}

fn cache(
    cache: Option<PathBuf>,
    data: Option<&DataUrl>,
    key: &str,
    faults: &mut Faults,
) -> Option<PathBuf> {
    if let Some(cache) = cache {
        return Some(cache);
    }
    let Some(directory) = data?.directory() else {
        let message = "is missing: the data is not in a directory of this machine, so name one for account and certificate";
        faults.add(&format!("{key}.cache"), message);
        return None;
    };
    Some(directory.join(CACHE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_in_a_certificate_is_told() {
        let cases = [
            ("hooks.example.com", None),
            ("xn--hks-sna.example.com", None),
            ("localhost", None),
            ("*.example.com", Some("wildcard")),
            ("192.0.2.1", Some("is an address")),
            ("2001:db8::1", Some("is an address")),
            ("https://hooks.example.com", Some("leave out")),
            ("hooks.example.com:443", Some("leave out")),
            ("h\u{f6}oks.example.com", Some("ASCII")),
            ("hooks..example.com", Some("no name of a host")),
            ("-hooks.example.com", Some("no name of a host")),
            ("hooks_.example.com", Some("no name of a host")),
            ("", Some("no name of a host")),
        ];
        for (name, expected) in cases {
            let fault = fault_of(name);
            assert_eq!(fault.is_some(), expected.is_some(), "{name}: {fault:?}");
            assert!(
                fault.unwrap_or("").contains(expected.unwrap_or("")),
                "{name}: {fault:?}"
            );
        }
    }
}
