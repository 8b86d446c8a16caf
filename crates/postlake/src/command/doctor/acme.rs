//! The authority that gives the certificate, what it has given, and whether it can reach this machine.

use std::fs;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use postlake_acme::{Cache, CacheError, Kept, Settings, directory};
use webpki::EndEntityCert;

use super::Finding;
use super::certificate::Chain;
use crate::exit::chain;
use crate::role::clock_of_certificates;

/// Where an authority connects to (RFC 8737, section 3).
const PORT: u16 = 443;
/// What nobody but the owner may do.
const OTHERS: u32 = 0o077;

pub(super) async fn examine(acme: &Settings, listen: SocketAddr) -> Vec<Finding> {
    let mut findings = vec![authority(acme).await];
    findings.extend(cached(acme));
    findings.push(port(listen));
    for name in &acme.names {
        let (name, asked) = (name.clone(), name.clone());
        let resolved = tokio::task::spawn_blocking(move || resolve(&asked)).await;
        findings.push(match resolved {
            Ok(finding) => finding,
            Err(error) => Finding::ok("name", name, format!("cannot be looked up: {error}"))
                .fail("run the doctor again"),
        });
    }
    findings
}

/// Its directory; nothing is ordered.
async fn authority(acme: &Settings) -> Finding {
    let finding = |found: String| Finding::ok("authority", acme.directory.as_str(), found);
    match directory(acme, &clock_of_certificates()).await {
        Err(error) => finding(format!("cannot be asked: {}", chain(&error))).fail(
            "look at ingest.tls.acme.directory and directory_ca_file, at the DNS and at the way out of this machine (HTTPS_PROXY is read)",
        ),
        Ok(found) if found.external_account_required && acme.external_account.is_none() => {
            finding("serves only those who have an account with it already".to_owned())
                .misconfigured("get a key there and set ingest.tls.acme.external_account")
        }
        Ok(found) => finding(match found.terms {
            Some(terms) => format!("answers; its terms are at {terms}"),
            None => "answers".to_owned(),
        }),
    }
}

fn cached(acme: &Settings) -> Vec<Finding> {
    let cache = Cache::of(&acme.cache, &acme.directory);
    let file = cache.certificate_file();
    let place = file.display().to_string();
    let finding = |found: String| Finding::ok("certificate", place.clone(), found);
    let kept = match cache.certificate() {
        Ok(Some(kept)) => kept,
        Ok(None) => {
            return vec![finding("is not there yet".to_owned()).warn(
                "a server with this configuration orders it; its log and `postlake top` say why if it does not come",
            )];
        }
        Err(error @ CacheError::Damaged { .. }) => {
            return vec![
                finding(chain(&error)).fail("the next start puts it aside and orders another one"),
            ];
        }
        Err(error) => {
            return vec![
                finding(chain(&error))
                    .misconfigured("make it readable for the user that runs postlake"),
            ];
        }
    };
    let now = clock_of_certificates()();
    let whole = match Chain::of(&kept.chain) {
        Ok(chain) => chain.time(finding, now, chain.soon_days()),
        Err(fault) => fault.told(finding),
    };
    vec![
        whole,
        names(acme, &kept, &place),
        modes(cache.folder(), &file),
    ]
}

/// Whether it is for the names that are configured.
fn names(acme: &Settings, kept: &Kept, place: &str) -> Finding {
    let finding = |found: String| Finding::ok("certificate names", place, found);
    let own = kept.chain.first();
    let own = own.and_then(|own| EndEntityCert::try_from(own).ok());
    let covers = |name: &&String| {
        let name = name.as_str().try_into();
        let (Some(own), Ok(name)) = (&own, name) else {
            return false;
        };
        own.verify_is_valid_for_subject_name(&name).is_ok()
    };
    let missing: Vec<_> = acme.names.iter().filter(|name| !covers(name)).collect();
    match missing.as_slice() {
        [] => finding(format!("are all there: {}", acme.names.join(", "))),
        missing => finding(format!("do not have {missing:?}"))
            .warn("a server with this configuration orders another one"),
    }
}

fn modes(folder: &Path, file: &Path) -> Finding {
    let finding =
        |found: String| Finding::ok("certificate key", folder.display().to_string(), found);
    let open = [folder, file].into_iter().find_map(|path| {
        let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
        (mode & OTHERS != 0).then_some((path, mode))
    });
    match open {
        None => finding("is for this user alone".to_owned()),
        Some((path, mode)) => finding(format!("can be reached by others ({mode:o})"))
            .warn(format!("chmod go= {}", path.display())),
    }
}

/// The authority comes to port 443 and to no other.
fn port(listen: SocketAddr) -> Finding {
    let finding = |found: String| Finding::ok("challenge port", listen.to_string(), found);
    let public = "listen on \"0.0.0.0:443\", or have that port passed on to this one as it is, without TLS ended on the way";
    if listen.ip().is_loopback() {
        finding("is for this machine alone, and the authority comes from outside".to_owned())
            .warn(public)
    } else if listen.port() != PORT {
        finding("is not 443, and the authority comes there".to_owned()).warn(public)
    } else {
        finding("is where the authority comes".to_owned())
    }
}

/// Where the authority looks for a name, as far as this machine knows.
fn resolve(name: &str) -> Finding {
    let finding = |found: String| Finding::ok("name", name, found);
    match (name, PORT).to_socket_addrs() {
        Ok(addresses) => {
            let mut addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
            addresses.sort_unstable();
            addresses.dedup();
            let text: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let text = text.join(", ");
            match addresses.iter().all(IpAddr::is_loopback) {
                true => finding(format!("is {text} here; the authority asks its own DNS"))
                    .warn("look whether the public DNS has the address of this server"),
                false => finding(format!("is {text}; that has to lead here")),
            }
        }
        Err(error) => finding(format!("has no address: {error}"))
            .fail("give it one in the DNS: that of this server"),
    }
}
