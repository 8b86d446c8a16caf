//! The addresses that requests may come from: networks by number, and hosts looked up again and again.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use ipnet::IpNet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::settings::{AllowSettings, Unresolved, contains};

/// Time from one look-up to the next.
const REFRESH: Duration = Duration::from_secs(300);
/// The same after a look-up that failed.
const RETRY: Duration = Duration::from_secs(10);
/// How long an address counts after it was last seen: answers of name servers rotate, and what is
/// under way when one is retired still arrives.
const KEEP: Duration = Duration::from_secs(24 * 3600);
/// Most addresses that are kept.
const MAX_ADDRESSES: usize = 4096;

/// Looks hosts up.
pub trait Resolver: Send + Sync + fmt::Debug {
    /// The addresses of `host`. An error says that nothing is known, not that there are none.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        async move {
            let addresses = tokio::net::lookup_host((host, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        }
        .boxed()
    }
}

/// The list as it stands.
#[derive(Debug)]
pub(super) struct AllowList {
    networks: Vec<IpNet>,
    hosts: Vec<String>,
    unresolved: Unresolved,
    resolver: Arc<dyn Resolver>,
    /// Addresses of the hosts, and when each was last seen.
    seen: RwLock<HashMap<IpAddr, Instant>>,
}

impl AllowList {
    /// `None` when nothing is listed.
    pub(super) fn new(settings: &AllowSettings) -> Option<Arc<Self>> {
        if settings.networks.is_empty() && settings.hosts.is_empty() {
            return None;
        }
        Some(Arc::new(Self {
            networks: settings.networks.clone(),
            hosts: settings.hosts.clone(),
            unresolved: settings.unresolved,
            resolver: Arc::clone(&settings.resolver),
            seen: RwLock::default(),
        }))
    }

    pub(super) fn has_hosts(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// Whether a request may come from there.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        if contains(&self.networks, address) {
            return true;
        }
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        let unknown = self.has_hosts() && seen.is_empty();
        seen.contains_key(&address) || unknown && self.unresolved == Unresolved::Admit
    }

    /// Looks the hosts up until it is told to stop.
    pub(super) async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        let refresh = async {
            loop {
                let complete = self.refresh(Instant::now()).await;
                sleep(if complete { REFRESH } else { RETRY }).await;
            }
        };
        let _stopped: Option<()> = stop.run_until_cancelled(refresh).await;
    }

    /// Looks every host up once. True if all could be.
    async fn refresh(&self, now: Instant) -> bool {
        let mut complete = true;
        for host in &self.hosts {
            match self.resolver.resolve(host).await {
                Ok(addresses) => self.note(&addresses, now),
                Err(cause) => {
                    complete = false;
                    let error: &dyn std::error::Error = &cause;
                    tracing::warn!(error, host, "a host of the allow list was not found");
                }
            }
        }
        complete
    }

    fn note(&self, addresses: &[IpAddr], now: Instant) {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        for address in addresses.iter().map(IpAddr::to_canonical) {
            if seen.len() < MAX_ADDRESSES || seen.contains_key(&address) {
                seen.insert(address, now);
            }
        }
        // With nothing newer the old ones stay: a name server that is down for days must not close us.
        let newest = seen.values().max().copied().unwrap_or(now);
        seen.retain(|_, seen_at| newest.saturating_duration_since(*seen_at) < KEEP);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Answers what it is told to.
    #[derive(Debug, Default)]
    struct Told(Mutex<Option<Vec<IpAddr>>>);

    impl Told {
        fn tell(&self, addresses: Option<&[&str]>) {
            let parsed = addresses.map(|list| list.iter().map(|text| address(text)).collect());
            *self.0.lock().unwrap() = parsed;
        }
    }

    impl Resolver for Told {
        fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            assert_eq!(host, "wh.egress.sparkpost.com");
            let told = self.0.lock().unwrap().clone();
            async move { told.ok_or_else(|| io::Error::other("no name server")) }.boxed()
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn list(unresolved: Unresolved) -> (Arc<AllowList>, Arc<Told>) {
        let told = Arc::new(Told::default());
        let settings = AllowSettings {
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            hosts: vec!["wh.egress.sparkpost.com".to_owned()],
            unresolved,
            resolver: Arc::clone(&told) as Arc<dyn Resolver>,
        };
        (AllowList::new(&settings).unwrap(), told)
    }

    #[tokio::test]
    async fn hosts_are_followed_and_old_addresses_go_after_a_day() {
        let (list, told) = list(Unresolved::Refuse);
        let start = Instant::now();
        told.tell(Some(&["198.51.100.1", "::ffff:198.51.100.2"]));
        assert!(list.refresh(start).await);
        assert!(list.admits(address("198.51.100.1")) && list.admits(address("198.51.100.2")));
        assert!(list.admits(address("192.0.2.9")) && !list.admits(address("203.0.113.1")));
        told.tell(Some(&["198.51.100.2"]));
        assert!(list.refresh(start + KEEP / 2).await);
        assert!(list.admits(address("198.51.100.1")));
        assert!(list.refresh(start + KEEP).await);
        assert!(!list.admits(address("198.51.100.1")));
        // A name server that is away changes nothing, however long.
        told.tell(None);
        assert!(!list.refresh(start + KEEP * 9).await);
        assert!(list.admits(address("198.51.100.2")));
    }

    #[tokio::test]
    async fn before_the_first_answer_it_is_open_or_closed_as_chosen() {
        for (unresolved, admits) in [(Unresolved::Refuse, false), (Unresolved::Admit, true)] {
            let (list, told) = list(unresolved);
            assert!(!list.refresh(Instant::now()).await);
            assert_eq!(list.admits(address("203.0.113.1")), admits);
            assert!(list.admits(address("192.0.2.1")));
            told.tell(Some(&["198.51.100.1"]));
            assert!(list.refresh(Instant::now()).await);
            assert!(!list.admits(address("203.0.113.1")));
        }
    }

    #[tokio::test]
    async fn looking_up_begins_at_once_and_ends_when_told() {
        let (list, told) = list(Unresolved::Refuse);
        told.tell(Some(&["198.51.100.1"]));
        let stop = CancellationToken::new();
        let task = tokio::spawn(Arc::clone(&list).keep_fresh(stop.clone()));
        crate::gate::until(|| list.admits(address("198.51.100.1"))).await;
        stop.cancel();
        task.await.unwrap();
    }
}
