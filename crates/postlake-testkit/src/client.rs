//! Clients that play the sender: seeded traffic with resent batches, broken bodies and alerts, posted
//! to servers that come and go.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postlake_sparkpost::{AlertFeed, Bad, Shape, Traffic, mixed};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::deadline::PATIENCE;
use crate::http;
use crate::ledger::{ClientLedger, Post};
use crate::seed::dice;

/// Posts that a client may send again.
const REMEMBERED: usize = 20;

/// One client: the same seed and number, the same posts.
#[derive(Debug)]
pub struct Client {
    dice: StdRng,
    traffic: Traffic,
    rare: Traffic,
    alerts: AlertFeed,
    alerts_at: DateTime<Utc>,
    sent: VecDeque<Arc<Post>>,
    refused: VecDeque<Arc<Post>>,
    profiles: &'static [usize],
}

/// Events in a body of a small, a middling and a very large sender.
const PROFILES: &[usize] = &[3, 101, 350];

impl Client {
    /// Client `number` of a test with that seed.
    pub fn new(seed: u64, number: u64) -> Client {
        let start: DateTime<Utc> = "2026-09-15T22:00:00Z".parse().unwrap();
        let mut dice = dice(seed, number + 1);
        let mut traffic = Traffic::new(dice.random(), start);
        // A few hours of mail, so that more than one partition is written.
        traffic.set_gap(Duration::from_secs(7));
        Client {
            traffic,
            rare: Traffic::new(dice.random(), start).all_types(),
            alerts: AlertFeed::new(dice.random()),
            alerts_at: start + TimeDelta::milliseconds(i64::try_from(number).unwrap()),
            sent: VecDeque::new(),
            refused: VecDeque::new(),
            profiles: &[],
            dice,
        }
    }

    /// The same with bodies of 3, 101 and 350 events among the others.
    #[must_use]
    pub fn with_profiles(mut self) -> Client {
        self.profiles = PROFILES;
        self
    }

    /// What it posts next.
    pub fn next_post(&mut self) -> Arc<Post> {
        // What got no 200 is sent again, sooner or later, as the sender does.
        if !self.refused.is_empty() && self.dice.random_bool(0.5) {
            return self.refused.pop_front().unwrap();
        }
        let post = match self.dice.random_range(0..100) {
            0..15 if !self.sent.is_empty() => {
                let again = self.dice.random_range(0..self.sent.len());
                return Arc::clone(&self.sent[again]);
            }
            15..19 => {
                let kinds = [Bad::Json, Bad::Envelope, Bad::Utf8];
                let kind = kinds[self.dice.random_range(0..kinds.len())];
                Post::events(&kind.batch(&mut self.traffic))
            }
            19..27 => {
                let good = self.dice.random_range(1..12);
                Post::events(&mixed(&mut self.traffic, good))
            }
            27..35 => self.scores(),
            35..38 => Post::events(&self.rare.next_batch(27)),
            38 => Post::events(&self.traffic.next_batch(0)),
            percent => {
                let profile = (percent > 80).then(|| self.dice.random_range(0..PROFILES.len()));
                let profile = profile.and_then(|index| self.profiles.get(index));
                let events = match profile {
                    Some(events) => *events,
                    None => self.dice.random_range(1..40),
                };
                Post::events(&self.traffic.next_batch(events))
            }
        };
        Arc::new(post)
    }

    fn scores(&mut self) -> Post {
        self.alerts_at += TimeDelta::days(1);
        let shape = if self.dice.random() {
            Shape::Capture
        } else {
            Shape::Documented
        };
        Post::alerts(&self.alerts.next_scores(self.alerts_at, shape))
    }

    /// How a post of its was answered: it may come again, and must if it was refused.
    pub fn remember(&mut self, post: Arc<Post>, accepted: bool) {
        if !accepted {
            self.refused.push_back(post);
            return;
        }
        self.sent.push_back(post);
        if self.sent.len() > REMEMBERED {
            self.sent.pop_front();
        }
    }
}

/// Where clients post, and how much: the test opens and closes it.
#[derive(Debug, Default)]
pub struct Target {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    addresses: Vec<SocketAddr>,
    next: usize,
    permits: usize,
    over: bool,
}

impl Target {
    /// Clients take turns between these addresses; none means that they wait.
    pub fn point(&self, addresses: &[SocketAddr]) {
        self.change(|state| state.addresses = addresses.to_vec());
    }

    /// Lets the clients post so many times more.
    pub fn grant(&self, posts: usize) {
        self.change(|state| state.permits += posts);
    }

    /// Waits until no more than `left` of the granted posts have not been begun.
    #[track_caller]
    pub fn wait_left(&self, left: usize) {
        let (state, timeout) = self
            .changed
            .wait_timeout_while(self.lock(), PATIENCE, |state| state.permits > left)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        assert!(!timeout.timed_out(), "the clients do not get on");
    }

    /// Ends the clients.
    pub fn end(&self) {
        self.change(|state| state.over = true);
    }

    /// A permit and the address to use it at; `None` at the end.
    fn take(&self) -> Option<SocketAddr> {
        let waits =
            |state: &mut State| !state.over && (state.permits == 0 || state.addresses.is_empty());
        let mut state = self
            .changed
            .wait_while(self.lock(), waits)
            .unwrap_or_else(PoisonError::into_inner);
        if state.over {
            return None;
        }
        state.permits -= 1;
        state.next += 1;
        let address = state.addresses[state.next % state.addresses.len()];
        drop(state);
        self.changed.notify_all();
        Some(address)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the clients also when the test fails, which would wait for them otherwise.
#[derive(Debug)]
struct EndOnDrop<'a>(&'a Target);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Runs the test's `script` while `count` clients post to `target`; afterwards they have ended.
pub fn play<T>(
    seed: u64,
    count: u64,
    target: &Target,
    ledger: &ClientLedger,
    script: impl FnOnce() -> T,
) -> T {
    std::thread::scope(|scope| {
        let end = EndOnDrop(target);
        for number in 0..count {
            scope.spawn(move || post_until_end(Client::new(seed, number), target, ledger));
        }
        let value = script();
        drop(end);
        value
    })
}

fn post_until_end(mut client: Client, target: &Target, ledger: &ClientLedger) {
    while let Some(address) = target.take() {
        let post = client.next_post();
        ledger.attempt(&post);
        let accepted = match http::post(address, &post.request) {
            Ok(answer) if answer.status == 200 => {
                assert_eq!(answer.text(), "{}");
                ledger.answered(&post);
                true
            }
            _ => false,
        };
        client.remember(post, accepted);
    }
}
