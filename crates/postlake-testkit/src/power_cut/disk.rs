//! What is on the simulated disk: folders with names, files with bytes.

use std::collections::{BTreeMap, HashMap};

use bytes::{Bytes, BytesMut};

use super::recording::{Recording, Step};

/// Index into the nodes of a recording.
pub(super) type NodeId = usize;

/// The folder that was there before.
pub(super) const ROOT: NodeId = 0;

/// A file or a folder, whatever names it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File,
    Folder,
}

/// Names and bytes that have reached the disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    entries: HashMap<NodeId, BTreeMap<String, NodeId>>,
    files: HashMap<NodeId, Content>,
}

/// The bytes of a file. Most are written once and whole, and shared with the recording.
#[derive(Debug)]
enum Content {
    Whole(Bytes),
    Pieces(BytesMut),
}

impl Disk {
    pub(super) fn enter(&mut self, folder: NodeId, name: &str, node: Option<NodeId>) {
        let names = self.entries.entry(folder).or_default();
        match node {
            Some(node) => names.insert(name.to_owned(), node),
            None => names.remove(name),
        };
    }

    pub(super) fn write(&mut self, file: NodeId, offset: u64, bytes: &Bytes) {
        if offset == 0 && !self.files.contains_key(&file) {
            self.files.insert(file, Content::Whole(bytes.clone()));
            return;
        }
        let start = usize::try_from(offset).unwrap();
        let content = self.pieces(file);
        if content.len() < start + bytes.len() {
            content.resize(start + bytes.len(), 0);
        }
        content[start..start + bytes.len()].copy_from_slice(bytes);
    }

    /// Makes the file at least that long, with `filler` in the new part.
    pub(super) fn stretch(&mut self, file: NodeId, length: u64, filler: u8) {
        let length = usize::try_from(length).unwrap();
        let content = self.pieces(file);
        if content.len() < length {
            content.resize(length, filler);
        }
    }

    pub(super) fn resize(&mut self, file: NodeId, length: u64) {
        self.pieces(file)
            .resize(usize::try_from(length).unwrap(), 0);
    }

    fn pieces(&mut self, file: NodeId) -> &mut BytesMut {
        let content = self
            .files
            .entry(file)
            .or_insert_with(|| Content::Pieces(BytesMut::new()));
        if let Content::Whole(bytes) = content {
            *content = Content::Pieces(BytesMut::from(bytes.as_ref()));
        }
        match content {
            Content::Pieces(pieces) => pieces,
            Content::Whole(_) => unreachable!("it was just made pieces"),
        }
    }

    /// Every file that can be reached from the root, by its path.
    pub(super) fn tree(&self, nodes: &[Node]) -> Vec<(String, Bytes)> {
        let mut tree = Vec::new();
        self.collect(nodes, ROOT, "", &mut tree);
        tree
    }

    fn collect(&self, nodes: &[Node], folder: NodeId, at: &str, tree: &mut Vec<(String, Bytes)>) {
        for (name, node) in self.entries.get(&folder).into_iter().flatten() {
            let path = if at.is_empty() {
                name.clone()
            } else {
                format!("{at}/{name}")
            };
            match nodes[*node] {
                Node::Folder => self.collect(nodes, *node, &path, tree),
                Node::File => tree.push((path, self.bytes(*node))),
            }
        }
    }

    fn bytes(&self, file: NodeId) -> Bytes {
        match self.files.get(&file) {
            None => Bytes::new(),
            Some(Content::Whole(bytes)) => bytes.clone(),
            Some(Content::Pieces(pieces)) => Bytes::copy_from_slice(pieces),
        }
    }
}

impl Recording {
    /// The disk after all steps, nothing lost.
    pub(super) fn whole(&self) -> Vec<(String, Bytes)> {
        let mut disk = Disk::default();
        for step in &self.steps {
            match step {
                Step::Entry { folder, name, node } => disk.enter(*folder, name, *node),
                Step::Move {
                    folder,
                    from,
                    to,
                    node,
                } => {
                    disk.enter(*folder, from, None);
                    disk.enter(*folder, to, Some(*node));
                }
                Step::Write {
                    file,
                    offset,
                    bytes,
                } => disk.write(*file, *offset, bytes),
                Step::Resize { file, length } => disk.resize(*file, *length),
                Step::Sync(_) | Step::Acked(_) => {}
            }
        }
        disk.tree(&self.nodes)
    }
}
