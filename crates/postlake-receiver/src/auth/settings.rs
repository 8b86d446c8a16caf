//! What can be configured. Every value of these types is sound: what is not cannot be made.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, header};
use ipnet::IpNet;

use super::allow_list::{Resolver, SystemResolver};
use super::secret::{Secret, SecretFault};
use crate::kept_headers;

/// The credentials of the ingest listener, each kind a list: all of them are valid at once.
/// [`AuthSettings::default`] has none, which leaves the listener open.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// User names with their passwords.
    pub basic: Vec<BasicLogin>,
    /// Clients of the token endpoint. One client may be there several times, with other secrets.
    pub oauth2: Vec<OAuthClient>,
    /// Secrets in headers of any name.
    pub headers: Vec<HeaderSecret>,
    /// Values of `X-MessageSystems-Webhook-Token`.
    pub webhook_tokens: Vec<Secret>,
    /// Secrets in the path of alerts, made with [`Secret::for_path`].
    pub alert_secrets: Vec<Secret>,
    /// How long a token is valid. 1 h.
    pub token_lifetime: Duration,
    /// What tokens are for: one that was issued for another audience is not valid. `postlake`.
    pub token_audience: String,
    /// Addresses that requests may come from.
    pub allow: AllowSettings,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            basic: Vec::new(),
            oauth2: Vec::new(),
            headers: Vec::new(),
            webhook_tokens: Vec::new(),
            alert_secrets: Vec::new(),
            token_lifetime: Duration::from_secs(3600),
            token_audience: "postlake".to_owned(),
            allow: AllowSettings::default(),
            trusted_proxies: Vec::new(),
        }
    }
}

impl AuthSettings {
    /// Whether anything is protected. An allow list alone protects nothing: addresses are not secret.
    pub fn has_credentials(&self) -> bool {
        self.opens_events() || !self.alert_secrets.is_empty()
    }

    /// Whether there is a credential that events can come with.
    pub fn opens_events(&self) -> bool {
        !self.basic.is_empty()
            || !self.oauth2.is_empty()
            || !self.headers.is_empty()
            || !self.webhook_tokens.is_empty()
    }
}

/// A user name with its password.
#[derive(Debug, Clone)]
pub struct BasicLogin {
    pub(super) username: String,
    pub(super) password: Option<Secret>,
}

impl BasicLogin {
    /// A login with a password.
    ///
    /// # Errors
    /// `None` of it: the name is empty or holds a colon or a control character (RFC 7617, 2).
    pub fn new(username: &str, password: Secret) -> Option<Self> {
        let sound = !username.is_empty() && !username.chars().any(|c| c == ':' || c.is_control());
        sound.then(|| Self {
            username: username.to_owned(),
            password: Some(password),
        })
    }

    /// A login whose password is empty, which SparkPost allows: then the name is the secret.
    ///
    /// # Errors
    /// The name is no secret, or `NotPlain` when it holds a colon.
    pub fn without_password(username: &str) -> Result<Self, SecretFault> {
        Secret::new(username)?;
        if username.contains(':') {
            return Err(SecretFault::NotPlain);
        }
        Ok(Self {
            username: username.to_owned(),
            password: None,
        })
    }
}

/// A client of the token endpoint.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    /// Its public name.
    pub client_id: String,
    /// Its secret; the key that signs its tokens is derived from it.
    pub client_secret: Secret,
}

/// A header whose value is a secret.
#[derive(Debug, Clone)]
pub struct HeaderSecret {
    name: HeaderName,
    value: Secret,
}

/// Why a header cannot hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// HTTP does not allow the name.
    #[error("`{name}` is not the name of a header")]
    NotAName {
        /// The name.
        name: String,
    },
    /// The header means something else to HTTP or to us, or its value is stored with the batch.
    #[error("`{name}` has a meaning of its own, take another such as X-Postlake-Key")]
    Taken {
        /// The name.
        name: String,
    },
}

/// Headers that HTTP needs for itself.
const TAKEN: [HeaderName; 6] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::EXPECT,
    header::COOKIE,
];

impl HeaderSecret {
    /// A secret in the header `name`.
    ///
    /// # Errors
    /// The name is none, or is one that must not hold a secret.
    pub fn new(name: &str, value: Secret) -> Result<Self, HeaderFault> {
        let spelled = || name.to_owned();
        let Ok(header) = HeaderName::try_from(name) else {
            return Err(HeaderFault::NotAName { name: spelled() });
        };
        if TAKEN.contains(&header) || kept_headers::is_kept(&header) {
            return Err(HeaderFault::Taken { name: spelled() });
        }
        Ok(Self {
            name: header,
            value,
        })
    }

    pub(super) fn parts(&self) -> (&HeaderName, &Secret) {
        (&self.name, &self.value)
    }
}

/// The second factor: where requests may come from. Without addresses and hosts there is no list.
///
/// It stands before events and before alerts without a secret in their path. Not before the secret
/// path, since nothing says where alerts come from, and not before the token endpoint.
#[derive(Debug, Clone)]
pub struct AllowSettings {
    /// Networks and single addresses.
    pub networks: Vec<IpNet>,
    /// Hosts whose addresses are looked up again and again; SparkPost publishes the addresses that
    /// its webhooks come from as those of `wh.egress.sparkpost.com` (webhooks guide, authentication).
    pub hosts: Vec<String>,
    /// What happens while none of the hosts could be looked up.
    pub unresolved: Unresolved,
    /// Who looks hosts up.
    pub resolver: Arc<dyn Resolver>,
}

impl Default for AllowSettings {
    fn default() -> Self {
        Self {
            networks: Vec::new(),
            hosts: Vec::new(),
            unresolved: Unresolved::Refuse,
            resolver: Arc::new(SystemResolver),
        }
    }
}

/// What to do with a request while no address of the hosts is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    /// Refuse it: SparkPost sends events again for 8 hours.
    Refuse,
    /// Let it in, if its credential is right.
    Admit,
}

/// A network, or one address.
pub(super) fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}
