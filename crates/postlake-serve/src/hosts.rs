//! Which host names the read listener answers to.

use std::net::{IpAddr, SocketAddr};

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

    pub(crate) fn allows(&self, host: &str) -> bool {
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
