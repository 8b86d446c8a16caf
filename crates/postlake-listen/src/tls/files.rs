//! A certificate in files, looked at again and again.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::certificate::Certificate;
use super::resolver::Current;
use super::{CertificateFiles, Reload, Tls, TlsError};

/// Time from one look at the files to the next.
const INTERVAL: Duration = Duration::from_secs(2);
/// Longest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// From here on the log says that the certificate is about to end.
const SOON_SECS: i64 = 7 * 24 * 3600;

/// The files and what was found in them.
#[derive(Debug)]
pub(crate) struct Source {
    files: CertificateFiles,
    seen: Mutex<Seen>,
}

/// What stood in the files, by a hash of their content.
#[derive(Debug, Default)]
struct Seen {
    used: Option<u64>,
    /// Refused, and said.
    refused: Option<u64>,
    /// Cannot be used; perhaps one of the two files is still being replaced.
    suspect: Option<u64>,
    stage: Option<Stage>,
}

/// How near the end of the certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Fine,
    Soon,
    Over,
}

struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Content {
    fn read(files: &CertificateFiles) -> Result<Content, TlsError> {
        Ok(Content {
            certificate: read_file(&files.certificate)?,
            key: read_file(&files.key)?,
        })
    }

    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.certificate, &self.key).hash(&mut hasher);
        hasher.finish()
    }
}

impl Source {
    /// Takes what stands in the files into use.
    pub(crate) fn open(
        files: CertificateFiles,
        current: &Current,
        provider: &CryptoProvider,
    ) -> Result<Source, TlsError> {
        let content = Content::read(&files)?;
        current.set(Certificate::from_pem(
            &files,
            &content.certificate,
            &content.key,
            provider,
        )?);
        let seen = Seen {
            used: Some(content.hash()),
            ..Seen::default()
        };
        Ok(Source {
            files,
            seen: Mutex::new(seen),
        })
    }

    /// Takes new content into use, or says once per content why not.
    pub(crate) fn reload(
        &self,
        current: &Current,
        provider: &CryptoProvider,
        now_secs: i64,
    ) -> Result<Reload, TlsError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (hash, usable) = match Content::read(&self.files) {
            Ok(content) if seen.used == Some(content.hash()) => {
                seen.refused = None;
                return Ok(Reload::Unchanged);
            }
            Ok(content) => (
                content.hash(),
                self.usable(&content, current, provider, now_secs),
            ),
            // A file that is not there is a content like any other.
            Err(error) => (0, Err(error)),
        };
        if seen.refused == Some(hash) {
            return Ok(Reload::Unchanged);
        }
        match usable {
            Ok(certificate) => {
                current.set(certificate);
                seen.used = Some(hash);
                seen.refused = None;
                Ok(Reload::Replaced)
            }
            Err(error) => {
                current.count_failure();
                seen.refused = Some(hash);
                Err(error)
            }
        }
    }

    fn usable(
        &self,
        content: &Content,
        current: &Current,
        provider: &CryptoProvider,
        now_secs: i64,
    ) -> Result<Certificate, TlsError> {
        let (certificate, key) = (&content.certificate, &content.key);
        let certificate = Certificate::from_pem(&self.files, certificate, key, provider)?;
        let old = current.not_after_secs().unwrap_or(i64::MIN);
        if certificate.not_after_secs <= now_secs && old > now_secs {
            return Err(TlsError::Expired);
        }
        Ok(certificate)
    }

    /// True when what stands in the files has been bad at the last look too, or is not bad: a
    /// certificate and its key cannot be replaced in one step, so the first look may see half of it.
    fn has_settled(&self, current: &Current, provider: &CryptoProvider, now_secs: i64) -> bool {
        let hash = match Content::read(&self.files) {
            Ok(content) => match self.usable(&content, current, provider, now_secs) {
                Ok(_) => return true,
                Err(_) => content.hash(),
            },
            Err(_) => 0,
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.suspect.replace(hash) == Some(hash)
    }

    /// Says when the certificate in use is about to end or has ended, once each.
    pub(crate) fn watch_end(&self, current: &Current, now_secs: i64) {
        let Some(not_after) = current.not_after_secs() else {
            return;
        };
        let stage = match not_after.saturating_sub(now_secs) {
            ..=0 => Stage::Over,
            1..=SOON_SECS => Stage::Soon,
            _ => Stage::Fine,
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.stage.replace(stage) == Some(stage) {
            return;
        }
        match stage {
            Stage::Over => error!(
                not_after_secs = not_after,
                "the certificate in use has expired: senders that check it stay away"
            ),
            Stage::Soon => warn!(
                not_after_secs = not_after,
                "the certificate in use expires within a week"
            ),
            Stage::Fine => {}
        }
    }
}

/// Looks until `stop`. Reading two small files does not hold up anybody, but runs where blocking is
/// allowed: they may lie on a network.
pub(crate) async fn keep_fresh(tls: Tls, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => return,
        }
        let tls = tls.clone();
        let looked = tokio::task::spawn_blocking(move || tls.look()).await;
        if let Err(error) = looked {
            error!("the watch over the certificate broke off: {error}");
        }
    }
}

impl Tls {
    pub(crate) fn look(&self) {
        let Some(source) = &self.source else {
            return;
        };
        let now = (self.now)();
        if source.has_settled(&self.current, &super::provider(), now) {
            self.reload_and_say();
        }
        source.watch_end(&self.current, (self.now)());
    }

    /// As [`Tls::reload`], with the outcome in the log.
    pub fn reload_and_say(&self) {
        match self.reload() {
            Ok(Reload::Unchanged) => {}
            Ok(Reload::Replaced) => info!(status = ?self.status(), "a new certificate is in use"),
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                "the new certificate is not used, the old one stays"
            ),
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    read_capped(path, MAX_FILE_BYTES).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The first `most` bytes of a file.
///
/// # Errors
/// When it cannot be opened or read.
pub fn read_capped(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "the reader is cut by take")]
    File::open(path)?.take(most).read_to_end(&mut content)?;
    Ok(content)
}
