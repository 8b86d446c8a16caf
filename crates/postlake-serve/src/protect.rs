//! What stands in front of every route: whose name the request may use, what a browser may do with the
//! answer, and that no other site can make a browser ask.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::api::Problem;
use crate::server::ServeState;

/// Which `Host` a request may name. A page on another site can let its own name resolve to 127.0.0.1
/// and so read a server on loopback (DNS rebinding); the name in `Host` gives it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPolicy {
    /// Any name: for a public listener behind a name that we do not know.
    Any,
    /// These names, without port, lower case; everything else gets 421.
    Only(Vec<String>),
}

impl HostPolicy {
    /// On loopback: `localhost`, the loopback addresses and `also`. Elsewhere: the address and `also`,
    /// or any name when `also` is empty.
    pub fn for_address(address: SocketAddr, also: &[String]) -> HostPolicy {
        let ip = address.ip();
        if !ip.is_loopback() && also.is_empty() {
            return HostPolicy::Any;
        }
        let mut names: Vec<String> = also.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.push(host_text(ip));
        if ip.is_loopback() {
            names.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
        }
        HostPolicy::Only(names)
    }

    fn allows(&self, host: &str) -> bool {
        match self {
            HostPolicy::Any => true,
            HostPolicy::Only(names) => {
                let name = without_port(host).to_ascii_lowercase();
                names.contains(&name)
            }
        }
    }
}

fn host_text(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
     script-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// The layer around all routes. Every answer, refusals included, carries the security headers, and
/// `Cache-Control: no-store` unless its route said otherwise.
pub(crate) async fn protect(
    State(state): State<ServeState>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match admit(&state.config().hosts, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn admit(hosts: &HostPolicy, request: &Request) -> Result<(), Problem> {
    let host = check_host(hosts, request.uri(), request.headers())?;
    match *request.method() {
        Method::GET | Method::HEAD => Ok(()),
        Method::POST => check_same_site(request.headers(), host),
        _ => Err(Problem::method_not_allowed()),
    }
}

fn check_host<'a>(
    hosts: &HostPolicy,
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Result<&'a str, Problem> {
    let named = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| uri.authority().map(|authority| authority.as_str()))
        .ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "host-missing",
                "the request names no host",
            )
        })?;
    let in_target = uri.host().is_none_or(|host| hosts.allows(host));
    if hosts.allows(named) && in_target {
        return Ok(named);
    }
    Err(Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "host-not-allowed",
        "this listener does not answer to that host name",
    )
    .with_detail("Ask for it as localhost or 127.0.0.1, or add the name to the allowed hosts."))
}

/// A browser says where a request comes from; a program says nothing and is let through.
fn check_same_site(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let same_site = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => origin
            .split_once("://")
            .is_some_and(|(_, from)| from.eq_ignore_ascii_case(host)),
        (None, None) => true,
    };
    if same_site {
        Ok(())
    } else {
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "cross-site",
            "requests from other sites are refused",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_answers_to_its_own_names_only() {
        let policy = HostPolicy::for_address("127.0.0.1:8080".parse().unwrap(), &[]);
        for host in [
            "localhost",
            "localhost:8080",
            "LOCALHOST:1",
            "127.0.0.1:8080",
            "[::1]:8080",
        ] {
            assert!(policy.allows(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:8080",
            "127.0.0.1.evil.example",
            "",
            "localhost:evil",
            "[::2]",
        ] {
            assert!(!policy.allows(host), "{host}");
        }
    }

    #[test]
    fn elsewhere_the_allow_list_decides() {
        let address = "10.0.0.5:80".parse().unwrap();
        assert_eq!(HostPolicy::for_address(address, &[]), HostPolicy::Any);
        let policy = HostPolicy::for_address(address, &["Lake.Example".to_owned()]);
        assert!(policy.allows("lake.example:443"));
        assert!(policy.allows("10.0.0.5"));
        assert!(!policy.allows("localhost"));
    }
}
