//! Which credentials are on, and what to enter in SparkPost's forms. Names where secrets lie, never a
//! secret.

use postlake_sparkpost::{ALERTS_PATH, EVENTS_PATH, TOKEN_PATH};

use crate::config::{AuthKeys, NamedSecret, SecretSource};

/// A line for each credential.
pub(super) fn lines(auth: &AuthKeys) -> Vec<String> {
    let basic = auth.basic.iter().map(|login| match &login.password {
        Some(password) => format!("basic, user {}, password in {password}", login.username),
        None => "basic, a secret user name, no password".to_owned(),
    });
    let oauth2 = auth.oauth2.iter().map(|client| {
        let NamedSecret { name, secret } = client;
        format!("OAuth 2.0, client {name}, secret in {secret}")
    });
    let headers = auth
        .headers
        .iter()
        .map(|header| format!("header {}, value in {}", header.name, header.secret));
    let tokens = auth
        .webhook_tokens
        .iter()
        .map(|secret| format!("old webhook token in {secret}"));
    let alerts = auth
        .alert_secrets
        .iter()
        .map(|secret| format!("alerts, the end of their path in {secret}"));
    let all = basic
        .chain(oauth2)
        .chain(headers)
        .chain(tokens)
        .chain(alerts);
    let mut lines: Vec<String> = all
        .enumerate()
        .map(|(index, text)| match index {
            0 => format!("  takes      {text}"),
            _ => format!("             {text}"),
        })
        .collect();
    if !auth.allow_hosts.is_empty() || !auth.allow_addresses.is_empty() {
        let hosts = auth.allow_hosts.iter().cloned();
        let addresses = auth.allow_addresses.iter().map(ToString::to_string);
        let places: Vec<_> = hosts.chain(addresses).collect();
        lines.push(format!(
            "             events from {} alone",
            places.join(", ")
        ));
    }
    lines
}

/// What stays open, or shut although somebody may want it open.
pub(super) fn gaps(auth: &AuthKeys) -> Vec<&'static str> {
    if !auth.has_credentials() {
        return vec!["not protected: whoever reaches the webhook paths can post"];
    }
    let mut gaps = Vec::new();
    if auth.alert_secrets.is_empty() {
        gaps.push(
            "closed: SparkPost's alerts, which carry no credentials; ingest.auth.alert_secret_files opens a secret path",
        );
    }
    if !auth.opens_events() {
        gaps.push("closed: events; the only credential is for alerts");
    }
    gaps
}

/// What to enter where events are created.
pub(super) fn events_form(auth: &AuthKeys, host: &str) -> Vec<String> {
    let mut lines = vec![format!(
        "  Webhooks > Create: Target URL {host}{EVENTS_PATH}, all events, authentication:"
    )];
    for login in &auth.basic {
        let password = match &login.password {
            Some(password) => format!("the content of {password}"),
            None => "empty".to_owned(),
        };
        let username = match &login.password {
            Some(_) => &login.username,
            None => "as configured",
        };
        lines.push(format!(
            "    Basic Auth: Username {username}, Password: {password}"
        ));
    }
    for client in &auth.oauth2 {
        lines.push(format!(
            "    OAuth 2.0: Client ID {}, Client Secret: the content of {}, Token URL {host}{TOKEN_PATH}",
            client.name, client.secret
        ));
    }
    for header in &auth.headers {
        lines.push(format!(
            "    None, with the custom header {}: the content of {}",
            header.name, header.secret
        ));
    }
    for token in &auth.webhook_tokens {
        lines.push(format!(
            "    nothing new: old webhooks send the content of {token}"
        ));
    }
    if !auth.opens_events() {
        lines.push("    None".to_owned());
    }
    lines
}

/// What `trigger` needs to be let in with events, or with alerts if only those are.
pub(super) fn trigger_arguments(auth: &AuthKeys) -> String {
    let named = |kind: &str, name: &str, secret: &SecretSource| match secret {
        SecretSource::File(path) => {
            let path = path.display();
            format!(" --auth {kind}{name} --auth-file {path}")
        }
        SecretSource::Variable(variable) => {
            format!(" --auth {kind}{name} (with {variable} as POSTLAKE_TRIGGER_SECRET)")
        }
        SecretSource::Credential(credential) => {
            format!(" --auth {kind}{name} --auth-file <the original of {credential}>")
        }
    };
    let name = |name: &str| format!(" --auth-name {name}");
    let basic = auth.basic.iter().find_map(|login| {
        let password = login.password.as_ref()?;
        Some(named("basic", &name(&login.username), password))
    });
    let oauth2 = || {
        let client = auth.oauth2.first()?;
        Some(named("oauth2", &name(&client.name), &client.secret))
    };
    let header = || {
        let header = auth.headers.first()?;
        Some(named("header", &name(&header.name), &header.secret))
    };
    let token = || Some(named("token", "", auth.webhook_tokens.first()?));
    let alerts = || {
        Some(named(
            "alert-path --alerts",
            "",
            auth.alert_secrets.first()?,
        ))
    };
    let first = basic
        .or_else(oauth2)
        .or_else(header)
        .or_else(token)
        .or_else(alerts);
    first.unwrap_or_default()
}

/// What to enter where alerts are created.
pub(super) fn alerts_form(auth: &AuthKeys, host: &str) -> String {
    let end = match auth.alert_secrets.first() {
        Some(secret) => format!("/<the content of {secret}>"),
        None => String::new(),
    };
    format!(
        "  Alerts > Create, metric Health Score, above 0, any subaccount: Webhook {host}{ALERTS_PATH}{end}"
    )
}
