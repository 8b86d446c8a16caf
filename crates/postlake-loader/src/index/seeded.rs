//! Sets of keys. Keys are digests, but a sender can choose events whose digests are alike in a few
//! bits, so the hash is seeded.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

use postlake_event::key::Key;

pub(super) type KeySet = HashSet<Key, Seeded>;

/// One seed for the life of the process.
static SEED: LazyLock<(u64, u64)> = LazyLock::new(|| {
    let state = RandomState::new();
    (state.hash_one(1), state.hash_one(2))
});

#[derive(Clone, Copy, Debug)]
pub(super) struct Seeded(u64, u64);

impl Default for Seeded {
    fn default() -> Seeded {
        let (one, two) = *SEED;
        Seeded(one, two)
    }
}

impl BuildHasher for Seeded {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher {
            seed: *self,
            hash: 0,
        }
    }
}

/// Folds the product of both halves of a key, each mixed with its half of the seed.
#[derive(Debug)]
pub(super) struct KeyHasher {
    seed: Seeded,
    hash: u64,
}

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.hash
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u128(u128::from(self.hash) << 8 | u128::from(*byte));
        }
    }

    fn write_u128(&mut self, key: u128) {
        let Seeded(one, two) = self.seed;
        let product = u128::from(key as u64 ^ one) * u128::from((key >> 64) as u64 ^ two);
        self.hash = (product >> 64) as u64 ^ product as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_alike_in_a_half_are_told_apart() {
        let hash = |key: u128| Seeded::default().hash_one(Key(key));
        let hashes: HashSet<u64> = (0..1000).map(|half| hash(half << 64 | 7)).collect();
        assert_eq!(hashes.len(), 1000);
        let hashes: HashSet<u64> = (0..1000).map(|half| hash(7 << 64 | half)).collect();
        assert_eq!(hashes.len(), 1000);
    }
}
