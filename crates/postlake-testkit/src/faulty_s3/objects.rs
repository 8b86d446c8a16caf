//! What is stored, and the witness of what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A put that was answered 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Name of the object.
    pub key: String,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// What the server did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests of all kinds.
    pub requests: u64,
    /// Puts among them.
    pub puts: u64,
    /// Objects stored.
    pub stored: u64,
    /// Requests that met a fault other than a wait.
    pub failed: u64,
}

#[derive(Debug)]
struct Object {
    bytes: Bytes,
    /// Order of its coming.
    number: u64,
}

#[derive(Debug, Default)]
pub(super) struct Objects {
    objects: BTreeMap<String, Object>,
    acknowledged: Vec<Acknowledged>,
    pub(super) counted: Counts,
}

/// A listing: the objects (name and size) and the folders.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) objects: Vec<(String, usize)>,
    pub(super) folders: BTreeSet<String>,
    pub(super) more_after: Option<String>,
}

impl Objects {
    pub(super) fn all(&self) -> BTreeMap<String, Bytes> {
        let objects = self.objects.iter();
        objects
            .map(|(key, object)| (key.clone(), object.bytes.clone()))
            .collect()
    }

    pub(super) fn acknowledged(&self) -> Vec<Acknowledged> {
        self.acknowledged.clone()
    }

    pub(super) fn counts(&self) -> Counts {
        self.counted
    }

    pub(super) fn get(&self, key: &str) -> Option<Bytes> {
        self.objects.get(key).map(|object| object.bytes.clone())
    }

    /// False, and nothing done, when the name is taken and must not be.
    pub(super) fn put(&mut self, key: &str, bytes: Bytes, create_only: bool) -> bool {
        if create_only && self.objects.contains_key(key) {
            return false;
        }
        self.counted.stored += 1;
        let number = self.counted.stored;
        self.objects
            .insert(key.to_owned(), Object { bytes, number });
        true
    }

    /// Notes that the put of what stands under `key` is answered 200.
    pub(super) fn acknowledge(&mut self, key: &str) {
        if let Some(object) = self.objects.get(key) {
            self.acknowledged.push(Acknowledged {
                key: key.to_owned(),
                sha256: Sha256::digest(&object.bytes).into(),
            });
        }
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.objects.remove(key);
    }

    /// Up to `limit` names under `prefix` and behind `after`, folded at `delimiter`; without the
    /// newest of them when `stale`.
    pub(super) fn list(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        after: &str,
        limit: usize,
        stale: bool,
    ) -> Listing {
        let within = |(key, _): &(&String, &Object)| key.starts_with(prefix);
        let newest = self
            .objects
            .iter()
            .filter(within)
            .max_by_key(|(_, object)| object.number)
            .map(|(key, _)| key.clone())
            .filter(|_| stale);
        let mut listing = Listing::default();
        let found = self.objects.iter().filter(within);
        for (key, object) in
            found.filter(|(key, _)| key.as_str() > after && Some(*key) != newest.as_ref())
        {
            if listing.objects.len() + listing.folders.len() >= limit {
                let last = listing.objects.last().map(|(key, _)| key.clone());
                listing.more_after = last.or(listing.folders.last().cloned());
                break;
            }
            let rest = key.strip_prefix(prefix).unwrap_or(key);
            match delimiter.and_then(|delimiter| {
                rest.split_once(delimiter)
                    .map(|(folder, _)| (folder, delimiter))
            }) {
                Some((folder, delimiter)) => {
                    listing
                        .folders
                        .insert(format!("{prefix}{folder}{delimiter}"));
                }
                None => listing.objects.push((key.clone(), object.bytes.len())),
            }
        }
        listing
    }
}
