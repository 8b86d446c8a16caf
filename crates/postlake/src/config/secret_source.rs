//! Where a secret lies, and how it is read from there.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use postlake_receiver::{Secret, SecretFault};

/// No secret is longer, and a file that is has been named by mistake.
const MAX_FILE_BYTES: u64 = 4096;

/// Set by systemd for a unit with `LoadCredential`: the folder that holds what is named there.
pub(crate) const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// A file, a variable, or a file that systemd hands to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretSource {
    File(PathBuf),
    Variable(String),
    Credential(String),
}

impl SecretSource {
    /// The secret, made by `sound`.
    ///
    /// # Errors
    /// What is wrong, without a word of the content.
    pub(crate) fn read(
        &self,
        sound: impl Fn(&str) -> Result<Secret, SecretFault>,
    ) -> Result<Secret, String> {
        let text = self.text()?;
        sound(&text).map_err(|fault| format!("{self} {fault}"))
    }

    /// The text as it stands there, without the newline at its end.
    ///
    /// # Errors
    /// When there is none, in words.
    pub(crate) fn text(&self) -> Result<String, String> {
        match self {
            SecretSource::File(path) => file_text(path),
            SecretSource::Variable(name) => match std::env::var(name) {
                Ok(text) => Ok(text),
                Err(std::env::VarError::NotPresent) => Err(format!("{self} is not set")),
                Err(std::env::VarError::NotUnicode(_)) => Err(format!("{self} is not text")),
            },
            SecretSource::Credential(name) => file_text(&credential(name)?),
        }
    }

    /// What to do when other users of this machine can read it.
    pub(crate) fn readable_by_others(&self) -> Option<String> {
        let SecretSource::File(path) = self else {
            return None;
        };
        let mode = path.metadata().ok()?.permissions().mode();
        let path = path.display();
        (mode & 0o007 != 0)
            .then(|| format!("{path} is open to every user of this machine: chmod o= {path}"))
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::File(path) => write!(formatter, "the file {}", path.display()),
            SecretSource::Variable(name) => write!(formatter, "the variable {name}"),
            SecretSource::Credential(name) => write!(formatter, "the credential {name}"),
        }
    }
}

/// Where systemd puts what the unit calls so.
///
/// # Errors
/// When that is no such name, or not started by systemd, in words.
pub(super) fn credential(name: &str) -> Result<PathBuf, String> {
    // One part of a path, that leads nowhere else.
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(
            "a credential has the name that LoadCredential= gives it, without a path".to_owned(),
        );
    }
    match std::env::var_os(CREDENTIALS_DIRECTORY) {
        Some(folder) => Ok(Path::new(&folder).join(name)),
        None => Err(format!(
            "the credential {name} cannot be read: {CREDENTIALS_DIRECTORY} is not set, as systemd does for a \
             unit with LoadCredential=; to try by hand, name the folder of the secrets by it"
        )),
    }
}

fn file_text(path: &Path) -> Result<String, String> {
    let failed =
        |error: std::io::Error| format!("the file {} cannot be read: {error}", path.display());
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "the reader is cut by take")]
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!(
            "the file {} is no secret, it is too long",
            path.display()
        ));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_not_utf8| format!("the file {} is not text", path.display()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}
