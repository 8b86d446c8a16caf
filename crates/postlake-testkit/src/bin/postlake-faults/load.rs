//! Clients that post until they are told to stop, and what they were answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use postlake_testkit::{Client, ClientLedger, http};
use serde_json::{Value, json};

/// Between two tries of a client whose server is gone.
const PAUSE: Duration = Duration::from_millis(5);

/// Counts by status; 0 stands for no whole answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    by_status: BTreeMap<u16, u64>,
    slowest: Duration,
}

impl Answers {
    pub(crate) fn add(&mut self, other: &Answers) {
        for (status, count) in &other.by_status {
            *self.by_status.entry(*status).or_default() += count;
        }
        self.slowest = self.slowest.max(other.slowest);
    }

    /// One answer 200.
    pub(crate) fn accepted() -> Answers {
        Answers {
            by_status: BTreeMap::from([(200, 1)]),
            ..Answers::default()
        }
    }

    pub(crate) fn count(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    /// Whether every answer that came was 200 or 503.
    pub(crate) fn as_promised(&self) -> bool {
        self.by_status
            .keys()
            .all(|status| [0, 200, 503].contains(status))
    }

    /// The longest wait for a whole answer.
    pub(crate) fn slowest(&self) -> Duration {
        self.slowest
    }

    pub(crate) fn json(&self) -> Value {
        let by_status: BTreeMap<String, u64> = self
            .by_status
            .iter()
            .map(|(status, count)| (status.to_string(), *count))
            .collect();
        json!({ "by_status": by_status, "slowest_seconds": self.slowest.as_secs_f64() })
    }
}

/// Some clients, each with its own traffic, all in one ledger.
#[derive(Debug)]
pub(crate) struct Clients<'a> {
    clients: Vec<Mutex<Client>>,
    ledger: &'a ClientLedger,
}

impl<'a> Clients<'a> {
    pub(crate) fn new(seed: u64, count: u64, ledger: &'a ClientLedger) -> Clients<'a> {
        let client = |number| Mutex::new(Client::new(seed, number).with_profiles());
        Clients {
            clients: (0..count).map(client).collect(),
            ledger,
        }
    }

    /// All of them post while `script` runs.
    pub(crate) fn while_running<T>(
        &self,
        to: SocketAddr,
        script: impl FnOnce() -> T,
    ) -> (T, Answers) {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let workers: Vec<_> = self
                .clients
                .iter()
                .map(|client| scope.spawn(|| self.post_until(client, to, &over)))
                .collect();
            let value = script();
            over.store(true, Ordering::SeqCst);
            let mut answers = Answers::default();
            for worker in workers {
                answers.add(&worker.join().unwrap());
            }
            (value, answers)
        })
    }

    /// Each of them posts so many times, or until `limit` has passed.
    pub(crate) fn each_posts(&self, to: SocketAddr, count: u64, limit: Duration) -> Answers {
        let started = Instant::now();
        let post_all = |client: &Mutex<Client>| {
            let mut answers = Answers::default();
            let mut client = lock(client);
            for _ in 0..count {
                if started.elapsed() > limit {
                    break;
                }
                self.post(&mut client, to, &mut answers);
            }
            answers
        };
        thread::scope(|scope| {
            let workers: Vec<_> = self
                .clients
                .iter()
                .map(|client| scope.spawn(|| post_all(client)))
                .collect();
            let mut answers = Answers::default();
            for worker in workers {
                answers.add(&worker.join().unwrap());
            }
            answers
        })
    }

    /// The first of them posts so many times; ends early when nobody answers any more.
    pub(crate) fn posts(&self, to: SocketAddr, count: usize) -> Answers {
        let mut answers = Answers::default();
        let mut client = lock(&self.clients[0]);
        for _ in 0..count {
            let (before, gone) = (answers.count(0), self.post(&mut client, to, &mut answers));
            if gone && answers.count(0) > before + 1 {
                break;
            }
        }
        answers
    }

    /// Posts until an answer is 200; false if none is within the limit.
    pub(crate) fn accepted_within(&self, to: SocketAddr, limit: Duration) -> bool {
        let started = Instant::now();
        let mut client = lock(&self.clients[0]);
        let mut answers = Answers::default();
        while started.elapsed() < limit {
            self.post(&mut client, to, &mut answers);
            if answers.count(200) > 0 {
                return true;
            }
            thread::sleep(PAUSE);
        }
        false
    }

    fn post_until(&self, client: &Mutex<Client>, to: SocketAddr, over: &AtomicBool) -> Answers {
        let mut answers = Answers::default();
        let mut client = lock(client);
        while !over.load(Ordering::SeqCst) {
            if self.post(&mut client, to, &mut answers) {
                thread::sleep(PAUSE);
            }
        }
        answers
    }

    /// True if nobody answered.
    fn post(&self, client: &mut Client, to: SocketAddr, answers: &mut Answers) -> bool {
        let post = client.next_post();
        self.ledger.attempt(&post);
        let started = Instant::now();
        let status = http::post(to, &post.request).map_or(0, |answer| answer.status);
        if status == 200 {
            self.ledger.answered(&post);
        }
        if status != 0 {
            answers.slowest = answers.slowest.max(started.elapsed());
        }
        *answers.by_status.entry(status).or_default() += 1;
        client.remember(post, status == 200);
        status == 0
    }
}

fn lock(client: &Mutex<Client>) -> std::sync::MutexGuard<'_, Client> {
    client.lock().unwrap_or_else(PoisonError::into_inner)
}
