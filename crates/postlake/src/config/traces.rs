//! Traces: what the standard variables of OpenTelemetry say. There are no keys of our own for them.
//!
//! Off, and nothing of it is looked at, unless a collector is named. Values are never repeated in a fault:
//! they may be secrets in the wrong place.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// Where a collector of this machine listens.
const USUAL_ENDPOINT: &str = "http://localhost:4318";

/// Variables that nothing here follows; to take them in silence would promise what is not done.
const NOT_SUPPORTED: [(&str, &str); 3] = [
    (
        "CERTIFICATE",
        "a certificate of one's own is not supported: the system's are used",
    ),
    ("CLIENT_KEY", "certificates of clients are not supported"),
    (
        "CLIENT_CERTIFICATE",
        "certificates of clients are not supported",
    ),
];

/// Where traces go and which.
#[derive(Clone, Debug)]
pub(crate) struct TraceSettings {
    /// The variable that has switched them on.
    pub(crate) from: &'static str,
    pub(crate) endpoint: Url,
    pub(crate) protocol: Protocol,
    pub(crate) gzip: bool,
    /// Marked as sensitive, so that no form of them is ever shown.
    pub(crate) headers: HeaderMap,
    /// For one attempt.
    pub(crate) timeout: Duration,
    pub(crate) sampler: Sampler,
    /// Take part in the trace of a request that names one (`traceparent`).
    pub(crate) honours_parent: bool,
    /// What sends: `service.name` and what else was said about it.
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) batches: BatchSettings,
}

/// How spans are gathered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchSettings {
    /// Spans that wait at most.
    pub(crate) queue_spans: usize,
    /// Spans that are sent at a time, at most.
    pub(crate) batch_spans: usize,
    /// How long a span waits for others.
    pub(crate) delay: Duration,
    /// For all attempts to send a batch.
    pub(crate) patience: Duration,
}

/// How spans are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Protobuf,
    Json,
}

/// Which traces are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sampler {
    /// A request that names a trace decides itself.
    pub(crate) by_parent: bool,
    /// The share of the others that is kept, 0 to 1.
    pub(crate) ratio: f64,
}

/// A variable and what is wrong with it.
pub(super) type Fault = (String, String);

/// What the environment says; `None` when it asks for no traces.
pub(super) fn from_environment() -> Result<Option<TraceSettings>, Vec<Fault>> {
    read(&|name| {
        let value = std::env::var_os(name)?;
        Some(value.into_string().map_err(drop))
    })
}

/// A variable's text; `Err` when it is none.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<Result<String, ()>>;

fn read(lookup: Lookup<'_>) -> Result<Option<TraceSettings>, Vec<Fault>> {
    let mut variables = Variables {
        lookup,
        faults: Vec::new(),
    };
    let settings = variables.settings();
    match variables.faults.is_empty() {
        true => Ok(settings),
        false => Err(variables.faults),
    }
}

struct Variables<'a> {
    lookup: Lookup<'a>,
    faults: Vec<Fault>,
}

impl Variables<'_> {
    fn settings(&mut self) -> Option<TraceSettings> {
        let (from, endpoint) = self.endpoint()?;
        for (name, why) in NOT_SUPPORTED {
            if let Some((name, _)) = self.of_traces(name) {
                self.fault(name, why);
            }
        }
        let protocol = self.protocol();
        let gzip = self.gzip();
        let headers = self.headers();
        let timeout = self.timeout();
        let sampler = self.sampler();
        let honours_parent = self.honours_parent();
        let resource = self.resource();
        let batches = self.batches();
        Some(TraceSettings {
            from,
            endpoint: endpoint?,
            protocol: protocol?,
            gzip,
            headers,
            timeout,
            sampler: sampler?,
            honours_parent,
            resource,
            batches,
        })
    }

    /// What has switched traces on, if something has, and where they go.
    fn endpoint(&mut self) -> Option<(&'static str, Option<Url>)> {
        const SWITCH: &str = "OTEL_TRACES_EXPORTER";
        const OURS: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        const GENERAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        if self.disabled() {
            return None;
        }
        let asked = match self.text(SWITCH).as_deref() {
            None => false,
            Some("none") => return None,
            Some("otlp") => true,
            Some(_) => {
                self.fault(SWITCH, "must be otlp or none: there is no other exporter");
                return None;
            }
        };
        if let Some(url) = self.text(OURS) {
            return Some((OURS, self.url(OURS, &url)));
        }
        let (from, base) = match self.text(GENERAL) {
            Some(base) => (GENERAL, base),
            None if asked => (SWITCH, USUAL_ENDPOINT.to_owned()),
            None => return None,
        };
        let mut url = self.url(from, &base);
        if let Some(url) = &mut url {
            let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        Some((from, url))
    }

    fn disabled(&mut self) -> bool {
        const NAME: &str = "OTEL_SDK_DISABLED";
        let value = self.text(NAME).map(|value| value.to_ascii_lowercase());
        match value.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                self.fault(NAME, "must be true or false");
                true
            }
        }
    }

    fn url(&mut self, name: &str, text: &str) -> Option<Url> {
        let wrong = match Url::parse(text) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
                "must be a URL of http or https, as http://localhost:4318"
            }
            Ok(url) if url.password().is_some() || !url.username().is_empty() => {
                "credentials do not belong in the URL but in OTEL_EXPORTER_OTLP_HEADERS"
            }
            Ok(url) => return Some(url),
            Err(_) => "is not a URL such as http://localhost:4318",
        };
        self.fault(name, wrong);
        None
    }

    fn protocol(&mut self) -> Option<Protocol> {
        let Some((name, value)) = self.of_traces("PROTOCOL") else {
            return Some(Protocol::Protobuf);
        };
        let wrong = match value.as_str() {
            "http/protobuf" => return Some(Protocol::Protobuf),
            "http/json" => return Some(Protocol::Json),
            "grpc" => {
                "grpc is not supported: use http/protobuf (collectors take it on port 4318) or http/json"
            }
            _ => "must be http/protobuf or http/json",
        };
        self.fault(name, wrong);
        None
    }

    fn gzip(&mut self) -> bool {
        match self.of_traces("COMPRESSION") {
            None => false,
            Some((name, value)) => match value.as_str() {
                "gzip" => true,
                "none" => false,
                _ => {
                    self.fault(name, "must be gzip or none");
                    false
                }
            },
        }
    }

    fn headers(&mut self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let Some((name, text)) = self.of_traces("HEADERS") else {
            return headers;
        };
        for pair in pairs(&text) {
            let parsed = pair.and_then(|(key, value)| {
                let key = HeaderName::from_str(key).ok()?;
                let mut value = HeaderValue::from_str(&value).ok()?;
                value.set_sensitive(true);
                Some((key, value))
            });
            match parsed {
                Some((key, value)) => drop(headers.insert(key, value)),
                None => self.fault(name, "must be headers as name=value,name=value"),
            }
        }
        headers
    }

    fn timeout(&mut self) -> Duration {
        let usual = Duration::from_secs(10);
        match self.of_traces("TIMEOUT") {
            Some((name, text)) => self.millis(name, &text, usual),
            None => usual,
        }
    }

    fn sampler(&mut self) -> Option<Sampler> {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        let name = self.text(NAME);
        let name = name.as_deref().unwrap_or("parentbased_always_on");
        let root = name.strip_prefix("parentbased_");
        let ratio = match root.unwrap_or(name) {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => self.ratio()?,
            _ => {
                self.fault(
                    NAME,
                    "must be always_on, always_off, traceidratio, or one of these after parentbased_",
                );
                return None;
            }
        };
        Some(Sampler {
            by_parent: root.is_some(),
            ratio,
        })
    }

    fn ratio(&mut self) -> Option<f64> {
        const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
        let Some(text) = self.text(NAME) else {
            return Some(1.0);
        };
        let ratio = text.parse().ok();
        let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
        if ratio.is_none() {
            self.fault(NAME, "must be a number from 0 to 1");
        }
        ratio
    }

    fn honours_parent(&mut self) -> bool {
        const NAME: &str = "OTEL_PROPAGATORS";
        let Some(text) = self.text(NAME) else {
            return true;
        };
        let names: Vec<_> = text.split(',').map(str::trim).collect();
        let known = |name: &&str| matches!(*name, "tracecontext" | "baggage" | "none");
        if !names.iter().all(known) {
            self.fault(
                NAME,
                "must be tracecontext, baggage (which is not looked at) or none",
            );
        }
        names.contains(&"tracecontext")
    }

    fn resource(&mut self) -> BTreeMap<String, String> {
        const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let mut resource = BTreeMap::new();
        let text = self.text(NAME).unwrap_or_default();
        for pair in pairs(&text) {
            match pair {
                Some((key, value)) => drop(resource.insert(key.to_owned(), value)),
                None => self.fault(NAME, "must be attributes as name=value,name=value"),
            }
        }
        let service = self.text("OTEL_SERVICE_NAME");
        if let Some(service) = service {
            resource.insert("service.name".to_owned(), service);
        }
        resource
            .entry("service.name".to_owned())
            .or_insert_with(|| "postlake".to_owned());
        resource
    }

    fn batches(&mut self) -> BatchSettings {
        const SIZE: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
        let queue_spans = self.count("OTEL_BSP_MAX_QUEUE_SIZE", 2048);
        let batch_spans = self.count(SIZE, 512.min(queue_spans));
        if batch_spans > queue_spans {
            self.fault(SIZE, "must not be above OTEL_BSP_MAX_QUEUE_SIZE");
        }
        BatchSettings {
            queue_spans,
            batch_spans,
            delay: self.time("OTEL_BSP_SCHEDULE_DELAY", Duration::from_secs(5)),
            patience: self.time("OTEL_BSP_EXPORT_TIMEOUT", Duration::from_secs(30)),
        }
    }

    fn count(&mut self, name: &str, usual: usize) -> usize {
        const MOST: usize = 1 << 20;
        let Some(text) = self.text(name) else {
            return usual;
        };
        match text.parse() {
            Ok(count @ 1..=MOST) => count,
            _ => {
                self.fault(name, "must be a number of spans, 1 to 1048576");
                usual
            }
        }
    }

    fn time(&mut self, name: &str, usual: Duration) -> Duration {
        match self.text(name) {
            Some(text) => self.millis(name, &text, usual),
            None => usual,
        }
    }

    fn millis(&mut self, name: &str, text: &str, usual: Duration) -> Duration {
        const MOST: u64 = 3_600_000;
        match text.parse() {
            Ok(millis @ 1..=MOST) => Duration::from_millis(millis),
            _ => {
                self.fault(name, "must be a time in milliseconds, 1 to 3600000");
                usual
            }
        }
    }

    /// The variable for traces, or else the one for all signals, with its name.
    fn of_traces(&mut self, end: &str) -> Option<(&'static str, String)> {
        let names = NAMES.iter().find(|(known, ..)| *known == end)?;
        let of = |variables: &mut Self, name| variables.text(name).map(|text| (name, text));
        of(self, names.1).or_else(|| of(self, names.2))
    }

    /// What a variable says; an empty one says nothing.
    fn text(&mut self, name: &str) -> Option<String> {
        match (self.lookup)(name)? {
            Ok(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Err(()) => {
                self.fault(name, "is not text");
                None
            }
        }
    }

    fn fault(&mut self, name: &str, message: &str) {
        let fault = (name.to_owned(), message.to_owned());
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

/// Variables that there are for traces and for all signals.
const NAMES: [(&str, &str, &str); 7] = [
    (
        "PROTOCOL",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ),
    (
        "COMPRESSION",
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
    ),
    (
        "HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "OTEL_EXPORTER_OTLP_HEADERS",
    ),
    (
        "TIMEOUT",
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
    ),
    (
        "CERTIFICATE",
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
    ),
    (
        "CLIENT_KEY",
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    ),
    (
        "CLIENT_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    ),
];

/// `name=value,name=value` with values that are percent-encoded; `None` for what is no such pair.
fn pairs(text: &str) -> impl Iterator<Item = Option<(&str, String)>> {
    let items = text.split(',').map(str::trim);
    items.filter(|item| !item.is_empty()).map(|item| {
        let (key, value) = item.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let key = key.trim();
        (!key.is_empty()).then(|| (key, value.into_owned()))
    })
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Protocol::Protobuf => "http/protobuf",
            Protocol::Json => "http/json",
        }
    }
}

impl TraceSettings {
    /// In words for people: no value of a header, no parameter of the URL.
    pub(super) fn in_words(&self) -> String {
        let mut endpoint = self.endpoint.clone();
        if endpoint.query().is_some() {
            endpoint.set_query(Some("xxxxx"));
        }
        let whose = match self.sampler.by_parent {
            true => "as the sender's trace says, of others",
            false => "of all",
        };
        let mut words = format!(
            "{} to {endpoint}, {whose} {:.1} %",
            self.protocol.name(),
            self.sampler.ratio * 100.0
        );
        let names: Vec<_> = self.headers.keys().map(HeaderName::as_str).collect();
        if !names.is_empty() {
            words.push_str(&format!(", with headers {}", names.join(", ")));
        }
        words
    }
}
