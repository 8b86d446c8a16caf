//! What is in force, key by key, and who said so.

use std::path::PathBuf;

use figment::Figment;
use figment::value::{Num, Value};
use serde::Serialize;

use super::faults::{is_from_environment, leaves, variable};
use super::secret_source::credential;
use super::{DEFAULT_FILE, Flags, KeepSettings, Settings, folder, sources};
use crate::exit::Failure;

/// Words in the last part of a key that mean that its value is not shown.
const SECRET_WORDS: [&str; 5] = ["password", "secret", "token", "value", "key"];
/// What stands for a secret.
const NOT_SHOWN: &str = "(not shown)";
/// Ends of keys that have such a word and hold something else.
const HARMLESS: [&str; 7] = [
    "_env",
    "_envs",
    "_credential",
    "_credentials",
    "_lifetime",
    "_audience",
    "empty_password",
];

/// A key, what is in force for it, and where that comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Effective {
    /// The full key.
    pub(crate) key: String,
    /// The value as text; secrets masked.
    pub(crate) value: String,
    /// `default`, `flag`, a file or a variable.
    pub(crate) from: String,
}

/// All keys with their values, for people: secrets are masked.
///
/// # Errors
/// When the file that was named does not exist.
pub(crate) fn effective(flags: &Flags, settings: &Settings) -> Result<Vec<Effective>, Failure> {
    let figment = sources(flags)?;
    let origin = Origin {
        figment: &figment,
        file: flags
            .file
            .as_ref()
            .map_or(DEFAULT_FILE.to_owned(), |file| file.display().to_string()),
    };
    let mut all: Vec<Effective> = known(settings, flags)
        .into_iter()
        .map(|(key, value, flagged)| Effective {
            from: origin.of(key, flagged),
            key: key.to_owned(),
            value,
        })
        .collect();
    let leaves = leaves(&figment);
    for (key, value) in &leaves {
        if !all.iter().any(|known| known.key == *key) {
            let value = match is_secret_name(key, &leaves) {
                true => NOT_SHOWN.to_owned(),
                false => shown(key, value),
            };
            all.push(Effective {
                from: origin.of(key, false),
                value,
                key: key.clone(),
            });
        }
    }
    if !all.iter().any(|known| known.key.starts_with("sinks")) {
        all.extend(sinks(settings));
    }
    all.push(traces(settings));
    Ok(all)
}

/// A user name beside which it says that the password is empty: then the name is the secret.
fn is_secret_name(key: &str, leaves: &[(String, Value)]) -> bool {
    let Some(table) = key.strip_suffix(".username") else {
        return false;
    };
    let says_so = format!("{table}.empty_password");
    let beside = leaves.iter().find(|(key, _)| *key == says_so);
    beside.is_some_and(|(_, value)| value.to_bool() == Some(true))
}

/// Every file that the configuration names, with its key; credentials of systemd where they are.
///
/// # Errors
/// When the file that was named does not exist.
pub(crate) fn named_files(flags: &Flags) -> Result<Vec<(String, PathBuf)>, Failure> {
    let figment = sources(flags)?;
    let path = |key: &str, value: &Value| match last_name(key) {
        name if names_file(name) => Some(folder(flags).join(value.as_str()?)),
        name if names_credential(name) => credential(value.as_str()?).ok(),
        _ => None,
    };
    Ok(leaves(&figment)
        .into_iter()
        .filter_map(|(key, value)| path(&key, &value).map(|path| (key, path)))
        .collect())
}

/// The last part of a key that is no place in a list.
fn last_name(key: &str) -> &str {
    let mut parts = key.rsplit('.');
    parts
        .find(|part| part.parse::<usize>().is_err())
        .unwrap_or_default()
}

fn names_file(name: &str) -> bool {
    name.ends_with("_file") || name.ends_with("_files")
}

fn names_credential(name: &str) -> bool {
    name.ends_with("_credential") || name.ends_with("_credentials")
}

struct Origin<'a> {
    figment: &'a Figment,
    file: String,
}

impl Origin<'_> {
    fn of(&self, key: &str, flagged: bool) -> String {
        if flagged {
            "flag".to_owned()
        } else if self.figment.find_value(list_of(key)).is_err() {
            "default".to_owned()
        } else if is_from_environment(self.figment, key) {
            variable(key)
        } else {
            self.file.clone()
        }
    }
}

/// The key up to the list that it is in, if it is in one.
fn list_of(key: &str) -> &str {
    let mut end = 0;
    for part in key.split('.') {
        if part.parse::<usize>().is_ok() {
            return key.get(..end).unwrap_or(key);
        }
        end += part.len() + usize::from(end > 0);
    }
    key
}

/// The keys that have a value in any case.
fn known(settings: &Settings, flags: &Flags) -> Vec<(&'static str, String, bool)> {
    let receiver = &settings.receiver;
    vec![
        ("store.url", settings.data.to_string(), flags.data.is_some()),
        (
            "ingest.listen",
            settings.ingest_listen.to_string(),
            flags.ingest_listen.is_some(),
        ),
        (
            "ingest.max_body_bytes",
            receiver.max_body_bytes.to_string(),
            false,
        ),
        (
            "ingest.max_inflight_bytes",
            receiver.max_inflight_bytes.to_string(),
            false,
        ),
        (
            "ingest.commit_interval",
            format!("{:?}", receiver.commit_interval),
            false,
        ),
        (
            "ingest.min_free_bytes",
            or_by_disk(
                settings.disk.min_free_bytes,
                "5 % of the disk, at most 512 MiB",
            ),
            false,
        ),
        (
            "ingest.reserve_bytes",
            or_by_disk(
                settings.disk.reserve_bytes,
                "1/64 of the disk, at most 64 MiB",
            ),
            false,
        ),
        (
            "read.listen",
            settings.read_listen.to_string(),
            flags.read_listen.is_some(),
        ),
        (
            "admin.listen",
            settings.admin_listen.to_string(),
            flags.admin_listen.is_some(),
        ),
        (
            "load.interval",
            format!("{:?}", settings.load.interval),
            false,
        ),
        (
            "load.commit_age",
            format!("{:?}", settings.load.commit_age),
            false,
        ),
        (
            "load.commit_rows",
            settings.load.commit_rows.to_string(),
            false,
        ),
        (
            "load.key_memory_bytes",
            settings.load.key_memory_bytes.to_string(),
            false,
        ),
        (
            "load.key_disk_bytes",
            settings.load.key_disk_bytes.to_string(),
            false,
        ),
    ]
    .into_iter()
    .chain(kept(&settings.keep))
    .collect()
}

/// How the lake is kept.
fn kept(keep: &KeepSettings) -> [(&'static str, String, bool); 8] {
    let rules = &keep.rules;
    let rule = |days: Option<u32>| match days {
        Some(days) => format!("{days}d"),
        None => "for ever".to_owned(),
    };
    [
        ("lake.compact", keep.compact.to_string(), false),
        (
            "lake.upkeep_interval",
            format!("{:?}", keep.upkeep_interval),
            false,
        ),
        (
            "lake.vacuum_after",
            format!("{:?}", keep.vacuum_after),
            false,
        ),
        ("retention.raw", rule(rules.raw), false),
        ("retention.events", rule(rules.events), false),
        ("retention.alerts", rule(rules.alerts), false),
        ("retention.quarantine", rule(rules.quarantine), false),
        ("retention.batches", rule(rules.batches), false),
    ]
}

fn or_by_disk(bytes: Option<u64>, usual: &str) -> String {
    bytes.map_or_else(|| usual.to_owned(), |bytes| bytes.to_string())
}

/// The sinks that there are when nobody says so.
fn sinks(settings: &Settings) -> Vec<Effective> {
    let names: Vec<_> = settings
        .sinks
        .iter()
        .map(|sink| sink.name.as_str())
        .collect();
    let value = match names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    vec![Effective {
        key: "sinks".to_owned(),
        value,
        from: "default".to_owned(),
    }]
}

fn traces(settings: &Settings) -> Effective {
    let (value, from) = match &settings.traces {
        None => ("off".to_owned(), "default"),
        Some(traces) => (traces.in_words(), traces.from),
    };
    Effective {
        key: "traces".to_owned(),
        value,
        from: from.to_owned(),
    }
}

fn shown(key: &str, value: &Value) -> String {
    let last = last_name(key);
    let harmless = HARMLESS.iter().any(|end| last.ends_with(end));
    let secret =
        !names_file(last) && !harmless && SECRET_WORDS.iter().any(|word| last.contains(word));
    if secret {
        return NOT_SHOWN.to_owned();
    }
    match value {
        Value::String(_, text) if text.contains("://") => without_password(text),
        Value::String(_, text) => text.clone(),
        Value::Char(_, character) => character.to_string(),
        Value::Bool(_, value) => value.to_string(),
        Value::Num(_, number) => number_text(*number),
        _ => "(empty)".to_owned(),
    }
}

fn number_text(number: Num) -> String {
    match (number.to_u128(), number.to_i128(), number.to_f64()) {
        (Some(number), _, _) => number.to_string(),
        (_, Some(number), _) => number.to_string(),
        (_, _, Some(number)) => number.to_string(),
        _ => "a number".to_owned(),
    }
}

/// A URL without its password, which may stand in front of the host or in a parameter.
fn without_password(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(mut url) => {
            if url.password().is_some() && url.set_password(Some("xxxxx")).is_err() {
                return NOT_SHOWN.to_owned();
            }
            if url.query().is_some() {
                url.set_query(Some("xxxxx"));
            }
            url.to_string()
        }
        Err(_) => NOT_SHOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_names_of_files_are_not() {
        let value = |text: &str| Value::from(text.to_owned());
        let cases = [
            ("ingest.auth.basic.0.password", "s3cret", "(not shown)"),
            (
                "ingest.auth.basic.0.password_file",
                "basic.secret",
                "basic.secret",
            ),
            (
                "ingest.auth.webhook_token_files.0",
                "legacy.secret",
                "legacy.secret",
            ),
            ("ingest.auth.headers.0.value", "s3cret", "(not shown)"),
            ("ingest.auth.headers.0.value_credential", "key", "key"),
            ("ingest.auth.basic.0.username", "sparkpost", "sparkpost"),
            (
                "sinks.0.url",
                "postgres://user:s3cret@db/x?password=s3cret",
                "postgres://user:xxxxx@db/x?xxxxx",
            ),
        ];
        for (key, text, expected) in cases {
            assert_eq!(shown(key, &value(text)), expected, "{key}");
        }
    }
}
