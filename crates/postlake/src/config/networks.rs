//! Lists of networks.

use std::net::IpAddr;

use figment::Figment;
use ipnet::IpNet;

use super::faults::Faults;

/// The networks and single addresses under `key`.
pub(super) fn networks(figment: &Figment, key: &str, faults: &mut Faults) -> Vec<IpNet> {
    let texts: Vec<String> = faults.value(figment, key, Vec::new()).unwrap_or_default();
    let mut all = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        match network(text) {
            Some(network) => all.push(network),
            None => {
                let message = format!("`{text}` is no network such as 10.0.0.0/8 and no address");
                faults.add(&format!("{key}.{index}"), message);
            }
        }
    }
    all
}

fn network(text: &str) -> Option<IpNet> {
    let address = || {
        text.parse()
            .map(|address: IpAddr| IpNet::from(address.to_canonical()))
    };
    text.parse().ok().or_else(|| address().ok())
}
