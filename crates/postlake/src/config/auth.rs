//! `[ingest.auth]`: which credentials there are, and where their secrets lie.
//!
//! The configuration names secrets, it never holds them: each is in a file, in a variable, or handed over
//! by systemd. They are read by the process that takes webhooks, and by `check`. No fault of a value here repeats the value:
//! somebody may have put a secret where a name belongs.

use std::path::Path;
use std::time::Duration;

use figment::Figment;
use figment::value::{Dict, Value};
use postlake_receiver::{
    AllowSettings, AuthSettings, BasicLogin, HeaderSecret, OAuthClient, Secret, Unresolved,
};

use super::faults::Faults;
use super::secret_source::{CREDENTIALS_DIRECTORY, SecretSource};
use super::{duration, networks};

const KEY: &str = "ingest.auth";
const KEYS: [&str; 14] = [
    "basic",
    "oauth2",
    "headers",
    "webhook_token_files",
    "webhook_token_envs",
    "webhook_token_credentials",
    "alert_secret_files",
    "alert_secret_envs",
    "alert_secret_credentials",
    "token_lifetime",
    "token_audience",
    "allow_addresses",
    "allow_hosts",
    "allow_unresolved",
];
/// How long tokens may live: a shorter life is fetched for nearly every batch, a longer one is a
/// password.
const TOKEN_LIFETIME: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(86_400));

/// What is configured, without the secrets.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuthKeys {
    pub(crate) basic: Vec<BasicKeys>,
    pub(crate) oauth2: Vec<NamedSecret>,
    pub(crate) headers: Vec<NamedSecret>,
    pub(crate) webhook_tokens: Vec<SecretSource>,
    pub(crate) alert_secrets: Vec<SecretSource>,
    pub(crate) allow_addresses: Vec<ipnet::IpNet>,
    pub(crate) allow_hosts: Vec<String>,
    allow_unresolved: Option<Unresolved>,
    token_lifetime: Option<Duration>,
    token_audience: Option<String>,
}

/// A user; without a password the name is the secret.
#[derive(Clone, Debug)]
pub(crate) struct BasicKeys {
    pub(crate) username: String,
    pub(crate) password: Option<SecretSource>,
}

/// A client id or the name of a header, with its secret.
#[derive(Clone, Debug)]
pub(crate) struct NamedSecret {
    pub(crate) name: String,
    pub(crate) secret: SecretSource,
}

impl AuthKeys {
    /// Whether anything is protected.
    pub(crate) fn has_credentials(&self) -> bool {
        self.opens_events() || !self.alert_secrets.is_empty()
    }

    /// Whether events can come in at all, once something is protected.
    pub(crate) fn opens_events(&self) -> bool {
        !self.basic.is_empty()
            || !self.oauth2.is_empty()
            || !self.headers.is_empty()
            || !self.webhook_tokens.is_empty()
    }

    /// Files that other users of this machine can read, in words.
    pub(crate) fn readable_by_others(&self) -> Vec<String> {
        let files = self.sources();
        files.filter_map(SecretSource::readable_by_others).collect()
    }

    /// The variables that hold secrets, or lead to them.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.sources().filter_map(|source| match source {
            SecretSource::Variable(name) => Some(name.as_str()),
            SecretSource::Credential(_) => Some(CREDENTIALS_DIRECTORY),
            SecretSource::File(_) => None,
        })
    }

    fn sources(&self) -> impl Iterator<Item = &SecretSource> {
        let basic = self
            .basic
            .iter()
            .filter_map(|login| login.password.as_ref());
        let named = self.oauth2.iter().chain(&self.headers);
        basic
            .chain(named.map(|named| &named.secret))
            .chain(&self.webhook_tokens)
            .chain(&self.alert_secrets)
    }

    /// Checks the section. Paths are relative to the folder of the configuration file.
    pub(super) fn read(figment: &Figment, folder: &Path, faults: &mut Faults) -> AuthKeys {
        let empty = Dict::new();
        let section = match figment.find_value(KEY) {
            Err(_) => return AuthKeys::default(),
            Ok(Value::Dict(_, section)) => section,
            Ok(_) => {
                faults.add(KEY, "must be a section");
                empty
            }
        };
        let mut reader = Reader { folder, faults };
        reader.only_known(KEY, &section, &KEYS);
        AuthKeys {
            basic: reader.tables(&section, "basic", Reader::basic),
            oauth2: reader.tables(&section, "oauth2", Reader::oauth2),
            headers: reader.tables(&section, "headers", Reader::header),
            webhook_tokens: reader.sources(&section, "webhook_token"),
            alert_secrets: reader.sources(&section, "alert_secret"),
            allow_hosts: reader.texts(&section, "allow_hosts"),
            allow_unresolved: reader.unresolved(&section),
            token_audience: reader.audience(&section),
            allow_addresses: networks(figment, "ingest.auth.allow_addresses", faults),
            token_lifetime: lifetime(figment, faults),
        }
    }

    /// Reads the secrets.
    pub(super) fn load(&self, faults: &mut Faults) -> AuthSettings {
        let usual = AuthSettings::default();
        AuthSettings {
            basic: loaded(&self.basic, "basic", faults, load_basic),
            oauth2: loaded(&self.oauth2, "oauth2", faults, |client| {
                Ok(OAuthClient {
                    client_id: client.name.clone(),
                    client_secret: client.secret.read(Secret::new)?,
                })
            }),
            headers: loaded(&self.headers, "headers", faults, |header| {
                let secret = header.secret.read(Secret::new)?;
                HeaderSecret::new(&header.name, secret).map_err(|fault| fault.to_string())
            }),
            webhook_tokens: loaded(
                &self.webhook_tokens,
                "webhook_token_files",
                faults,
                |token| token.read(Secret::new),
            ),
            alert_secrets: loaded(
                &self.alert_secrets,
                "alert_secret_files",
                faults,
                |secret| secret.read(Secret::for_path),
            ),
            token_lifetime: self.token_lifetime.unwrap_or(usual.token_lifetime),
            token_audience: self.token_audience.clone().unwrap_or(usual.token_audience),
            allow: AllowSettings {
                networks: self.allow_addresses.clone(),
                hosts: self.allow_hosts.clone(),
                unresolved: self.allow_unresolved.unwrap_or(usual.allow.unresolved),
                ..usual.allow
            },
            trusted_proxies: Vec::new(),
        }
    }
}

fn load_basic(login: &BasicKeys) -> Result<BasicLogin, String> {
    match &login.password {
        Some(password) => BasicLogin::new(&login.username, password.read(Secret::new)?)
            .ok_or_else(|| "a user name is not empty and has no colon".to_owned()),
        None => BasicLogin::without_password(&login.username).map_err(|fault| {
            format!("without a password the user name is the secret, and it {fault}")
        }),
    }
}

/// Every secret that can be read; the others are faults.
fn loaded<K, T>(
    keys: &[K],
    name: &str,
    faults: &mut Faults,
    load: impl Fn(&K) -> Result<T, String>,
) -> Vec<T> {
    let mut all = Vec::with_capacity(keys.len());
    for (index, key) in keys.iter().enumerate() {
        match load(key) {
            Ok(sound) => all.push(sound),
            Err(fault) => faults.add(&format!("{KEY}.{name}.{index}"), fault),
        }
    }
    all
}

fn lifetime(figment: &Figment, faults: &mut Faults) -> Option<Duration> {
    let key = "ingest.auth.token_lifetime";
    let lifetime = duration(figment, key, AuthSettings::default().token_lifetime, faults)?;
    let (least, most) = TOKEN_LIFETIME;
    if (least..=most).contains(&lifetime) {
        return Some(lifetime);
    }
    faults.add(key, "must be from 1s to 24h");
    None
}

struct Reader<'a> {
    folder: &'a Path,
    faults: &'a mut Faults,
}

impl Reader<'_> {
    fn only_known(&mut self, place: &str, table: &Dict, known: &[&str]) {
        let names: Vec<_> = known.iter().map(|key| format!("{place}.{key}")).collect();
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            let full = format!("{place}.{key}");
            if matches!(key.as_str(), "password" | "client_secret" | "value") {
                let message = format!(
                    "secrets are not written into the configuration: put it into a file and name \
                     that with {key}_file, or a variable with {key}_env, or what systemd hands over with \
                     {key}_credential"
                );
                self.faults.add(&full, message);
            } else {
                self.faults.unknown(&full, "key", &names);
            }
        }
    }

    /// The tables of a list.
    fn tables<T>(
        &mut self,
        section: &Dict,
        name: &str,
        read: impl Fn(&mut Self, &str, &Dict) -> Option<T>,
    ) -> Vec<T> {
        let key = format!("{KEY}.{name}");
        let mut all = Vec::new();
        for (index, item) in self.list(section, name).into_iter().enumerate() {
            let place = format!("{key}.{index}");
            match &item {
                Value::Dict(_, table) => all.extend(read(self, &place, table)),
                _ => self.faults.add(&place, "must be a table, as { ... }"),
            }
        }
        all
    }

    fn list(&mut self, section: &Dict, name: &str) -> Vec<Value> {
        match section.get(name) {
            None => Vec::new(),
            Some(Value::Array(_, items)) => items.clone(),
            Some(_) => {
                self.faults
                    .add(&format!("{KEY}.{name}"), "must be a list, as [ ... ]");
                Vec::new()
            }
        }
    }

    fn texts(&mut self, section: &Dict, name: &str) -> Vec<String> {
        let mut all = Vec::new();
        for (index, item) in self.list(section, name).into_iter().enumerate() {
            match item.as_str() {
                Some(text) => all.push(text.to_owned()),
                None => self
                    .faults
                    .add(&format!("{KEY}.{name}.{index}"), "must be text"),
            }
        }
        all
    }

    fn text(&mut self, place: &str, table: &Dict, name: &str) -> Option<String> {
        match table.get(name)? {
            Value::String(_, text) => Some(text.clone()),
            _ => {
                self.faults.add(&format!("{place}.{name}"), "must be text");
                None
            }
        }
    }

    fn name(&mut self, place: &str, table: &Dict, name: &str) -> Option<String> {
        let found = self.text(place, table, name);
        if found.as_ref().is_none_or(String::is_empty) {
            self.faults.add(&format!("{place}.{name}"), "is missing");
            return None;
        }
        found
    }

    /// One of `<name>_file`, `<name>_env` and `<name>_credential`.
    fn secret(&mut self, place: &str, table: &Dict, name: &str) -> Option<SecretSource> {
        let file = self.text(place, table, &format!("{name}_file"));
        let variable = self.text(place, table, &format!("{name}_env"));
        let credential = self.text(place, table, &format!("{name}_credential"));
        match (file, variable, credential) {
            (Some(file), None, None) => Some(SecretSource::File(self.folder.join(file))),
            (None, Some(variable), None) => Some(SecretSource::Variable(variable)),
            (None, None, Some(credential)) => Some(SecretSource::Credential(credential)),
            _ => {
                let message = format!("needs one of {name}_file, {name}_env and {name}_credential");
                self.faults.add(place, message);
                None
            }
        }
    }

    fn sources(&mut self, section: &Dict, name: &str) -> Vec<SecretSource> {
        let files = self.texts(section, &format!("{name}_files"));
        let variables = self.texts(section, &format!("{name}_envs"));
        let credentials = self.texts(section, &format!("{name}_credentials"));
        let files = files
            .into_iter()
            .map(|file| SecretSource::File(self.folder.join(file)));
        files
            .chain(variables.into_iter().map(SecretSource::Variable))
            .chain(credentials.into_iter().map(SecretSource::Credential))
            .collect()
    }

    fn basic(&mut self, place: &str, table: &Dict) -> Option<BasicKeys> {
        self.only_known(
            place,
            table,
            &[
                "username",
                "password_file",
                "password_env",
                "password_credential",
                "empty_password",
            ],
        );
        let username = self.name(place, table, "username");
        let password = match table.get("empty_password").map(Value::to_bool) {
            Some(Some(true)) if has_password(table) => {
                self.faults
                    .add(place, "has a password and says that it is empty");
                return None;
            }
            Some(Some(true)) => None,
            None | Some(Some(false)) => Some(self.secret(place, table, "password")?),
            Some(None) => {
                self.faults
                    .add(&format!("{place}.empty_password"), "must be true or false");
                return None;
            }
        };
        Some(BasicKeys {
            username: username?,
            password,
        })
    }

    fn oauth2(&mut self, place: &str, table: &Dict) -> Option<NamedSecret> {
        self.only_known(
            place,
            table,
            &[
                "client_id",
                "client_secret_file",
                "client_secret_env",
                "client_secret_credential",
            ],
        );
        let name = self.name(place, table, "client_id");
        let secret = self.secret(place, table, "client_secret")?;
        Some(NamedSecret {
            name: name?,
            secret,
        })
    }

    fn header(&mut self, place: &str, table: &Dict) -> Option<NamedSecret> {
        let known = ["name", "value_file", "value_env", "value_credential"];
        self.only_known(place, table, &known);
        let name = self.name(place, table, "name");
        let secret = self.secret(place, table, "value")?;
        Some(NamedSecret {
            name: name?,
            secret,
        })
    }

    fn unresolved(&mut self, section: &Dict) -> Option<Unresolved> {
        let text = self.text(KEY, section, "allow_unresolved")?;
        match text.as_str() {
            "refuse" => Some(Unresolved::Refuse),
            "admit" => Some(Unresolved::Admit),
            _ => {
                self.faults.add(
                    &format!("{KEY}.allow_unresolved"),
                    "must be refuse or admit",
                );
                None
            }
        }
    }

    fn audience(&mut self, section: &Dict) -> Option<String> {
        section.get("token_audience")?;
        self.name(KEY, section, "token_audience")
    }
}

fn has_password(table: &Dict) -> bool {
    let keys = ["password_file", "password_env", "password_credential"];
    keys.iter().any(|key| table.contains_key(*key))
}
