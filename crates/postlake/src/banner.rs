//! What a server says when it is ready: where it listens, where the data lies, what is not protected,
//! and what to enter in SparkPost.

mod credentials;

use std::net::SocketAddr;

use postlake_sparkpost::{ALERTS_PATH, EVENTS_PATH};

use crate::config::{IngestTls, Settings};

/// Which listeners are open.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listeners {
    pub(crate) ingest: Option<SocketAddr>,
    pub(crate) read: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    /// The ingest listener waits for its first certificate from an authority, which is asked in so many
    /// seconds.
    pub(crate) lacks_certificate: Option<i64>,
}

/// How URLs of a listener begin.
pub(crate) fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

/// The lines for the terminal.
pub(crate) fn lines(settings: &Settings, listeners: Listeners, loads: bool) -> Vec<String> {
    let mut lines = vec!["postlake is ready".to_owned()];
    if let Some(address) = listeners.ingest {
        let http = scheme(settings.ingest_tls.is_some());
        lines.push(format!("  webhooks   {http}://{address}{EVENTS_PATH}"));
        lines.push(format!("             {http}://{address}{ALERTS_PATH}"));
        lines.extend(credentials::lines(&settings.auth));
        lines.extend(certificate(settings, listeners.lacks_certificate));
    }
    if let Some(address) = listeners.read {
        let http = scheme(settings.read_tls.is_some());
        lines.push(format!("  page       {http}://{address}/"));
        lines.push(format!("  api        {http}://{address}/api/v1/summary"));
    }
    if let Some(address) = listeners.admin {
        lines.push(format!("  admin      http://{address}/metrics"));
    }
    lines.push(format!("  data       {}", settings.data));
    if loads {
        let interval = settings.load.interval;
        lines.push(format!("  loading    within {interval:?} of a batch"));
        for sink in &settings.sinks {
            lines.push(format!("  sink       {}", sink.name));
        }
    }
    let warnings = settings.auth.readable_by_others();
    lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.push(
        "not protected: page, API and metrics have no password, so they are loopback only"
            .to_owned(),
    );
    if let Some(address) = listeners.ingest {
        let gaps = credentials::gaps(&settings.auth);
        lines.extend(gaps.into_iter().map(str::to_owned));
        let tls = settings.ingest_tls.is_some();
        let host = host(settings);
        if tls {
            lines.push("in SparkPost:".to_owned());
        } else {
            lines.extend([
                "not protected: webhooks have no TLS of their own, a proxy has to end it"
                    .to_owned(),
                "in SparkPost (through a proxy with TLS in front of this machine):".to_owned(),
            ]);
        }
        lines.extend(credentials::events_form(&settings.auth, &host));
        lines.push(credentials::alerts_form(&settings.auth, &host));
        let auth = credentials::trigger_arguments(&settings.auth);
        let target = match &settings.ingest_tls {
            // The certificate is for the name.
            Some(IngestTls::Acme(_)) => host,
            _ => format!("{}://{address}", scheme(tls)),
        };
        lines.push(format!("try it: postlake trigger {target}{auth}"));
    }
    lines
}

/// Where the certificate comes from, if it is not from files.
fn certificate(settings: &Settings, asked_in_secs: Option<i64>) -> Option<String> {
    let Some(IngestTls::Acme(acme)) = &settings.ingest_tls else {
        return None;
    };
    let authority = acme.directory.host_str().unwrap_or_default();
    let names = acme.names.join(", ");
    Some(match asked_in_secs {
        None => format!("  tls        certificate for {names}, renewed by {authority}"),
        Some(..=0) => format!(
            "  tls        no certificate yet: one for {names} is being ordered from {authority}, and nobody can connect before it is there"
        ),
        Some(secs) => format!(
            "  tls        no certificate, and nobody can connect: {authority} has given none for {names} (readyz of the admin \
             listener says why) and is asked again in {secs} s, or on SIGHUP"
        ),
    })
}

/// How URLs in SparkPost begin.
fn host(settings: &Settings) -> String {
    let name = match &settings.ingest_tls {
        Some(IngestTls::Acme(acme)) => acme.names.first().map(String::as_str),
        _ => None,
    };
    format!("https://{}", name.unwrap_or("<your host>"))
}
