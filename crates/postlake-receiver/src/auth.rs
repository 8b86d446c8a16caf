//! Who may post: the configured credentials, checked before a body is read.
//!
//! Any credential that is configured lets a request in (any of, not all of); several of one kind are
//! valid at once, for rotation. The allow list is another matter: where there is one, a request needs
//! both, an address on it and a credential. Without any credential the listener is open.
//!
//! Of a secret only its SHA-256 digest is kept, and what a request brings is compared with all of
//! them in constant time: one digest of a short header for each credential that the request brings,
//! whoever it claims to be. A right credential is never slowed; wrong ones are, by address.
//!
//! SparkPost's schemes are those of its webhooks guide ("Webhooks: authentication", "Custom headers"):
//! none, basic (the password may be empty), OAuth 2.0 client credentials, up to five custom headers,
//! and the deprecated `X-MessageSystems-Webhook-Token`. Its alerts carry no credentials at all, so
//! they have a secret in their path.

#[cfg(test)]
mod tests;

mod allow_list;
mod basic;
mod client_address;
mod failed_logins;
mod secret;
mod settings;
mod tokens;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use postlake_raw::clock::Clock;
use tokio_util::sync::CancellationToken;

use self::allow_list::AllowList;
use self::basic::Logins;
use self::failed_logins::FailedLogins;
use self::secret::Digest;
use self::tokens::{Tokens, Verdict};

pub use self::allow_list::{Resolver, SystemResolver};
pub(crate) use self::basic::parts as basic_parts;
pub use self::secret::{Secret, SecretFault};
pub use self::settings::{
    AllowSettings, AuthSettings, BasicLogin, HeaderFault, HeaderSecret, OAuthClient, Unresolved,
};
pub(crate) use self::tokens::Issued;

/// Where alerts with a secret in their path come in.
pub(crate) const ALERTS_PREFIX: &str = "/webhooks/alerts/";
/// SparkPost's own header of old webhooks (webhook reference, "deprecated").
const WEBHOOK_TOKEN: HeaderName = HeaderName::from_static("x-messagesystems-webhook-token");
/// How many values of one header are looked at.
const MAX_VALUES: usize = 4;
/// Longest header value that is looked at, in bytes.
const MAX_VALUE_BYTES: usize = 4096;

/// The credentials, prepared for checking.
pub(crate) struct Auth {
    open: bool,
    basic: Logins,
    tokens: Option<Tokens>,
    headers: Vec<(HeaderName, Vec<Digest>)>,
    alert_paths: Vec<Digest>,
    trusted_proxies: Vec<ipnet::IpNet>,
    allow_list: Option<Arc<AllowList>>,
    failed: FailedLogins,
}

/// Why a request is not let in. None of its content says whose credential was tried.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The address is not on the allow list.
    Address,
    /// No credential, or none that is valid.
    Credentials {
        /// Where the request came from.
        from: IpAddr,
        /// What was wrong.
        fault: LoginFault,
    },
}

/// What was wrong with the credentials of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginFault {
    /// There were none.
    Absent,
    /// A token of ours that has expired: its owner fetches another one and is not slowed.
    Expired,
    /// Anything else.
    Wrong,
}

impl Auth {
    /// Prepares what is configured.
    pub(crate) fn new(settings: &AuthSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            open: !settings.has_credentials(),
            basic: Logins::new(&settings.basic),
            tokens: Tokens::new(settings, clock),
            headers: header_digests(settings),
            alert_paths: settings.alert_secrets.iter().map(alert_path).collect(),
            trusted_proxies: settings.trusted_proxies.clone(),
            allow_list: AllowList::new(&settings.allow),
            failed: FailedLogins::default(),
        }
    }

    /// Keeps the allow list's addresses fresh until `stop`, on the current tokio runtime.
    pub(crate) fn keep_fresh(&self, stop: CancellationToken) {
        if let Some(list) = self.allow_list.as_ref().filter(|list| list.has_hosts()) {
            drop(tokio::spawn(Arc::clone(list).keep_fresh(stop)));
        }
    }

    /// Whether a webhook with these headers may come in.
    pub(crate) fn check(&self, head: &Parts) -> Result<(), Denied> {
        let (headers, peer) = (&head.headers, peer_of(head));
        let listed = |list: &Arc<AllowList>| {
            client_address::of(headers, peer, &self.trusted_proxies)
                .is_some_and(|address| list.admits(address))
        };
        if !self.allow_list.as_ref().is_none_or(listed) {
            return Err(Denied::Address);
        }
        if self.open {
            return Ok(());
        }
        self.credentials(headers)
            .map_err(|fault| self.denied(head, fault))
    }

    /// Whether the path is one with a valid alert secret. Costs the same for every path of a length.
    pub(crate) fn opens_alerts(&self, path: &str) -> bool {
        Digest::of(path.as_bytes()).is_among(&self.alert_paths)
    }

    /// Whether there is a token endpoint.
    pub(crate) fn issues_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// A token for a client that says who it is; `None` when that is not true.
    pub(crate) fn issue(&self, client_id: &str, client_secret: &str) -> Option<Issued> {
        self.tokens.as_ref()?.issue(client_id, client_secret)
    }

    /// A refusal for want of credentials.
    pub(crate) fn denied(&self, head: &Parts, fault: LoginFault) -> Denied {
        let from = client_address::of(&head.headers, peer_of(head), &self.trusted_proxies);
        Denied::Credentials {
            from: from.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            fault,
        }
    }

    /// Counts a wrong login against its address, and holds its answer back when there were many.
    pub(crate) async fn slow_down(&self, denied: &Denied) {
        if let Denied::Credentials {
            from,
            fault: LoginFault::Wrong,
        } = denied
        {
            self.failed.slow_down(*from).await;
        }
    }

    /// What a 401 asks for (RFC 9110, 11.6.1; RFC 6750, 3).
    pub(crate) fn challenges(&self, fault: LoginFault) -> Vec<HeaderValue> {
        let mut challenges = Vec::new();
        if self.tokens.is_some() {
            challenges.push(HeaderValue::from_static(match fault {
                LoginFault::Absent => "Bearer realm=\"postlake\"",
                LoginFault::Expired => {
                    "Bearer realm=\"postlake\", error=\"invalid_token\", error_description=\"the token has expired\""
                }
                LoginFault::Wrong => "Bearer realm=\"postlake\", error=\"invalid_token\"",
            }));
        }
        if !self.basic.is_empty() {
            let basic = "Basic realm=\"postlake\", charset=\"UTF-8\"";
            challenges.push(HeaderValue::from_static(basic));
        }
        if challenges.is_empty() {
            // A 401 has to name a scheme; a secret header has no registered one.
            challenges.push(HeaderValue::from_static("Secret realm=\"postlake\""));
        }
        challenges
    }

    /// Looks at every credential that the headers bring.
    fn credentials(&self, headers: &HeaderMap) -> Result<(), LoginFault> {
        let mut fault = LoginFault::Absent;
        for value in values(headers, &header::AUTHORIZATION) {
            match self.authorization(value) {
                Ok(()) => return Ok(()),
                Err(LoginFault::Absent) => {}
                Err(LoginFault::Expired) => fault = LoginFault::Expired,
                Err(LoginFault::Wrong) if fault != LoginFault::Expired => fault = LoginFault::Wrong,
                Err(LoginFault::Wrong) => {}
            }
        }
        for (name, digests) in &self.headers {
            for value in values(headers, name) {
                if Digest::of(value).is_among(digests) {
                    return Ok(());
                }
                if fault == LoginFault::Absent {
                    fault = LoginFault::Wrong;
                }
            }
        }
        Err(fault)
    }

    fn authorization(&self, value: &[u8]) -> Result<(), LoginFault> {
        if let Some(login) = of_scheme(value, b"basic") {
            return self.basic.admit(login).ok_or(LoginFault::Wrong);
        }
        match (of_scheme(value, b"bearer"), &self.tokens) {
            (Some(token), Some(tokens)) => match tokens.verify(token) {
                Verdict::Valid => Ok(()),
                Verdict::Expired => Err(LoginFault::Expired),
                Verdict::Wrong => Err(LoginFault::Wrong),
            },
            _ => Err(LoginFault::Wrong),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

/// The other end of the request's connection, as the server has noted it.
pub(crate) fn peer_of(head: &Parts) -> Option<SocketAddr> {
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(peer)| *peer)
}

/// What follows the scheme (in any case) and its spaces.
pub(crate) fn of_scheme<'a>(value: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (name, rest) = value.split_at_checked(scheme.len())?;
    let credentials = rest.trim_ascii();
    let is_it = name.eq_ignore_ascii_case(scheme) && rest.first() == Some(&b' ');
    is_it.then_some(credentials)
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).iter().take(MAX_VALUES);
    values
        .map(HeaderValue::as_bytes)
        .filter(|value| value.len() <= MAX_VALUE_BYTES)
}

/// The digests of header secrets by header; the webhook token is one of them.
fn header_digests(settings: &AuthSettings) -> Vec<(HeaderName, Vec<Digest>)> {
    let webhook_token = WEBHOOK_TOKEN;
    let tokens = settings
        .webhook_tokens
        .iter()
        .map(|secret| (&webhook_token, secret));
    let secrets = settings.headers.iter().map(HeaderSecret::parts);
    let mut by_header: Vec<(HeaderName, Vec<Digest>)> = Vec::new();
    for (name, secret) in secrets.chain(tokens) {
        let digest = Digest::of(secret.as_bytes());
        match by_header.iter_mut().find(|(known, _)| known == name) {
            Some((_, digests)) => digests.push(digest),
            None => by_header.push((name.clone(), vec![digest])),
        }
    }
    by_header
}

fn alert_path(secret: &Secret) -> Digest {
    Digest::of(&[ALERTS_PREFIX.as_bytes(), secret.as_bytes()].concat())
}
