//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::settings::contains;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// How many proxies in a row are followed.
const MAX_HOPS: usize = 16;

/// The address of the client: that of the connection's other end, and behind trusted proxies the last
/// one in `X-Forwarded-For` that is not one of them. What an untrusted peer writes there says nothing.
pub(super) fn of(
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    trusted_proxies: &[IpNet],
) -> Option<IpAddr> {
    let mut address = peer?.ip().to_canonical();
    if !contains(trusted_proxies, address) {
        return Some(address);
    }
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let named = lines
        .filter_map(|line| line.to_str().ok().map(|line| line.rsplit(',')))
        .flatten();
    for name in named.take(MAX_HOPS) {
        // A hop that cannot be read ends what can be trusted: the proxy that wrote it stands for it.
        let Some(hop) = parse(name) else {
            return Some(address);
        };
        address = hop;
        if !contains(trusted_proxies, address) {
            break;
        }
    }
    Some(address)
}

/// An address, with or without port and brackets (proxies differ).
fn parse(name: &str) -> Option<IpAddr> {
    let name = name.trim();
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(name).parse().ok();
    let with_port = || name.parse().ok().map(|address: SocketAddr| address.ip());
    Some(address.or_else(with_port)?.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check(peer: &str, forwarded: &[&'static str], expected: &str) {
        let proxies = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 4000);
        let address = of(&headers, Some(peer), &proxies).unwrap();
        assert_eq!(
            address,
            expected.parse::<IpAddr>().unwrap(),
            "{forwarded:?}"
        );
    }

    #[test]
    fn only_trusted_proxies_say_whom_they_speak_for() {
        check("192.0.2.1", &[], "192.0.2.1");
        check("192.0.2.1", &["198.51.100.7"], "192.0.2.1");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.7"], "198.51.100.7");
        check("10.0.0.1", &["6.6.6.6, 198.51.100.7"], "198.51.100.7");
        check(
            "10.0.0.1",
            &["6.6.6.6", "198.51.100.7, 10.0.0.2"],
            "198.51.100.7",
        );
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
        check("10.0.0.1", &["198.51.100.7, unknown"], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.7:80"], "198.51.100.7");
        check("10.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1");
        check("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1");
        check("::ffff:10.0.0.1", &["2001:db8::1"], "2001:db8::1");
        check("::ffff:192.0.2.1", &["2001:db8::1"], "192.0.2.1");
        assert_eq!(of(&HeaderMap::new(), None, &[]), None);
    }
}
