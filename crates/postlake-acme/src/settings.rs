//! What is asked of which authority.

use std::path::PathBuf;

use url::Url;

/// Which certificate is wanted, and from whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The names that it is for, at least one, in lower case.
    pub names: Vec<String>,
    /// Mail addresses that the authority may write to.
    pub contacts: Vec<String>,
    /// The URL of the authority's directory; https.
    pub directory: Url,
    /// The only authorities, in PEM, that are trusted for the directory's own certificate; without
    /// it those that the system trusts.
    pub directory_ca_file: Option<PathBuf>,
    /// An account with the authority outside of ACME, where it wants one.
    pub external_account: Option<ExternalAccount>,
    /// The folder under which accounts and certificates are kept, one folder for each directory.
    pub cache: PathBuf,
}

/// What an authority has given to somebody who is its customer already (RFC 8555, section 7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The name of the key.
    pub key_id: String,
    /// A file with the key in base64, as it was given.
    pub hmac_key_file: PathBuf,
}
