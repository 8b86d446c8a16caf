//! `[ingest.tls]` and `[read.tls]`.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::value::Value;
use postlake_listen::CertificateFiles;
use postlake_location::DataUrl;
use serde::Deserialize;

use super::{Faults, acme};

/// Where the certificate of the ingest listener comes from.
#[derive(Clone, Debug)]
pub(crate) enum IngestTls {
    /// Two files.
    Files(CertificateFiles),
    /// An authority that is asked for it.
    Acme(postlake_acme::Settings),
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    /// Looked at by itself.
    acme: Option<Value>,
}

/// Files or an authority; without the section there is no TLS. `places` are the folder of the
/// configuration file and where the data lies.
pub(super) fn ingest(
    figment: &Figment,
    places: (&Path, Option<&DataUrl>),
    faults: &mut Faults,
) -> Option<Option<IngestTls>> {
    let key = "ingest.tls";
    let Some(section) = faults.value(figment, key, None::<Section>)? else {
        return Some(None);
    };
    if section.acme.is_none() {
        return Some(Some(IngestTls::Files(files(section, key, faults)?)));
    }
    let key = "ingest.tls.acme";
    if section.cert_file.is_some() || section.key_file.is_some() {
        let message = "a certificate comes from an authority or from files: remove this section, or cert_file and key_file";
        faults.add(key, message);
    }
    Some(Some(IngestTls::Acme(acme::acme(
        figment, key, places, faults,
    )?)))
}

/// The files of the read listener; without the section there is no TLS.
pub(super) fn read(figment: &Figment, faults: &mut Faults) -> Option<Option<CertificateFiles>> {
    let key = "read.tls";
    let Some(section) = faults.value(figment, key, None::<Section>)? else {
        return Some(None);
    };
    if section.acme.is_some() {
        let message =
            "an authority can look at the ingest listener only; name cert_file and key_file";
        faults.add("read.tls.acme", message);
        return None;
    }
    Some(Some(files(section, key, faults)?))
}

fn files(section: Section, key: &str, faults: &mut Faults) -> Option<CertificateFiles> {
    match (section.cert_file, section.key_file) {
        (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key }),
        (certificate, _) => {
            let missing = if certificate.is_some() {
                "key_file"
            } else {
                "cert_file"
            };
            faults.add(&format!("{key}.{missing}"), "is missing");
            None
        }
    }
}
