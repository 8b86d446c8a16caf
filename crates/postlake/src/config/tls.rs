//! `[ingest.tls]` and `[read.tls]`.

use std::path::PathBuf;

use figment::Figment;
use postlake_listen::CertificateFiles;
use serde::Deserialize;

use super::Faults;

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

/// The certificate files of a listener; without the section there is no TLS.
pub(super) fn tls(
    figment: &Figment,
    key: &str,
    faults: &mut Faults,
) -> Option<Option<CertificateFiles>> {
    let Some(section) = faults.value(figment, key, None::<Section>)? else {
        return Some(None);
    };
    match (section.cert_file, section.key_file) {
        (Some(certificate), Some(key)) => Some(Some(CertificateFiles { certificate, key })),
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
