//! Configuration: defaults, then `postlake.toml`, then the environment, then flags.
//!
//! Reading is in two steps: the raw form mirrors the file and refuses unknown keys, the checked form
//! ([`Settings`]) is what the code uses. All faults are reported at once, each with its key.

mod acme;
mod auth;
mod disk;
mod duration;
mod effective;
mod faults;
mod keep;
mod load;
mod networks;
mod secret_source;
mod sinks;
mod tls;
mod traces;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format as _, Toml};
use figment::value::{Dict, Value};
use ipnet::IpNet;
use postlake_listen::{CertificateFiles, Limits};
use postlake_location::DataUrl;
use serde::Deserialize;

use crate::exit::{Exit, Failure};
pub(crate) use auth::{AuthKeys, NamedSecret};
pub(crate) use disk::DiskSettings;
pub(crate) use duration::parse_duration;
pub(crate) use effective::{Effective, effective, named_files};
pub(crate) use faults::Faults;
pub(crate) use keep::{KeepSettings, KeptDays, LONGEST_VACUUM_AFTER};
pub(crate) use load::LoadSettings;
use networks::networks;
pub(crate) use secret_source::SecretSource;
pub(crate) use sinks::{DynamoDbTable, SinkKind, SinkSettings};
pub(crate) use tls::IngestTls;
pub(crate) use traces::{BatchSettings, Protocol, Sampler, TraceSettings};

const DEFAULT_FILE: &str = "postlake.toml";

/// Every key there is, by section. Sinks are checked by themselves.
const KNOWN_KEYS: &[(&str, &[&str])] = &[
    ("store", &["url"]),
    (
        "ingest",
        &[
            "listen",
            "max_body_bytes",
            "max_inflight_bytes",
            "commit_interval",
            "min_free_bytes",
            "reserve_bytes",
            "auth",
            "trusted_proxies",
            "max_connections",
            "drain_notice",
            "tls",
        ],
    ),
    ("read", &["listen", "tls"]),
    ("admin", &["listen"]),
    (
        "load",
        &[
            "interval",
            "commit_age",
            "commit_rows",
            "key_memory_bytes",
            "key_disk_bytes",
        ],
    ),
    ("lake", &["compact", "upkeep_interval", "vacuum_after"]),
    (
        "retention",
        &["raw", "events", "alerts", "quarantine", "batches"],
    ),
];

/// What the code uses.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The file that was read, if it was named; absolute.
    pub(crate) file: Option<PathBuf>,
    pub(crate) data: DataUrl,
    pub(crate) ingest_listen: SocketAddr,
    pub(crate) receiver: postlake_receiver::Config,
    pub(crate) disk: DiskSettings,
    /// Which credentials there are. Their secrets are in `receiver.auth`, if they were asked for.
    pub(crate) auth: AuthKeys,
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Somebody has said that nothing need protect the ingest listener.
    pub(crate) open_to_everyone: bool,
    pub(crate) ingest_tls: Option<IngestTls>,
    pub(crate) read_listen: SocketAddr,
    pub(crate) read_tls: Option<CertificateFiles>,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) load: LoadSettings,
    pub(crate) keep: KeepSettings,
    pub(crate) sinks: Vec<SinkSettings>,
    /// Where traces go, if they do.
    pub(crate) traces: Option<TraceSettings>,
}

/// What flags say; they win over everything else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) data: Option<String>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) ingest_listen: Option<SocketAddr>,
    pub(crate) read_listen: Option<SocketAddr>,
    pub(crate) admin_listen: Option<SocketAddr>,
    pub(crate) open_to_everyone: bool,
    /// Read the secrets of the ingest listener too; only who takes webhooks needs them.
    pub(crate) secrets: bool,
    /// Look at the variables of OpenTelemetry; who sends no traces cannot be stopped by them.
    pub(crate) traces: bool,
}

impl Settings {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// All faults that there are, each with its key.
    pub(crate) fn read(flags: &Flags) -> Result<Settings, Failure> {
        match Settings::try_read(flags)? {
            Ok(settings) => Ok(settings),
            Err(faults) => Err(Failure::new(Exit::Config, faults.to_string())),
        }
    }

    /// As [`Settings::read`], with the faults one by one.
    ///
    /// # Errors
    /// When the file that was named does not exist.
    pub(crate) fn try_read(flags: &Flags) -> Result<Result<Settings, Faults>, Failure> {
        let figment = sources(flags)?;
        let mut faults = Faults::of(&figment);
        unknown_keys(&figment, &mut faults);
        Ok(match checked(&figment, flags, &mut faults) {
            Some(settings) if faults.is_empty() => Ok(settings),
            _ => Err(faults),
        })
    }
}

/// Where traces go, if they do and nothing is wrong with it: whoever reads the settings tells that.
pub(crate) fn trace_settings() -> Option<TraceSettings> {
    traces::from_environment().ok().flatten()
}

fn sources(flags: &Flags) -> Result<Figment, Failure> {
    let mut figment = Figment::new();
    let file = match &flags.file {
        Some(file) => Some(file.as_path()),
        None => Some(Path::new(DEFAULT_FILE)).filter(|file| file.is_file()),
    };
    if let Some(file) = file {
        if !file.is_file() {
            let message = format!("the configuration file {} does not exist", file.display());
            return Err(Failure::new(Exit::Config, message));
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    // `POSTLAKE_INGEST__LISTEN` is `listen` under `[ingest]`, `POSTLAKE_SINKS` the whole list; other
    // variables are not ours.
    let environment = Env::prefixed("POSTLAKE_")
        .filter(|key| key.as_str().contains("__") || key == "sinks")
        .split("__");
    Ok(figment.merge(environment))
}

fn unknown_keys(figment: &Figment, faults: &mut Faults) {
    let top: Dict = match figment.extract() {
        Ok(top) => top,
        Err(error) => {
            for error in error {
                faults.add("file", error);
            }
            return;
        }
    };
    let sections: Vec<_> = KNOWN_KEYS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    for (section, value) in &top {
        if section == "sinks" {
            continue;
        }
        let Some((_, known)) = KNOWN_KEYS.iter().find(|(name, _)| name == section) else {
            faults.unknown(section, "section", &sections);
            continue;
        };
        let Value::Dict(_, keys) = value else {
            faults.add(section, "must be a section");
            continue;
        };
        let full = |key: &str| format!("{section}.{key}");
        let names: Vec<_> = known.iter().map(|key| full(key)).collect();
        for key in keys.keys().filter(|key| !known.contains(&key.as_str())) {
            faults.unknown(&full(key), "key", &names);
        }
    }
}

fn checked(figment: &Figment, flags: &Flags, faults: &mut Faults) -> Option<Settings> {
    let url = faults.value(figment, "store.url", "./postlake-data".to_owned());
    let url = flags.data.clone().or(url);
    let data = url.and_then(|url| match DataUrl::parse(&url) {
        Ok(data) => Some(data),
        Err(error) => {
            faults.add("store.url", error);
            None
        }
    });
    let ingest_listen = address(figment, "ingest.listen", "127.0.0.1:8025", faults);
    let read_listen = address(figment, "read.listen", "127.0.0.1:8080", faults);
    let admin_listen = address(figment, "admin.listen", "127.0.0.1:8026", faults);
    let mut receiver = receiver(figment, faults);
    let trusted_proxies = networks(figment, "ingest.trusted_proxies", faults);
    let auth = AuthKeys::read(figment, folder(flags), faults);
    if let Some(receiver) = receiver.as_mut().filter(|_| flags.secrets) {
        receiver.auth = auth.load(faults);
        receiver.auth.trusted_proxies = trusted_proxies.clone();
    }
    let disk = disk(figment, faults);
    let ingest_tls = tls::ingest(figment, (folder(flags), data.as_ref()), faults);
    let read_tls = tls::read(figment, faults);
    let load = load::read(figment, faults);
    let keep = keep::read(figment, faults);
    let sinks = sinks::sinks(figment, faults);
    let traces = flags.traces.then(|| traces(faults)).flatten();
    let file = flags.file.as_deref();
    Some(Settings {
        file: file.and_then(|file| std::path::absolute(file).ok()),
        data: data?,
        ingest_listen: flags.ingest_listen.or(ingest_listen)?,
        receiver: receiver?,
        disk: disk?,
        auth,
        trusted_proxies,
        open_to_everyone: flags.open_to_everyone,
        ingest_tls: ingest_tls?,
        read_tls: read_tls?,
        read_listen: flags.read_listen.or(read_listen)?,
        admin_listen: flags.admin_listen.or(admin_listen)?,
        load: load?,
        keep: keep?,
        sinks: sinks?,
        traces,
    })
}

fn traces(faults: &mut Faults) -> Option<TraceSettings> {
    traces::from_environment().unwrap_or_else(|wrong| {
        wrong
            .iter()
            .for_each(|(name, message)| faults.add(name, message));
        None
    })
}

/// Where the configuration file lies: paths in it are relative to that.
fn folder(flags: &Flags) -> &Path {
    let folder = flags.file.as_deref().and_then(Path::parent);
    folder.unwrap_or(Path::new(""))
}

fn address(figment: &Figment, key: &str, default: &str, faults: &mut Faults) -> Option<SocketAddr> {
    let text = faults.value(figment, key, default.to_owned())?;
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            faults.add(key, format!("`{text}` is not an address such as {default}"));
            None
        }
    }
}

fn duration(
    figment: &Figment,
    key: &str,
    default: Duration,
    faults: &mut Faults,
) -> Option<Duration> {
    let text = match faults.value(figment, key, TimeText::Text(String::new()))? {
        TimeText::Text(text) if text.is_empty() => return Some(default),
        TimeText::Text(text) => text,
        TimeText::Secs(secs) => secs.to_string(),
    };
    match parse_duration(&text) {
        Ok(duration) => Some(duration),
        Err(message) => {
            faults.add(key, message);
            None
        }
    }
}

/// `"5s"`, or seconds as a bare number.
#[derive(Deserialize)]
#[serde(untagged)]
enum TimeText {
    Secs(u64),
    Text(String),
}

fn receiver(figment: &Figment, faults: &mut Faults) -> Option<postlake_receiver::Config> {
    let usual = postlake_receiver::Config::default();
    let config = postlake_receiver::Config {
        max_body_bytes: faults.value(figment, "ingest.max_body_bytes", usual.max_body_bytes)?,
        max_inflight_bytes: faults.value(
            figment,
            "ingest.max_inflight_bytes",
            usual.max_inflight_bytes,
        )?,
        commit_interval: duration(
            figment,
            "ingest.commit_interval",
            usual.commit_interval,
            faults,
        )?,
        connections: connections(figment, faults)?,
        ..usual
    };
    for fault in config.faults() {
        faults.add(&format!("ingest.{}", fault.key), &fault);
    }
    Some(config)
}

/// What is not said depends on the size of the disk.
fn disk(figment: &Figment, faults: &mut Faults) -> Option<DiskSettings> {
    let min_free_bytes = faults.value(figment, "ingest.min_free_bytes", None);
    let reserve_bytes = faults.value(figment, "ingest.reserve_bytes", None);
    Some(DiskSettings {
        min_free_bytes: min_free_bytes?,
        reserve_bytes: reserve_bytes?,
    })
}

fn connections(figment: &Figment, faults: &mut Faults) -> Option<Limits> {
    let usual = Limits::default();
    let (most, notice) = ("ingest.max_connections", "ingest.drain_notice");
    Some(Limits {
        max_connections: faults.value(figment, most, usual.max_connections)?,
        drain_notice: duration(figment, notice, usual.drain_notice, faults)?,
        ..usual
    })
}
