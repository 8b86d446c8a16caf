//! From the log of calls to what they do to files and folders.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::disk::{Node, NodeId, ROOT};
use crate::strace::{Call, calls};

/// A batch that was answered 200.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acked {
    /// The sender's batch id.
    pub batch_id: Option<String>,
    /// Hash of the body.
    pub sha256: [u8; 32],
}

/// What happened, in order.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The folder's entry of that name is this node from now on, or nothing.
    Entry {
        folder: NodeId,
        name: String,
        node: Option<NodeId>,
    },
    /// An entry got another name in the same folder, in place of what had it.
    Move {
        folder: NodeId,
        from: String,
        to: String,
        node: NodeId,
    },
    Write {
        file: NodeId,
        offset: u64,
        bytes: Bytes,
    },
    Resize {
        file: NodeId,
        length: u64,
    },
    /// An fsync that returned without an error.
    Sync(NodeId),
    /// An answer 200 began to leave.
    Acked(Acked),
}

/// Everything that one process, or several one after the other, did to a folder.
#[derive(Clone, Debug)]
pub struct Recording {
    home: PathBuf,
    pub(super) steps: Vec<Step>,
    pub(super) nodes: Vec<Node>,
    /// Folders as the processes saw them.
    entries: HashMap<(NodeId, String), NodeId>,
    /// What was asked, answered or not.
    pub(super) asked: HashSet<Acked>,
    /// Names that are known to be gone before the call that takes them away is seen to return.
    gone: HashSet<(NodeId, String)>,
}

#[derive(Debug)]
enum Open {
    Node { node: NodeId, at: u64 },
    Socket { received: Vec<u8> },
}

impl Recording {
    /// A recording of what happens below `home`, which is empty and on the disk.
    pub fn new(home: &Path) -> Recording {
        Recording {
            home: home.to_owned(),
            steps: Vec::new(),
            nodes: vec![Node::Folder],
            entries: HashMap::new(),
            asked: HashSet::new(),
            gone: HashSet::new(),
        }
    }

    /// Adds what a process did that has ended meanwhile.
    #[track_caller]
    pub fn add(&mut self, log: &Path) {
        let mut open = HashMap::new();
        for call in calls(log) {
            self.answer(&call, &mut open);
            // Its number is free, and may be another's, before the call is seen to return.
            if call.name == "close" && !call.resumed {
                drop(call.descriptor().map(|number| open.remove(&number)));
            }
            if call.begun {
                continue;
            }
            // A call that the kill came before, or that failed, has done nothing.
            if let Some(returned) = call.returned.filter(|returned| *returned >= 0) {
                self.apply(&call, returned, &mut open);
            }
        }
    }

    /// How many steps there are; a cut falls between two of them.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many answers 200 it has.
    pub fn acked(&self) -> usize {
        let acked = |step: &&Step| matches!(step, Step::Acked(_));
        self.steps.iter().filter(acked).count()
    }

    /// How many times something was synced.
    pub fn syncs(&self) -> usize {
        let synced = |step: &&Step| matches!(step, Step::Sync(_));
        self.steps.iter().filter(synced).count()
    }

    /// The same with all syncs of folders left out: a program that forgets them.
    pub fn without_syncs_of_folders(&self) -> Recording {
        self.without(|node| *node == Node::Folder)
    }

    /// The same with all syncs of files left out.
    pub fn without_syncs_of_files(&self) -> Recording {
        self.without(|node| *node == Node::File)
    }

    fn without(&self, left_out: impl Fn(&Node) -> bool) -> Recording {
        let mut mutant = self.clone();
        mutant
            .steps
            .retain(|step| !matches!(step, Step::Sync(node) if left_out(&self.nodes[*node])));
        mutant
    }

    /// Holds the disk after all steps against the real folder: the recording must have missed nothing.
    #[track_caller]
    pub fn assert_true_to(&self, folder: &Path) {
        let below = folder.strip_prefix(&self.home).unwrap();
        let mut real = BTreeMap::new();
        read_tree(folder, below, &mut real);
        let recorded: BTreeMap<String, Bytes> = self
            .whole()
            .into_iter()
            .filter(|(name, _)| Path::new(name).starts_with(below))
            .collect();
        let names = |tree: &BTreeMap<String, Bytes>| tree.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&recorded), names(&real), "the recording missed names");
        for (name, bytes) in &real {
            assert!(recorded[name] == *bytes, "the recording differs in {name}");
        }
    }

    /// An answer 200 counts from the moment that it begins to leave.
    fn answer(&mut self, call: &Call, open: &mut HashMap<i64, Open>) {
        if !["writev", "sendto", "sendmsg", "write"].contains(&call.name.as_str()) {
            return;
        }
        let Some(Open::Socket { received }) =
            call.descriptor().and_then(|number| open.get_mut(&number))
        else {
            return;
        };
        let sent = call.texts().concat();
        if sent.starts_with(b"HTTP/1.1 ") {
            let asked = request(received);
            // The end of an interrupted call finds nothing left.
            received.clear();
            if sent.starts_with(b"HTTP/1.1 200") {
                self.steps.extend(asked.map(Step::Acked));
            }
        }
    }

    fn apply(&mut self, call: &Call, returned: i64, open: &mut HashMap<i64, Open>) {
        match call.name.as_str() {
            "openat" => self.open(call, returned, open),
            "close" => {}
            "dup" | "fcntl" => {
                assert!(
                    !call.arguments.contains("DUPFD") || !self.is_node(call, open),
                    "two descriptors of one file are not modelled"
                );
            }
            "accept4" => {
                let received = Vec::new();
                open.insert(returned, Open::Socket { received });
            }
            "recvfrom" => {
                let number = call.descriptor().unwrap_or(-1);
                if let Some(Open::Socket { received }) = open.get_mut(&number) {
                    received.extend(call.texts().concat());
                    self.asked.extend(request(received));
                }
            }
            "write" | "writev" | "pwrite64" | "pwritev" => self.write(call, returned, open),
            "lseek" => {
                let number = call.descriptor().unwrap_or(-1);
                if let Some(Open::Node { at, .. }) = open.get_mut(&number) {
                    *at = returned.unsigned_abs();
                }
            }
            "ftruncate" => {
                if let Some(file) = node_of(call, open) {
                    let length = call.last_number().unwrap().unsigned_abs();
                    self.steps.push(Step::Resize { file, length });
                }
            }
            "fsync" | "fdatasync" => {
                self.steps.extend(node_of(call, open).map(Step::Sync));
            }
            "mkdir" | "mkdirat" => self.make(call, Node::Folder),
            "link" | "linkat" => {
                if let Some(node) = self.lookup(call, 0) {
                    self.enter(call, 1, Some(node));
                }
            }
            "unlink" | "unlinkat" | "rmdir" => self.remove(call),
            "rename" | "renameat" | "renameat2" => self.rename(call),
            other => {
                let ours = self.is_node(call, open) || self.place(call, 0).is_some();
                assert!(!ours, "{other} is not modelled");
            }
        }
    }

    fn open(&mut self, call: &Call, returned: i64, open: &mut HashMap<i64, Open>) {
        open.remove(&returned);
        if self.relative(call, 0).is_none() || is_reserve(call) {
            return;
        }
        let there = self.lookup(call, 0).is_some();
        if there && call.arguments.contains("O_EXCL") {
            // It has made a file, so the name was free: what takes it away has not returned yet.
            self.enter(call, 0, None);
            self.gone.extend(self.place(call, 0));
            self.make(call, Node::File);
        } else if !there && call.arguments.contains("O_CREAT") {
            self.make(call, Node::File);
        }
        assert!(
            !call.arguments.contains("O_APPEND"),
            "appending is not modelled"
        );
        if let Some(node) = self.lookup(call, 0) {
            if call.arguments.contains("O_TRUNC") {
                let (file, length) = (node, 0);
                self.steps.push(Step::Resize { file, length });
            }
            open.insert(returned, Open::Node { node, at: 0 });
        }
    }

    fn write(&mut self, call: &Call, returned: i64, open: &mut HashMap<i64, Open>) {
        let number = call.descriptor().unwrap_or(-1);
        let Some(Open::Node { node, at }) = open.get_mut(&number) else {
            return;
        };
        let mut bytes = call.texts().concat();
        let written = usize::try_from(returned).unwrap();
        assert!(bytes.len() >= written, "the log lacks bytes");
        bytes.truncate(written);
        let offset = if call.name.starts_with('p') {
            call.last_number().unwrap().unsigned_abs()
        } else {
            let offset = *at;
            *at += bytes.len() as u64;
            offset
        };
        self.steps.push(Step::Write {
            file: *node,
            offset,
            bytes: bytes.into(),
        });
    }

    fn rename(&mut self, call: &Call) {
        let (Some((folder, from)), Some((other, to))) = (self.place(call, 0), self.place(call, 1))
        else {
            return;
        };
        assert_eq!(folder, other, "a move between folders is not modelled");
        let node = self.entries.remove(&(folder, from.clone())).unwrap();
        self.entries.insert((folder, to.clone()), node);
        self.steps.push(Step::Move {
            folder,
            from,
            to,
            node,
        });
    }

    /// A new node under the path of the call.
    fn make(&mut self, call: &Call, node: Node) {
        if self.place(call, 0).is_some() {
            self.nodes.push(node);
            self.enter(call, 0, Some(self.nodes.len() - 1));
        }
    }

    fn remove(&mut self, call: &Call) {
        let early = self
            .place(call, 0)
            .is_some_and(|place| self.gone.remove(&place));
        if !early {
            self.enter(call, 0, None);
        }
    }

    fn enter(&mut self, call: &Call, index: usize, node: Option<NodeId>) {
        let Some((folder, name)) = self.place(call, index) else {
            return;
        };
        let key = (folder, name.clone());
        match node {
            Some(node) => self.entries.insert(key, node),
            None => self.entries.remove(&key),
        };
        self.steps.push(Step::Entry { folder, name, node });
    }

    /// The path of the call as names below home.
    fn relative(&self, call: &Call, index: usize) -> Option<Vec<String>> {
        let path = call.path(index)?;
        let below = path.strip_prefix(&self.home).ok()?.to_owned();
        let names = below.components().map(|part| match part {
            Component::Normal(name) => name.to_str().unwrap().to_owned(),
            _ => panic!("{} is not modelled", below.display()),
        });
        Some(names.collect())
    }

    /// Folder and name of the path of the call.
    fn place(&self, call: &Call, index: usize) -> Option<(NodeId, String)> {
        let mut names = self.relative(call, index)?;
        let name = names.pop()?;
        Some((self.walk(&names)?, name))
    }

    fn lookup(&self, call: &Call, index: usize) -> Option<NodeId> {
        self.walk(&self.relative(call, index)?)
    }

    fn walk(&self, names: &[String]) -> Option<NodeId> {
        let step = |folder, name: &String| self.entries.get(&(folder, name.clone())).copied();
        names.iter().try_fold(ROOT, step)
    }

    fn is_node(&self, call: &Call, open: &HashMap<i64, Open>) -> bool {
        node_of(call, open).is_some()
    }
}

/// Space that is kept back; what is in it is nobody's.
const RESERVE: &str = "postlake.reserve";

fn is_reserve(call: &Call) -> bool {
    call.path(0).is_some_and(|path| path.ends_with(RESERVE))
}

fn node_of(call: &Call, open: &HashMap<i64, Open>) -> Option<NodeId> {
    match open.get(&call.descriptor()?)? {
        Open::Node { node, .. } => Some(*node),
        Open::Socket { .. } => None,
    }
}

/// Batch id and hash of the body of a request for a webhook; none if it is another one or cut short.
fn request(received: &[u8]) -> Option<Acked> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&received[..end]).ok()?;
    let header = |wanted: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        let mut named = lines.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.next().map(|(_, value)| value.trim().to_owned())
    };
    let length: usize = header("content-length")?.parse().ok()?;
    let body = received.get(end + 4..end + 4 + length)?;
    head.starts_with("POST /").then(|| Acked {
        batch_id: header("x-messagesystems-batch-id"),
        sha256: Sha256::digest(body).into(),
    })
}

fn read_tree(folder: &Path, below: &Path, into: &mut BTreeMap<String, Bytes>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = below.join(path.file_name().unwrap());
        if path.is_dir() {
            read_tree(&path, &name, into);
        } else if name.file_name() != Some(RESERVE.as_ref()) {
            let bytes = fs::read(&path).unwrap().into();
            into.insert(name.to_str().unwrap().to_owned(), bytes);
        }
    }
}
