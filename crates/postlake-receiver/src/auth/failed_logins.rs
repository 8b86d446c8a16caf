//! Wrong logins are slowed, by address.
//!
//! What protects a secret is its length. This keeps somebody who guesses from filling logs and
//! connections: after a few wrong logins from an address its wrong logins are answered late, and from
//! wherever they come, no more than a thousand a second are answered. A right
//! login is never held back, since it is checked first: neither from the same address (many senders
//! may stand behind one) nor from elsewhere. Table and number of answers held back are bounded.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

/// Wrong logins of an address that are answered at once.
const FREE: u32 = 5;
/// The first pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// No answer is later than this; every request is answered within 8 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// An address without wrong logins for so long begins anew.
const FORGET_AFTER: Duration = Duration::from_secs(300);
/// Answers that are held back at a time, each with its connection; further ones are given at once. A
/// quarter of the connections that there may be: so many guess together before guessing gets quick.
const MAX_HELD_BACK: usize = 2048;
/// From one answer to a wrong login to the next, whatever their addresses: what guesses cost, others lack.
const APART: Duration = Duration::from_millis(1);
/// How far answers may run ahead of that: a hundred at once are none too many.
const AHEAD: Duration = Duration::from_millis(100);
/// How often the log says that logins fail.
const SAY_EVERY: Duration = Duration::from_secs(60);
const SETS: usize = 1024;
const WAYS: usize = 4;

/// Addresses with wrong logins: at most 4,096, of each set of four the one longest silent goes.
pub(super) struct FailedLogins {
    table: Mutex<Table>,
    places: Semaphore,
    hasher: RandomState,
}

struct Table {
    sets: Vec<[Option<Entry>; WAYS]>,
    /// When the next answer would be due if all had been [`APART`].
    next_turn: Option<Instant>,
    said_at: Option<Instant>,
    unsaid: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    address: IpAddr,
    failures: u32,
    last_at: Instant,
}

impl Default for FailedLogins {
    fn default() -> Self {
        Self {
            table: Mutex::new(Table {
                sets: vec![[None; WAYS]; SETS],
                next_turn: None,
                said_at: None,
                unsaid: 0,
            }),
            places: Semaphore::new(MAX_HELD_BACK),
            hasher: RandomState::new(),
        }
    }
}

impl FailedLogins {
    /// Counts a wrong login and holds its answer back, if there is a place to do so.
    pub(super) async fn slow_down(&self, address: IpAddr) {
        let pause = self.count(address, Instant::now());
        if pause.is_zero() {
            return;
        }
        if let Ok(_place) = self.places.try_acquire() {
            sleep(pause).await;
        }
    }

    fn count(&self, address: IpAddr, now: Instant) -> Duration {
        let address = neighbourhood(address);
        let set = self.hasher.hash_one(address) as usize % SETS;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = table.count(set, address, now);
        let turn = table.turn(now);
        let unsaid = table.unsaid(now);
        drop(table);
        if let Some(logins) = unsaid {
            tracing::warn!(logins, "wrong credentials at the ingest listener");
        }
        pause(failures).max(turn)
    }
}

impl Table {
    fn count(&mut self, set: usize, address: IpAddr, now: Instant) -> u32 {
        let Some(set) = self.sets.get_mut(set) else {
            return 0;
        };
        let known = set
            .iter()
            .position(|entry| entry.is_some_and(|entry| entry.address == address));
        let longest_silent = || {
            let ages = set.iter().enumerate();
            ages.min_by_key(|(_, entry)| entry.map(|entry| entry.last_at))
                .map_or(0, |(place, _)| place)
        };
        let place = known.unwrap_or_else(longest_silent);
        let Some(entry) = set.get_mut(place) else {
            return 0;
        };
        let before = entry
            .filter(|entry| entry.address == address)
            .filter(|entry| now.saturating_duration_since(entry.last_at) < FORGET_AFTER)
            .map_or(0, |entry| entry.failures);
        let failures = before.saturating_add(1);
        *entry = Some(Entry {
            address,
            failures,
            last_at: now,
        });
        failures
    }

    /// How long until it is this one's turn among all of them.
    fn turn(&mut self, now: Instant) -> Duration {
        let due = self.next_turn.map_or(now, |due| due.max(now));
        let wait = due.saturating_duration_since(now).saturating_sub(AHEAD);
        if wait < LONGEST_PAUSE {
            self.next_turn = Some(due + APART);
        }
        wait.min(LONGEST_PAUSE)
    }

    /// How many wrong logins there were, when it is time to say so.
    fn unsaid(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        let silent = self
            .said_at
            .is_some_and(|said_at| now.saturating_duration_since(said_at) < SAY_EVERY);
        if silent {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

fn pause(failures: u32) -> Duration {
    match failures.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_PAUSE
            .saturating_mul(1 << doublings.min(16))
            .min(LONGEST_PAUSE),
    }
}

/// An IPv6 customer has a whole /64.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn pauses_grow_and_end_below_the_time_of_an_answer() {
        let millis: Vec<_> = [0, 1, 5, 6, 7, 8, 9, 10, 11, u32::MAX]
            .map(|failures| pause(failures).as_millis())
            .into();
        assert_eq!(millis, [0, 0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
    }

    #[test]
    fn an_address_is_counted_by_itself_and_forgotten() {
        let failed = FailedLogins::default();
        let start = Instant::now();
        for _ in 0..FREE {
            assert_eq!(failed.count(address("192.0.2.1"), start), Duration::ZERO);
        }
        assert_eq!(failed.count(address("192.0.2.1"), start), FIRST_PAUSE);
        assert_eq!(failed.count(address("192.0.2.2"), start), Duration::ZERO);
        let later = start + FORGET_AFTER;
        assert_eq!(failed.count(address("192.0.2.1"), later), Duration::ZERO);
        for host in 0..=FREE {
            let neighbour = address(&format!("2001:db8::{host}"));
            let expected = if host == FREE {
                FIRST_PAUSE
            } else {
                Duration::ZERO
            };
            assert_eq!(failed.count(neighbour, later), expected);
        }
    }

    #[test]
    fn from_many_addresses_a_thousand_a_second_are_answered() {
        let failed = FailedLogins::default();
        let start = Instant::now();
        let wait = |number: u32, now| failed.count(IpAddr::V4(number.into()), now).as_millis();
        let waits: Vec<_> = (0..10_000).map(|number| wait(number, start)).collect();
        assert_eq!((waits[0], waits[100], waits[101]), (0, 0, 1));
        assert_eq!((waits[1100], waits[4100], waits[9999]), (1000, 4000, 4000));
        let later = start + Duration::from_secs(2);
        assert_eq!(wait(10_000, later), 2000);
        assert_eq!(wait(10_001, start + Duration::from_secs(5)), 0);
    }

    #[test]
    fn the_table_never_grows() {
        let failed = FailedLogins::default();
        let start = Instant::now();
        for number in 0..20_000_u32 {
            failed.count(
                IpAddr::V4(number.into()),
                start + Duration::from_millis(number.into()),
            );
        }
        let table = failed.table.lock().unwrap();
        let entries: usize = table
            .sets
            .iter()
            .map(|set| set.iter().flatten().count())
            .sum();
        assert_eq!((table.sets.len(), entries <= SETS * WAYS), (SETS, true));
        assert!(entries > SETS * 3, "{entries}");
    }

    #[tokio::test]
    async fn places_for_answers_held_back_are_bounded() {
        let failed = FailedLogins::default();
        let mut held_back = Vec::new();
        for _ in 0..MAX_HELD_BACK + 100 {
            let mut answer = Box::pin(failed.slow_down(address("192.0.2.1")));
            if answer.as_mut().now_or_never().is_none() {
                held_back.push(answer);
            }
        }
        assert_eq!(held_back.len(), MAX_HELD_BACK);
        // One who gives up makes room for another.
        held_back.pop();
        let next = failed.slow_down(address("192.0.2.1"));
        assert_eq!(next.now_or_never(), None);
    }
}
