//! What is kept over restarts, for one directory of an authority: the account, the certificate with its
//! key, and how often was tried in vain. Each file is replaced in one step and on the disk before it counts.
//!
//! A file is a line that says what it is, with the SHA-256 of all that follows, and then that.

#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use postlake_listen::{Validity, read_capped};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;

const ACCOUNT: &str = "account";
const CERTIFICATE: &str = "certificate";
const ORDER: &str = "order";
const ATTEMPTS: &str = "attempts";
const VERSION: u32 = 1;
const MAX_FILE_BYTES: u64 = 1 << 20;
/// What a damaged file is renamed to end in.
const ASIDE: &str = "damaged";

/// Why something cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system refuses.
    #[error("{doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what was once written into it.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

/// The folder of one directory.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// A certificate as it is kept.
#[derive(Debug)]
pub struct Kept {
    /// Its own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// From when to when the own certificate is valid.
    pub validity: Validity,
    /// What was asked of the authority, and when.
    pub ordered: Ordered,
}

/// What was asked of the authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// The names that the certificate is for.
    pub names: Vec<String>,
    /// When, in seconds since 1970.
    pub at_secs: i64,
}

/// An account at the authority.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptAccount {
    pub(crate) contacts: Vec<String>,
    pub(crate) credentials: AccountCredentials,
}

/// An order that is under way, with the key of the certificate to come: who takes it up again orders
/// nothing twice.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptOrder {
    pub(crate) names: Vec<String>,
    /// The authority's name for it.
    pub(crate) url: String,
    /// In PEM.
    pub(crate) key: String,
}

/// Attempts to get a certificate that have brought none so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempts {
    pub(crate) names: Vec<String>,
    /// Those in a row, without one that is under way or was broken off.
    pub(crate) failures: u32,
    /// When the next one may be, in seconds since 1970.
    pub(crate) next_at_secs: i64,
    /// Why the last one has brought none; nothing while it is under way.
    pub(crate) trouble: Option<String>,
}

impl Cache {
    /// The folder for `directory` under `root`; nothing is created.
    pub fn of(root: &Path, directory: &Url) -> Cache {
        let name: String = directory
            .as_str()
            .trim_start_matches("https://")
            .trim_end_matches('/')
            .chars()
            .map(|character| match character {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => character,
                _ => '-',
            })
            .collect();
        Cache {
            folder: root.join(name),
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the certificate is, if there is one.
    pub fn certificate_file(&self) -> PathBuf {
        self.file(CERTIFICATE)
    }

    /// The certificate, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was written.
    pub fn certificate(&self) -> Result<Option<Kept>, CacheError> {
        let Some(content) = self.read(CERTIFICATE)? else {
            return Ok(None);
        };
        let damaged = |what| self.damaged(CERTIFICATE, what);
        let (ordered, pem) = content.split_once('\n').unwrap_or_default();
        let ordered = serde_json::from_str(ordered).map_err(|_| damaged("it names no order"))?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| damaged("it is no PEM file"))?;
        let validity = chain.first().and_then(|own| Validity::of(own));
        let validity = validity.ok_or_else(|| damaged("it holds no certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes());
        Ok(Some(Kept {
            chain,
            key: key.map_err(|_| damaged("it holds no key"))?,
            validity,
            ordered,
        }))
    }

    /// On `Ok` a folder that only we may enter is there.
    pub(crate) fn create(&self) -> Result<(), CacheError> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder);
        made.map_err(|source| failed("create", &self.folder, source))
    }

    /// On `Ok` the certificate is on the disk.
    pub(crate) fn keep_certificate(
        &self,
        ordered: &Ordered,
        chain: &str,
        key: &str,
    ) -> Result<(), CacheError> {
        let ordered = self.json(CERTIFICATE, ordered)?;
        self.write(CERTIFICATE, &format!("{ordered}\n{key}\n{chain}"))
    }

    pub(crate) fn account(&self) -> Result<Option<KeptAccount>, CacheError> {
        self.parsed(ACCOUNT)
    }

    /// On `Ok` the account is on the disk.
    pub(crate) fn keep_account(&self, account: &KeptAccount) -> Result<(), CacheError> {
        self.write(ACCOUNT, &self.json(ACCOUNT, account)?)
    }

    pub(crate) fn order(&self) -> Result<Option<KeptOrder>, CacheError> {
        self.parsed(ORDER)
    }

    /// On `Ok` it is on the disk.
    pub(crate) fn keep_order(&self, order: &KeptOrder) -> Result<(), CacheError> {
        self.write(ORDER, &self.json(ORDER, order)?)
    }

    pub(crate) fn forget_order(&self) -> Result<(), CacheError> {
        self.forget(ORDER)
    }

    pub(crate) fn attempts(&self) -> Result<Option<Attempts>, CacheError> {
        self.parsed(ATTEMPTS)
    }

    /// On `Ok` they are on the disk.
    pub(crate) fn keep_attempts(&self, attempts: &Attempts) -> Result<(), CacheError> {
        self.write(ATTEMPTS, &self.json(ATTEMPTS, attempts)?)
    }

    pub(crate) fn forget_attempts(&self) -> Result<(), CacheError> {
        self.forget(ATTEMPTS)
    }

    fn forget(&self, what: &str) -> Result<(), CacheError> {
        let path = self.file(what);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(failed("remove", &path, source))
            }
            _ => Ok(()),
        }
    }

    /// Gives a file another name, under which it is not read any more; that name.
    pub(crate) fn put_aside(&self, path: &Path) -> Result<PathBuf, CacheError> {
        let aside = path.with_extension(ASIDE);
        let renamed = fs::rename(path, &aside);
        renamed.map_err(|source| failed("rename", path, source))?;
        Ok(aside)
    }

    pub(crate) fn put_account_aside(&self) -> Result<PathBuf, CacheError> {
        self.put_aside(&self.file(ACCOUNT))
    }

    fn file(&self, what: &str) -> PathBuf {
        match what {
            CERTIFICATE => self.folder.join("certificate.pem"),
            what => self.folder.join(format!("{what}.json")),
        }
    }

    fn parsed<T: DeserializeOwned>(&self, what: &str) -> Result<Option<T>, CacheError> {
        let content = self.read(what)?;
        let parsed = content.map(|content| serde_json::from_str(&content));
        parsed
            .transpose()
            .map_err(|_| self.damaged(what, "a field is missing or is no such thing"))
    }

    fn json(&self, what: &str, value: &impl Serialize) -> Result<String, CacheError> {
        serde_json::to_string(value).map_err(|_| self.damaged(what, "it cannot be written as JSON"))
    }

    /// All but the first line, which is checked.
    fn read(&self, what: &str) -> Result<Option<String>, CacheError> {
        let path = self.file(what);
        let content = match read_capped(&path, MAX_FILE_BYTES) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed("read", &path, source)),
        };
        let content =
            String::from_utf8(content).map_err(|_| self.damaged(what, "it is no text"))?;
        let (first, rest) = content.split_once('\n').unwrap_or_default();
        let Some(digest) = first.strip_prefix(&first_line(what)) else {
            return Err(self.damaged(what, "its first line is not that of this release"));
        };
        if digest != hex::encode(Sha256::digest(rest)) {
            return Err(self.damaged(
                what,
                "its content is not what was written (SHA-256 differs)",
            ));
        }
        Ok(Some(rest.to_owned()))
    }

    /// Under another name first; on `Ok` content and name are on the disk.
    fn write(&self, what: &str, content: &str) -> Result<(), CacheError> {
        let path = self.file(what);
        let young = path.with_extension("new");
        let digest = hex::encode(Sha256::digest(content));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&young)?;
            writeln!(file, "{}{digest}", first_line(what))?;
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            fs::rename(&young, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|source| failed("write", &path, source))
    }

    fn damaged(&self, what: &str, fault: &'static str) -> CacheError {
        CacheError::Damaged {
            path: self.file(what),
            what: fault,
        }
    }
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> CacheError {
    CacheError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn first_line(what: &str) -> String {
    format!("postlake acme {what} {VERSION} sha256 ")
}
