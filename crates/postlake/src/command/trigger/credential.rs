//! The credential of `--auth`. Its secret comes from a file or the environment, never from a flag.

use postlake_sparkpost::{Credential, Sender, TOKEN_PATH};

use crate::cli::{AuthKind, TriggerArgs};
use crate::config::SecretSource;
use crate::exit::{Exit, Failure};

/// Holds the secret when no file is named.
const VARIABLE: &str = "POSTLAKE_TRIGGER_SECRET";

/// The sender, with the credential that the arguments describe.
///
/// # Errors
/// When something is missing or the secret cannot be read.
pub(super) fn with(
    sender: Sender,
    kind: AuthKind,
    arguments: &TriggerArgs,
) -> Result<Sender, Failure> {
    let source = match &arguments.auth_file {
        Some(file) => SecretSource::File(file.clone()),
        None => SecretSource::Variable(VARIABLE.to_owned()),
    };
    let secret = source
        .text()
        .map_err(|fault| Failure::new(Exit::Config, format!("the secret of --auth: {fault}")))?;
    let credential = match kind {
        AuthKind::Basic => Credential::Basic {
            username: name(arguments, "the user")?,
            password: secret,
        },
        AuthKind::Oauth2 => Credential::OAuth2 {
            token_url: token_url(arguments)?,
            client_id: name(arguments, "the client id")?,
            client_secret: secret,
        },
        AuthKind::Header => Credential::Header {
            name: name(arguments, "the header")?,
            value: secret,
        },
        AuthKind::Token => Credential::Header {
            name: "X-MessageSystems-Webhook-Token".to_owned(),
            value: secret,
        },
        AuthKind::AlertPath if !arguments.alerts => {
            let message = "--auth alert-path is for alerts: say --alerts too";
            return Err(Failure::new(Exit::Config, message));
        }
        AuthKind::AlertPath => Credential::AlertPath { secret },
    };
    sender
        .with_credential(&credential)
        .map_err(|source| Failure::caused(Exit::Config, "use the credential of --auth", source))
}

fn name(arguments: &TriggerArgs, what: &str) -> Result<String, Failure> {
    arguments
        .auth_name
        .clone()
        .ok_or_else(|| Failure::new(Exit::Config, format!("--auth-name is missing: {what}")))
}

/// The server's own endpoint, if no other is named.
fn token_url(arguments: &TriggerArgs) -> Result<String, Failure> {
    if let Some(url) = &arguments.token_url {
        return Ok(url.clone());
    }
    let mut url = url::Url::parse(&arguments.url)
        .map_err(|source| Failure::caused(Exit::Data, "read the URL", source))?;
    url.set_path(TOKEN_PATH);
    url.set_query(None);
    Ok(url.into())
}
