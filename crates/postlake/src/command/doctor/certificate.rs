//! Certificates of the listeners: the whole chain, in order, signed, and valid for a while.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::DateTime;
use postlake_listen::read_capped;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

use super::Finding;
use crate::wire;

/// A longer file has been named by mistake.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// From here on somebody should look why it was not renewed.
const SOON_DAYS: i64 = 14;

/// A time at which no certificate is valid any more: the refusal names the end. 9999-01-01.
const FAR_SECS: u64 = 253_370_764_800;

pub(super) fn examine(files: &[(String, PathBuf)]) -> Vec<Finding> {
    let files = files.iter().filter(|(key, _)| key.ends_with("cert_file"));
    let now = wire::clock().now().timestamp();
    files.map(|(key, path)| of_file(key, path, now)).collect()
}

fn of_file(key: &str, path: &Path, now: i64) -> Finding {
    let place = format!("{key} {}", path.display());
    let finding = |found: String| Finding::ok("certificate", place.clone(), found);
    let advice = "name the file with the full chain in PEM, own certificate first (fullchain.pem)";
    match read_capped(path, MAX_FILE_BYTES) {
        Err(error) => finding(format!("cannot be read: {error}")).misconfigured(advice),
        Ok(bytes) => match CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>() {
            Ok(chain) => match Chain::of(&chain) {
                Ok(chain) => chain.time(finding, now, SOON_DAYS),
                Err(fault) => fault.told(finding),
            },
            Err(_) => finding("is not PEM".to_owned()).misconfigured(advice),
        },
    }
}

/// What makes a chain useless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Unreadable,
    SelfSigned,
    OwnOnly,
    OutOfOrder,
    Unsigned,
}

impl Fault {
    pub(super) fn told(self, finding: impl FnOnce(String) -> Finding) -> Finding {
        // SparkPost follows no link to a missing certificate: it wants each one up to an authority
        // that it knows ("UNABLE_TO_VERIFY_LEAF_SIGNATURE").
        let (found, advice) = match self {
            Fault::Unreadable => (
                "holds no certificate that can be read",
                "name the file with the full chain in PEM (fullchain.pem)",
            ),
            Fault::SelfSigned => (
                "is signed by itself",
                "SparkPost trusts public authorities only: get a certificate of one",
            ),
            Fault::OwnOnly => (
                "is alone, without the certificate that signed it",
                "name the file with the full chain (fullchain.pem); SparkPost refuses it without",
            ),
            Fault::OutOfOrder => (
                "is not followed by the certificate that signed it",
                "put the own certificate first, then each one behind the one that it signed",
            ),
            Fault::Unsigned => (
                "is not signed by what follows it, or is not for a server",
                "get the chain anew from the authority",
            ),
        };
        finding(found.to_owned()).fail(advice)
    }
}

/// A chain that is whole and in order; its times in seconds since 1970.
#[derive(Debug)]
pub(super) struct Chain {
    certificates: usize,
    ends: i64,
    begins: Option<i64>,
}

impl Chain {
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Result<Chain, Fault> {
        let own = chain.first().ok_or(Fault::Unreadable)?;
        let own = EndEntityCert::try_from(own).map_err(|_| Fault::Unreadable)?;
        if own.issuer() == own.subject() {
            return Err(Fault::SelfSigned);
        }
        for (signed, signer) in chain.iter().zip(chain.iter().skip(1)) {
            let parsed = |der| EndEntityCert::try_from(der).map_err(|_| Fault::Unreadable);
            if parsed(signed)?.issuer() != parsed(signer)?.subject() {
                return Err(Fault::OutOfOrder);
            }
        }
        let (last, between) = match chain {
            [_, between @ .., last] => (last, between),
            _ => return Err(Fault::OwnOnly),
        };
        let anchors = [anchor_from_trusted_cert(last).map_err(|_| Fault::Unreadable)?];
        let verified_at = |secs| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(secs));
            let usage = KeyUsage::server_auth();
            let algorithms = ALL_VERIFICATION_ALGS;
            own.verify_for_usage(algorithms, &anchors, between, time, usage, None, None)
                .map(drop)
        };
        let ends = match verified_at(FAR_SECS) {
            Err(Error::CertExpired { not_after, .. }) => secs(not_after),
            _ => return Err(Fault::Unsigned),
        };
        // One second before the end everything has to hold.
        match verified_at(u64::try_from(ends - 1).unwrap_or(0)) {
            Ok(()) | Err(Error::CertExpired { .. }) => {}
            Err(_) => return Err(Fault::Unsigned),
        }
        let begins = match verified_at(0) {
            Err(Error::CertNotValidYet { not_before, .. }) => Some(secs(not_before)),
            _ => None,
        };
        Ok(Chain {
            certificates: chain.len(),
            ends,
            begins,
        })
    }

    pub(super) fn time(
        &self,
        finding: impl Fn(String) -> Finding,
        now: i64,
        soon_days: i64,
    ) -> Finding {
        let day = |at| {
            DateTime::from_timestamp(at, 0)
                .unwrap_or_default()
                .date_naive()
        };
        if let Some(begins) = self.begins.filter(|begins| *begins > now) {
            return finding(format!("is not valid before {}", day(begins)))
                .fail("look at the clock");
        }
        if now > self.ends {
            return finding(format!("ended on {}", day(self.ends)))
                .fail("renew it; a running server takes new files by itself");
        }
        let days = (self.ends - now) / 86_400;
        let finding = finding(format!(
            "{} certificates, each signed by the next, valid until {} ({days} days)",
            self.certificates,
            day(self.ends)
        ));
        match days < soon_days {
            true => finding.warn("renew it, and look why that has not happened by itself"),
            false => finding,
        }
    }

    /// When somebody should look after one that is renewed at two thirds of its life, however short.
    pub(super) fn soon_days(&self) -> i64 {
        let life = self.begins.map(|begins| (self.ends - begins) / 86_400);
        life.map_or(SOON_DAYS, |life| SOON_DAYS.min(life / 4))
    }
}

fn secs(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command, Stdio};

    use super::super::Level;
    use super::*;

    const DAY: i64 = 86_400;

    /// An authority and a certificate of it for 30 days; false when there is no openssl to make them.
    fn made_in(folder: &Path) -> bool {
        let openssl = |arguments: &str| {
            Command::new("openssl")
                .args(arguments.split(' '))
                .current_dir(folder)
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        fs::write(
            folder.join("names"),
            "subjectAltName=DNS:hooks.example.com\n",
        )
        .unwrap();
        openssl(&format!(
            "req -x509 {key} -keyout ca.key -out ca.pem -days 60 -subj /CN=authority"
        )) && openssl(&format!(
            "req {key} -keyout own.key -out own.csr -subj /CN=hooks.example.com"
        )) && openssl(
            "x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out own.pem -extfile names",
        )
    }

    #[test]
    fn chains_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        if !made_in(folder.path()) {
            eprintln!("skipped: there is no openssl to make certificates");
            return;
        }
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let (own, authority) = (text("own.pem"), text("ca.pem"));
        let now = wire::clock().now().timestamp();
        let look = |content: &str, now: i64| {
            let path = folder.path().join("looked-at.pem");
            fs::write(&path, content).unwrap();
            of_file("ingest.tls.cert_file", &path, now)
        };
        let whole = format!("{own}{authority}");
        let cases = [
            (whole.as_str(), now, Level::Ok, "2 certificates"),
            (&whole, now + 20 * DAY, Level::Warn, "2 certificates"),
            (&whole, now + 31 * DAY, Level::Fail, "ended on"),
            (&whole, now - DAY, Level::Fail, "is not valid before"),
            (&own, now, Level::Fail, "is alone"),
            (&authority, now, Level::Fail, "signed by itself"),
            (
                &format!("{own}{own}"),
                now,
                Level::Fail,
                "is not followed by",
            ),
            ("nothing", now, Level::Fail, "holds no certificate"),
        ];
        for (content, at, level, found) in cases {
            let finding = look(content, at);
            assert_eq!(finding.level, level, "{found}: {}", finding.found);
            assert!(finding.found.contains(found), "{found}: {}", finding.found);
        }
    }
}
