//! Keeps a listener in possession of a certificate: from the cache at the start, then from the
//! authority whenever it is due.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postlake_listen::{Now, Tls, TlsError, Validity};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::authority::{Authority, ClientError};
use crate::cache::{Attempts, Cache, CacheError, Kept, Ordered};
use crate::order::{Issued, OrderError, obtain, on_disk};
use crate::schedule::{LONGEST_WAIT_SECS, renew_at, wait_secs};
use crate::settings::Settings;

/// Longest sleep until the clock is looked at again: it may have been set, or the machine asleep.
const LOOK: Duration = Duration::from_secs(600);
/// Time from one attempt to the next, at least, when somebody asks for one.
const ASKED_SECS: i64 = 60;

/// Why a certificate cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The cache cannot be used.
    #[error("use the cache of certificates")]
    Cache {
        /// Why.
        source: CacheError,
    },
    /// There can be no client for the authority.
    #[error("reach the authority")]
    Client {
        /// Why.
        source: ClientError,
    },
    /// There is no certificate.
    #[error("get a certificate")]
    Order {
        /// Why.
        source: OrderError,
    },
    /// The authority's certificate is none.
    #[error("read what the authority has sent")]
    Pem {
        /// Why.
        source: pem::Error,
    },
    /// The authority's certificate is of no use.
    #[error("use the certificate")]
    Use {
        /// Why.
        source: TlsError,
    },
}

/// How it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Certificates that the authority has given since the start.
    pub orders: u64,
    /// Attempts that have brought none since the start.
    pub failures: u64,
    /// When the authority is asked next, in seconds since 1970.
    pub next_at_secs: i64,
    /// Why the last attempt has brought none; `None` after one that has.
    pub trouble: Option<String>,
}

/// See the module. Clones are the same.
#[derive(Debug, Clone)]
pub struct Keeper {
    about: Arc<About>,
}

struct About {
    settings: Settings,
    cache: Cache,
    authority: Authority,
    tls: Tls,
    now: Now,
    state: Mutex<State>,
    asked: Notify,
    /// Certificates that the authority has given since the start.
    given: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    progress: Progress,
    failures_in_a_row: u32,
    begun_at_secs: i64,
}

impl std::fmt::Debug for About {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("About")
            .field("settings", &self.settings)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Keeper {
    /// Opens the cache and hands the certificate that is in it, if there is one, to the listener. The
    /// authority is not asked yet. A damaged file is put aside, with a word in the log.
    ///
    /// # Errors
    /// When the cache cannot be read and written, or the client not be set up.
    pub fn open(settings: Settings, tls: Tls, now: Now) -> Result<Keeper, AcmeError> {
        let failed = |source| AcmeError::Cache { source };
        let cache = Cache::of(&settings.cache, &settings.directory);
        cache.create().map_err(failed)?;
        let authority = Authority::new(&settings, Arc::clone(&now))
            .map_err(|source| AcmeError::Client { source })?;
        let about = About {
            settings,
            cache,
            authority,
            tls,
            now,
            state: Mutex::default(),
            asked: Notify::new(),
            given: watch::Sender::new(0),
        };
        let renewal_at = about.take_from_cache().map_err(failed)?;
        about.plan(renewal_at).map_err(failed)?;
        Ok(Keeper {
            about: Arc::new(about),
        })
    }

    /// How it stands.
    pub fn progress(&self) -> Progress {
        self.about.state().progress.clone()
    }

    /// Whether the listener has a certificate.
    pub fn has_certificate(&self) -> bool {
        self.about.tls.status().not_after_secs.is_some()
    }

    /// Ready once the authority has given a certificate, which is in use then.
    pub async fn given(&self) {
        let mut given = self.about.given.subscribe();
        if given
            .wait_for(|certificates| *certificates > 0)
            .await
            .is_err()
        {
            // The sender is held by ourselves.
            std::future::pending().await
        }
    }

    /// Ask the authority now, if the last attempt has failed and is not a minute old.
    pub fn ask_now(&self) {
        self.about.asked.notify_one();
    }

    /// Gets and renews certificates until `stop` is cancelled, which breaks off what is under way.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.about.due() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return self.about.broken_off().await,
                () = self.about.attempt() => {}
            }
        }
    }
}

impl About {
    /// When what is in the cache has to be renewed.
    fn take_from_cache(&self) -> Result<Option<i64>, CacheError> {
        let kept = match self.cache.certificate() {
            Err(CacheError::Damaged { path, what }) => {
                let aside = self.cache.put_aside(&path)?;
                error!(
                    file = %path.display(), what, kept_as = %aside.display(),
                    "the cached certificate is damaged; a new one is ordered"
                );
                None
            }
            kept => kept?,
        };
        let Some(Kept {
            chain,
            key,
            validity,
            ordered,
        }) = kept
        else {
            info!(names = ?self.settings.names, "there is no certificate yet; one is ordered");
            return Ok(None);
        };
        if let Err(error) = self.tls.install(chain, key) {
            let path = self.cache.certificate_file();
            let aside = self.cache.put_aside(&path)?;
            error!(
                error = &error as &dyn std::error::Error,
                file = %path.display(), kept_as = %aside.display(),
                "the cached certificate cannot be used; a new one is ordered"
            );
            return Ok(None);
        }
        if same_names(&ordered.names, &self.settings.names) {
            let jitter = rand::random();
            // The clock may have been wrong.
            let ordered_at = ordered.at_secs.min((self.now)());
            return Ok(Some(renew_at(validity, ordered_at, jitter)));
        }
        info!(
            cached = ?ordered.names, wanted = ?self.settings.names,
            "the cached certificate is for other names; a new one is ordered, that one is in use until then"
        );
        Ok(None)
    }

    /// When the first attempt is: what has failed before a restart counts on.
    fn plan(&self, renewal_at: Option<i64>) -> Result<(), CacheError> {
        let now = (self.now)();
        let attempts = match self.cache.attempts() {
            Err(CacheError::Damaged { path, .. }) => {
                self.cache.put_aside(&path)?;
                None
            }
            attempts => attempts?,
        };
        // Of a certificate that is not due, something was left when the process ended.
        let is_due = renewal_at.is_none_or(|due| due <= now);
        if !is_due {
            self.cache.forget_order()?;
        }
        let attempts = attempts.filter(|attempts| is_due && attempts.names == self.settings.names);
        let mut next_at_secs = renewal_at.unwrap_or(now);
        let mut state = self.state();
        if let Some(attempts) = attempts {
            state.failures_in_a_row = attempts.failures;
            next_at_secs = next_at_secs.max(attempts.next_at_secs.min(now + LONGEST_WAIT_SECS));
            let broken_off = || "the last attempt was broken off".to_owned();
            let trouble = attempts.trouble.unwrap_or_else(broken_off);
            if next_at_secs > now && renewal_at.is_none() {
                warn!(
                    failures = attempts.failures,
                    next_attempt_secs = next_at_secs - now,
                    trouble,
                    "earlier attempts to get a certificate have failed; the next one is later (SIGHUP: now)"
                );
            }
            state.progress.trouble = Some(trouble);
        }
        state.progress.next_at_secs = next_at_secs;
        Ok(())
    }

    /// Ready when the next attempt is due, or somebody asks for it who may.
    async fn due(&self) {
        loop {
            let wait = self.state().progress.next_at_secs - (self.now)();
            let Ok(wait @ 1..) = u64::try_from(wait) else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep(LOOK.min(Duration::from_secs(wait))) => {}
                () = self.asked.notified() => {
                    let state = self.state();
                    let rested = (self.now)() - state.begun_at_secs >= ASKED_SECS;
                    if state.progress.trouble.is_some() && rested {
                        return;
                    }
                }
            }
        }
    }

    /// Asks the authority for a certificate. That it is being asked is kept first: a crash on the way
    /// must not make a crowd of requests out of restarts.
    async fn attempt(&self) {
        let now = (self.now)();
        let failures = {
            let mut state = self.state();
            state.begun_at_secs = now;
            state.failures_in_a_row
        };
        let begun = self.keep_attempts(failures, now + ASKED_SECS, None);
        let outcome = match begun.await {
            Ok(()) => self.order().await,
            Err(source) => Err(AcmeError::Cache { source }),
        };
        match outcome {
            Ok(renewal_at) => self.succeeded(renewal_at),
            Err(error) => self.failed(&error).await,
        }
    }

    /// As if the attempt that was broken off had not begun: the next process need not wait.
    async fn broken_off(&self) {
        let (failures, next_at, trouble) = {
            let state = self.state();
            let progress = &state.progress;
            (
                state.failures_in_a_row,
                progress.next_at_secs,
                progress.trouble.clone(),
            )
        };
        let kept = match trouble {
            None => on_disk(&self.cache, Cache::forget_attempts).await,
            trouble => self.keep_attempts(failures, next_at, trouble).await,
        };
        if let Err(error) = kept {
            warn!(
                error = &error as &dyn std::error::Error,
                "an attempt to get a certificate was broken off, and this was not written down"
            );
        }
    }

    async fn order(&self) -> Result<i64, AcmeError> {
        let Issued { chain, key } = obtain(&self.settings, &self.cache, &self.authority, &self.tls)
            .await
            .map_err(|source| AcmeError::Order { source })?;
        let pem = |source| AcmeError::Pem { source };
        let certificates = CertificateDer::pem_slice_iter(chain.as_bytes());
        let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(pem)?;
        let own_key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(pem)?;
        let ordered = Ordered {
            names: self.settings.names.clone(),
            at_secs: (self.now)(),
        };
        let validity = certificates.first().and_then(|own| Validity::of(own));
        let source = TlsError::Unreadable;
        let validity = validity.ok_or(AcmeError::Use { source })?;
        if validity.not_after_secs <= ordered.at_secs && self.has_valid_certificate() {
            let source = TlsError::Expired;
            return Err(AcmeError::Use { source });
        }
        let renewal_at = renew_at(validity, ordered.at_secs, rand::random());
        // Tried before it is kept: what cannot be used must not stand in the cache.
        self.tls
            .install(certificates, own_key)
            .map_err(|source| AcmeError::Use { source })?;
        let kept = on_disk(&self.cache, move |cache| {
            // The order first: it must not be taken up again once its certificate is there.
            cache.keep_certificate(&ordered, &chain, &key)?;
            cache.forget_order()?;
            cache.forget_attempts()
        });
        // It is in use and good for its time. To order it again would not free the disk.
        if let Err(error) = kept.await {
            error!(
                error = &error as &dyn std::error::Error,
                "the new certificate is in use and could not be kept: a restart orders another one"
            );
        }
        Ok(renewal_at)
    }

    fn has_valid_certificate(&self) -> bool {
        let not_after = self.tls.status().not_after_secs;
        not_after.is_some_and(|not_after| not_after > (self.now)())
    }

    async fn keep_attempts(
        &self,
        failures: u32,
        next_at_secs: i64,
        trouble: Option<String>,
    ) -> Result<(), CacheError> {
        let attempts = Attempts {
            names: self.settings.names.clone(),
            failures,
            next_at_secs,
            trouble,
        };
        on_disk(&self.cache, move |cache| cache.keep_attempts(&attempts)).await
    }

    fn succeeded(&self, renewal_at: i64) {
        info!(
            names = ?self.settings.names,
            not_after_secs = self.tls.status().not_after_secs,
            renewed_at_secs = renewal_at,
            "a new certificate of the authority is in use"
        );
        let mut state = self.state();
        state.failures_in_a_row = 0;
        state.progress.orders += 1;
        self.given.send_replace(state.progress.orders);
        state.progress.next_at_secs = renewal_at;
        state.progress.trouble = None;
    }

    async fn failed(&self, failure: &AcmeError) {
        let now = (self.now)();
        let failures = self.state().failures_in_a_row.saturating_add(1);
        let wanted = self.authority.wanted_until().unwrap_or(now);
        let next_at = now + wait_secs(failures, rand::random());
        let next_at = next_at.max(wanted.min(now + LONGEST_WAIT_SECS));
        let trouble = in_a_line(failure);
        let kept = self.keep_attempts(failures, next_at, Some(trouble.clone()));
        if let Err(error) = kept.await {
            warn!(
                error = &error as &dyn std::error::Error,
                "a failed attempt to get a certificate was not written down"
            );
        }
        self.tell_failure(&trouble, failures, next_at - now);
        let mut state = self.state();
        state.failures_in_a_row = failures;
        state.progress.failures += 1;
        state.progress.next_at_secs = next_at;
        state.progress.trouble = Some(trouble);
    }

    fn tell_failure(&self, trouble: &str, failures: u32, next_attempt_secs: i64) {
        match self.tls.status().not_after_secs {
            None => error!(
                failures,
                next_attempt_secs, trouble, "there is still no certificate, nobody can connect"
            ),
            Some(not_after_secs) if not_after_secs <= (self.now)() => error!(
                failures,
                next_attempt_secs,
                not_after_secs,
                trouble,
                "the certificate has expired and was not renewed"
            ),
            Some(not_after_secs) => warn!(
                failures,
                next_attempt_secs,
                not_after_secs,
                trouble,
                "the certificate was not renewed, the old one stays"
            ),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn same_names(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().all(|name| other.contains(name))
}

/// An error and what is behind it.
fn in_a_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their source.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
