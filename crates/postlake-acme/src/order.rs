//! One order, from the account to the certificate.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Error, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use postlake_listen::{ChallengeAnswer, Tls, TlsError, read_capped};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tracing::{info, warn};

use crate::authority::Authority;
use crate::cache::{Cache, CacheError, KeptAccount, KeptOrder};
use crate::challenge::{CannotMake, answer};
use crate::settings::Settings;

/// How the authority is asked whether it is done.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));
/// Longest time for all of it.
const LIMIT: Duration = Duration::from_secs(300);
/// Orders in one attempt: the account may turn out to be gone, and nonces may be refused.
const ORDERS: usize = 3;

/// What is shown of an authority's words.
const MAX_SAID_CHARS: usize = 500;
const MAX_SUBPROBLEMS: usize = 10;
const MAX_KEY_FILE_BYTES: u64 = 64 * 1024;

const ERRORS: &str = "urn:ietf:params:acme:error:";
const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// A certificate with its key, in PEM.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The authority cannot be reached, or does not speak as it should.
    #[error("{doing}")]
    Exchange {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        source: Error,
    },
    /// The authority says no.
    #[error("{doing}: the authority says: {said}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// Its words.
        said: String,
        /// The kind of problem, as RFC 8555 names it.
        kind: String,
    },
    /// The authority has asked the name's address and not got our answer.
    #[error("prove that port 443 of {name} leads to this listener: the authority says: {said}")]
    Unproven {
        /// Which.
        name: String,
        /// Its words.
        said: String,
    },
    /// The authority knows no challenge that this listener can answer.
    #[error("the authority does not offer TLS-ALPN-01 for {name}")]
    NoChallenge {
        /// For which name.
        name: String,
    },
    /// A certificate for a challenge cannot be made.
    #[error("answer the challenge")]
    Answer {
        /// Why.
        source: CannotMake,
    },
    /// A certificate for a challenge cannot be used.
    #[error("answer the challenge")]
    Use {
        /// Why.
        source: TlsError,
    },
    /// Key or request cannot be made.
    #[error("make a key and a request")]
    Request {
        /// Why.
        source: rcgen::Error,
    },
    /// The key of the account outside of ACME cannot be read.
    #[error("read the key in {path}")]
    ExternalAccount {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Account or order cannot be kept.
    #[error("keep account and order")]
    Keep {
        /// Why.
        source: CacheError,
    },
    /// Not within five minutes.
    #[error("no certificate within {} s", LIMIT.as_secs())]
    TooLong,
}

impl OrderError {
    fn of(doing: &'static str) -> impl Fn(Error) -> OrderError {
        move |error| match error {
            Error::Api(problem) => OrderError::Refused {
                doing,
                said: said(&problem),
                kind: problem.r#type.unwrap_or_default(),
            },
            source => OrderError::Exchange { doing, source },
        }
    }

    fn is(&self, wanted: &str) -> bool {
        matches!(self, OrderError::Refused { kind, .. } if kind == wanted)
    }
}

/// What the authority says, without our library's words around it, and not more than fits a line.
fn said(problem: &Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_default();
    for part in problem.subproblems.iter().take(MAX_SUBPROBLEMS) {
        let name = part.identifier.as_ref();
        let name = name.map_or(String::new(), |name| {
            format!("{}: ", name.authorized(false))
        });
        let detail = part.detail.as_deref().unwrap_or_default();
        text = format!("{text}; {name}{detail}");
    }
    if let Some(kind) = &problem.r#type {
        text = format!("{text} ({})", kind.trim_start_matches(ERRORS));
    }
    match text.char_indices().nth(MAX_SAID_CHARS) {
        None => text,
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

/// A certificate for the names of `settings`, proven over `tls`. An account is made where there is
/// none, and kept before anything is ordered with it.
pub(crate) async fn obtain(
    settings: &Settings,
    cache: &Cache,
    authority: &Authority,
    tls: &Tls,
) -> Result<Issued, OrderError> {
    let orders = async {
        let mut orders = 0;
        loop {
            orders += 1;
            let issued = async {
                let account = account(settings, cache, authority).await?;
                order(settings, cache, &account, tls).await
            };
            match issued.await {
                Err(error) if orders < ORDERS && error.is(BAD_NONCE) => {}
                Err(error) if orders < ORDERS && error.is(NO_ACCOUNT) => {
                    put_account_aside(cache, &error.to_string()).await?;
                }
                ended => return ended,
            }
        }
    };
    match tokio::time::timeout(LIMIT, orders).await {
        Ok(ended) => ended,
        Err(_elapsed) => Err(OrderError::TooLong),
    }
}

async fn account(
    settings: &Settings,
    cache: &Cache,
    authority: &Authority,
) -> Result<Account, OrderError> {
    let kept = match on_disk(cache, Cache::account).await {
        Err(CacheError::Damaged { path, what }) => {
            put_account_aside(cache, &format!("{} is damaged: {what}", path.display())).await?;
            None
        }
        kept => kept.map_err(|source| OrderError::Keep { source })?,
    };
    let builder = Account::builder_with_http(Box::new(authority.clone()));
    let Some(mut kept) = kept else {
        return new_account(settings, cache, authority).await;
    };
    // Credentials cannot be copied, and are needed again when contacts have changed.
    let again = serde_json::to_value(&kept.credentials).and_then(serde_json::from_value);
    let account = builder.from_credentials(kept.credentials).await;
    let account = account.map_err(OrderError::of("ask for the directory"))?;
    if kept.contacts != settings.contacts {
        let contacts = mailto(&settings.contacts);
        let contacts: Vec<_> = contacts.iter().map(String::as_str).collect();
        let updated = account.update_contacts(&contacts).await;
        updated.map_err(OrderError::of("change the contacts of the account"))?;
        let again = again.map_err(|error| OrderError::of("keep the account")(error.into()))?;
        kept = KeptAccount {
            contacts: settings.contacts.clone(),
            credentials: again,
        };
        keep(cache, kept).await?;
    }
    Ok(account)
}

async fn new_account(
    settings: &Settings,
    cache: &Cache,
    authority: &Authority,
) -> Result<Account, OrderError> {
    let contacts = mailto(&settings.contacts);
    let contacts: Vec<_> = contacts.iter().map(String::as_str).collect();
    let wanted = NewAccount {
        contact: &contacts,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let external = external_account(settings).await?;
    let builder = Account::builder_with_http(Box::new(authority.clone()));
    let made = builder.create(&wanted, settings.directory.to_string(), external.as_ref());
    let (account, credentials) = made.await.map_err(OrderError::of("make an account"))?;
    let kept = KeptAccount {
        contacts: settings.contacts.clone(),
        credentials,
    };
    keep(cache, kept).await?;
    info!(
        account = account.id(),
        "there is an account at the authority"
    );
    Ok(account)
}

/// The account outside of ACME that the settings name.
async fn external_account(settings: &Settings) -> Result<Option<ExternalAccountKey>, OrderError> {
    let Some(external) = settings.external_account.clone() else {
        return Ok(None);
    };
    let path = external.hmac_key_file.clone();
    let failed = |source: io::Error| OrderError::ExternalAccount {
        path: external.hmac_key_file.clone(),
        source,
    };
    let read = tokio::task::spawn_blocking(move || hmac_key(&path)).await;
    let key = read.map_err(io::Error::other).and_then(|key| key);
    let key = key.map_err(failed)?;
    Ok(Some(ExternalAccountKey::new(external.key_id, &key)))
}

/// Base64 in either alphabet, with or without `=` at its end: authorities differ.
fn hmac_key(path: &Path) -> io::Result<Vec<u8>> {
    let text = read_capped(path, MAX_KEY_FILE_BYTES)?;
    let no_base64 = || io::Error::new(ErrorKind::InvalidData, "it is not in base64");
    let text = String::from_utf8(text).map_err(|_| no_base64())?;
    let text = text.trim().trim_end_matches('=');
    let text = text.replace('+', "-").replace('/', "_");
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| no_base64())
}

async fn keep(cache: &Cache, account: KeptAccount) -> Result<(), OrderError> {
    let kept = on_disk(cache, move |cache| cache.keep_account(&account)).await;
    kept.map_err(|source| OrderError::Keep { source })
}

async fn put_account_aside(cache: &Cache, reason: &str) -> Result<(), OrderError> {
    let aside = on_disk(cache, Cache::put_account_aside).await;
    let aside = aside.map_err(|source| OrderError::Keep { source })?;
    warn!(
        reason,
        kept_as = %aside.display(),
        "the account at the authority cannot be used; a new one is made"
    );
    Ok(())
}

/// Files are read and written where waiting is allowed.
pub(crate) async fn on_disk<T: Send + 'static>(
    cache: &Cache,
    action: impl FnOnce(&Cache) -> Result<T, CacheError> + Send + 'static,
) -> Result<T, CacheError> {
    let folder = cache.folder().to_owned();
    let cache = cache.clone();
    match tokio::task::spawn_blocking(move || action(&cache)).await {
        Ok(done) => done,
        Err(broken) => Err(CacheError::Io {
            doing: "use",
            path: folder,
            source: std::io::Error::other(broken),
        }),
    }
}

fn mailto(contacts: &[String]) -> Vec<String> {
    let contacts = contacts.iter();
    contacts.map(|mail| format!("mailto:{mail}")).collect()
}

/// One that was under way is taken up again, and forgotten when the authority wants it no more.
async fn order(
    settings: &Settings,
    cache: &Cache,
    account: &Account,
    tls: &Tls,
) -> Result<Issued, OrderError> {
    let (mut order, key) = match under_way(settings, cache, account).await? {
        Some(order) => order,
        None => new_order(settings, cache, account).await?,
    };
    let issued = complete(settings, &mut order, &key, tls).await;
    if let Err(OrderError::Refused { .. } | OrderError::Unproven { .. }) = &issued {
        forget_order(cache).await?;
    }
    let chain = issued?;
    Ok(Issued { chain, key })
}

async fn complete(
    settings: &Settings,
    order: &mut Order,
    key: &str,
    tls: &Tls,
) -> Result<String, OrderError> {
    if order.state().status == OrderStatus::Pending {
        let answers = prove(order, tls).await?;
        be_seen(order).await?;
        drop(answers);
    }
    if order.state().status == OrderStatus::Ready {
        let request = request(&settings.names, key);
        let request = request.map_err(|source| OrderError::Request { source })?;
        let finalized = order.finalize_csr(&request).await;
        finalized.map_err(OrderError::of("hand in the request for the certificate"))?;
    }
    let chain = order.poll_certificate(&POLLS).await;
    chain.map_err(OrderError::of("wait for the certificate"))
}

/// The order that an earlier attempt has left, with its key, if the authority still wants it.
async fn under_way(
    settings: &Settings,
    cache: &Cache,
    account: &Account,
) -> Result<Option<(Order, String)>, OrderError> {
    let kept = match on_disk(cache, Cache::order).await {
        Err(CacheError::Damaged { .. }) => None,
        kept => kept.map_err(|source| OrderError::Keep { source })?,
    };
    let Some(kept) = kept.filter(|kept| kept.names == settings.names) else {
        return Ok(None);
    };
    let order = match account.order(kept.url).await {
        Ok(mut order) => Some((order.state().status, order)),
        Err(Error::Api(_)) => None,
        Err(error) => {
            return Err(OrderError::of("ask for the order that is under way")(error));
        }
    };
    match order {
        Some((status, order)) if status != OrderStatus::Invalid => Ok(Some((order, kept.key))),
        _ => forget_order(cache).await.map(|()| None),
    }
}

/// An order that is kept before anything is done with it.
async fn new_order(
    settings: &Settings,
    cache: &Cache,
    account: &Account,
) -> Result<(Order, String), OrderError> {
    let names = settings.names.iter().cloned();
    let names: Vec<_> = names.map(Identifier::Dns).collect();
    let order = account.new_order(&NewOrder::new(&names)).await;
    let order = order.map_err(OrderError::of("order a certificate"))?;
    let key = KeyPair::generate().map_err(|source| OrderError::Request { source })?;
    let key = key.serialize_pem();
    let kept = KeptOrder {
        names: settings.names.clone(),
        url: order.url().to_owned(),
        key: key.clone(),
    };
    let kept = on_disk(cache, move |cache| cache.keep_order(&kept)).await;
    kept.map_err(|source| OrderError::Keep { source })?;
    Ok((order, key))
}

async fn forget_order(cache: &Cache) -> Result<(), OrderError> {
    let forgotten = on_disk(cache, Cache::forget_order).await;
    forgotten.map_err(|source| OrderError::Keep { source })
}

/// Waits until the authority has seen the answers.
async fn be_seen(order: &mut Order) -> Result<(), OrderError> {
    let doing = "wait for the authority's look at this server";
    let refused = match order.poll_ready(&POLLS).await {
        Ok(OrderStatus::Invalid) => OrderError::Refused {
            doing,
            said: "the order is invalid".to_owned(),
            kind: String::new(),
        },
        Err(error @ Error::Api(_)) => OrderError::of(doing)(error),
        seen => return seen.map(drop).map_err(OrderError::of(doing)),
    };
    Err(unproven(order).await.unwrap_or(refused))
}

/// Tells the authority to look at this server for each name that it does not know yet. The answers
/// stand as long as what comes back.
async fn prove(order: &mut Order, tls: &Tls) -> Result<Vec<ChallengeAnswer>, OrderError> {
    let mut answers = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization =
            authorization.map_err(OrderError::of("ask what there is to prove"))?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
            return Err(OrderError::NoChallenge { name });
        };
        let digest = challenge.key_authorization().digest();
        let made = answer(&name, digest.as_ref());
        let made = made.map_err(|source| OrderError::Answer { source })?;
        let standing = tls.answer_challenge(&name, made.certificate, made.key);
        answers.push(standing.map_err(|source| OrderError::Use { source })?);
        // Of an order that is taken up again the authority may have been told already.
        if challenge.status == ChallengeStatus::Pending {
            let told = challenge.set_ready().await;
            told.map_err(OrderError::of("say that the challenge can be looked at"))?;
        }
    }
    Ok(answers)
}

/// The first name that could not be proven, and why, if the authority tells.
async fn unproven(order: &mut Order) -> Option<OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        authorization.refresh().await.ok()?;
        let mut challenges = authorization.challenges.iter();
        if let Some(problem) = challenges.find_map(|challenge| challenge.error.as_ref()) {
            return Some(OrderError::Unproven {
                name: authorization.identifier().to_string(),
                said: said(problem),
            });
        }
    }
    None
}

/// The request for a certificate with that key, in DER.
fn request(names: &[String], key: &str) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::new(names.to_owned())?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&KeyPair::from_pem(key)?)?;
    Ok(request.der().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(json: &str) -> Problem {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_words_of_an_authority_fit_a_line() {
        let usual = r#"{"type":"urn:ietf:params:acme:error:dns","detail":"no such name"}"#;
        assert_eq!(said(&problem(usual)), "no such name (dns)");
        let parts = r#"{"detail":"two","subproblems":[{"detail":"one"},
            {"detail":"other","identifier":{"type":"dns","value":"a.example"}}]}"#;
        assert_eq!(said(&problem(parts)), "two; one; a.example: other");
        let endless = format!(r#"{{"detail":"{}"}}"#, "\u{e9}".repeat(100_000));
        let told = said(&problem(&endless));
        assert!(
            told.ends_with("...") && told.len() < 1_100,
            "{}",
            told.len()
        );
    }

    #[test]
    fn keys_are_taken_in_both_alphabets() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hmac.secret");
        for (text, expected) in [
            ("-_8\n", Some(vec![0xfb, 0xff])),
            ("+/8=", Some(vec![0xfb, 0xff])),
            ("no base64!", None),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(hmac_key(&file).ok(), expected, "{text}");
        }
    }
}
