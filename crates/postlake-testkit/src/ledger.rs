//! What the clients sent and what was answered: the only truth, the server's own counters are held
//! against it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::DateTime;
use postlake_sparkpost::{AlertPost, Batch, Request};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// What is in one post.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Events, all different.
    pub events: u64,
    /// Alerts, all different.
    pub alerts: u64,
    /// Items that must end in quarantine.
    pub rejects: u64,
}

impl Account {
    /// All of them together.
    pub fn items(&self) -> u64 {
        self.events + self.alerts + self.rejects
    }
}

/// A post that may be sent many times.
#[derive(Clone, Debug)]
pub struct Post {
    /// What goes over the wire.
    pub request: Request,
    /// The sender's batch id.
    pub batch_id: Option<String>,
    /// Hex hash of the body.
    pub sha256: String,
    /// What is in it.
    pub account: Account,
    /// Identities of its items, as [`alert_identity`] and `class/type/event_id` give them.
    pub identities: Vec<String>,
}

impl Post {
    /// A batch of events.
    pub fn events(batch: &Batch) -> Post {
        let identities = batch.keys.iter().enumerate().map(|(index, key)| {
            // Without an id the content is the identity; the batch and the place in it stand for that.
            let id = key
                .event_id()
                .unwrap_or_else(|| format!("{NAMELESS}{}#{index}", batch.id));
            format!("{}/{}/{id}", key.class(), key.event_type)
        });
        Post {
            request: Request::events(batch),
            batch_id: Some(batch.id.clone()),
            sha256: hex_hash(&batch.body),
            account: Account {
                events: batch.events as u64,
                alerts: 0,
                rejects: batch.rejects as u64,
            },
            identities: identities.collect(),
        }
    }

    /// Alerts.
    pub fn alerts(post: &AlertPost) -> Post {
        let alerts: Vec<Value> = serde_json::from_slice(&post.body).unwrap();
        assert_eq!(alerts.len(), post.alerts);
        Post {
            request: Request::alerts(post),
            batch_id: None,
            sha256: hex_hash(&post.body),
            account: Account {
                alerts: post.alerts as u64,
                ..Account::default()
            },
            identities: alerts.iter().map(alert_identity).collect(),
        }
    }

    /// `events` or `alerts`: where it is posted.
    pub fn source(&self) -> &'static str {
        self.request.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Marks the identity of an event that has no id.
pub(crate) const NAMELESS: &str = "without id: ";

/// What tells an alert from every other one, from its JSON or from its row.
pub(crate) fn alert_identity(alert: &Value) -> String {
    let triggered_at = alert["triggered_at"].as_str().unwrap();
    let triggered_at = DateTime::parse_from_rfc3339(triggered_at).unwrap();
    let filters = match &alert["filters"] {
        Value::String(text) => serde_json::from_str(text).unwrap(),
        filters => filters.clone(),
    };
    // Objects of serde_json are sorted by key.
    format!(
        "{}|{}|{}|{filters}",
        alert["alert_id"],
        alert["metric"].as_str().unwrap(),
        triggered_at.timestamp_millis()
    )
}

fn hex_hash(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// A post and how often it was tried and answered 200.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) post: Arc<Post>,
    pub(crate) attempts: u64,
    pub(crate) answers: u64,
}

/// Batch id and hash of the body.
pub(crate) type PostKey = (Option<String>, String);

/// The ledger of any number of clients.
#[derive(Debug, Default)]
pub struct ClientLedger {
    entries: Mutex<BTreeMap<PostKey, Entry>>,
    /// Only grows, and is synced before a post is sent and after its answer has come.
    journal: Option<Mutex<File>>,
    /// The store keeps puts that it does not answer, so that a batch may land more often than it was sent.
    landings_repeat: AtomicBool,
}

/// A line of the journal.
#[derive(Debug, Deserialize, Serialize)]
struct Line {
    answered: bool,
    batch_id: Option<String>,
    sha256: String,
}

impl ClientLedger {
    /// A ledger that is kept in a file as well, which must not be there yet.
    pub fn kept_in(path: &Path) -> ClientLedger {
        ClientLedger {
            entries: Mutex::default(),
            journal: Some(Mutex::new(File::create_new(path).unwrap())),
            landings_repeat: AtomicBool::new(false),
        }
    }

    /// From now on a batch may be in the raw store more often than it was sent: the store keeps puts that it
    /// does not answer, and they are tried again elsewhere. Its items are in the lake once all the same.
    pub fn landings_repeat(&self) {
        self.landings_repeat.store(true, Relaxed);
    }

    /// How often a batch may be there that was sent so many times.
    pub(crate) fn most_landings(&self, attempts: u64) -> u64 {
        match self.landings_repeat.load(Relaxed) {
            true => u64::MAX,
            false => attempts,
        }
    }

    /// Holds the ledger against its file: every attempt and every answer is in there, no other is.
    #[track_caller]
    pub fn assert_kept_in(&self, path: &Path) {
        let mut kept: BTreeMap<PostKey, (u64, u64)> = BTreeMap::new();
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let line: Line = serde_json::from_str(line).unwrap();
            let (attempts, answers) = kept.entry((line.batch_id, line.sha256)).or_default();
            *if line.answered { answers } else { attempts } += 1;
        }
        let counts =
            |(key, entry): (&PostKey, &Entry)| (key.clone(), (entry.attempts, entry.answers));
        let known: BTreeMap<_, _> = self.entries().iter().map(counts).collect();
        assert!(known == kept, "the ledger and its file differ");
    }

    /// Writes before anything else happens; holds up the one client alone that waits for it.
    fn write_down(&self, post: &Post, answered: bool) {
        let Some(journal) = &self.journal else {
            return;
        };
        let line = Line {
            answered,
            batch_id: post.batch_id.clone(),
            sha256: post.sha256.clone(),
        };
        let mut text = serde_json::to_string(&line).unwrap();
        text.push('\n');
        let mut file = journal.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).unwrap();
        file.sync_data().unwrap();
    }

    /// A post is about to be sent.
    pub fn attempt(&self, post: &Arc<Post>) {
        self.write_down(post, false);
        let key = (post.batch_id.clone(), post.sha256.clone());
        let mut entries = self.entries();
        let entry = entries.entry(key).or_insert_with(|| Entry {
            post: Arc::clone(post),
            attempts: 0,
            answers: 0,
        });
        entry.attempts += 1;
    }

    /// It was answered 200.
    pub fn answered(&self, post: &Arc<Post>) {
        self.write_down(post, true);
        let key = (post.batch_id.clone(), post.sha256.clone());
        self.entries().get_mut(&key).unwrap().answers += 1;
    }

    /// Posts answered 200, resent ones too.
    pub fn answers(&self) -> u64 {
        self.entries().values().map(|entry| entry.answers).sum()
    }

    /// Posts that were tried, resent ones too.
    pub fn attempts(&self) -> u64 {
        self.entries().values().map(|entry| entry.attempts).sum()
    }

    pub(crate) fn entries(&self) -> MutexGuard<'_, BTreeMap<PostKey, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
