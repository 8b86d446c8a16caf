//! Says of most keys that are not in a set that they are not, from a few bits for each key.

use postlake_event::key::Key;

/// Words of a block: a key touches one block alone, which is one line of the processor's cache.
const BLOCK_WORDS: usize = 8;
const BLOCK_BITS: u64 = BLOCK_WORDS as u64 * 64;
/// Bits that a key sets in its block.
const PROBES: u32 = 6;
/// Bits of the key that each probe takes.
const PROBE_BITS: u32 = BLOCK_BITS.trailing_zeros();

/// A Bloom filter in blocks. Keys are digests, so their bits need no further hashing.
#[derive(Debug)]
pub(super) struct Filter {
    blocks: Vec<[u64; BLOCK_WORDS]>,
}

impl Filter {
    /// An empty filter for that many keys.
    pub(super) fn new(keys: u64, bits_per_key: u64) -> Filter {
        let blocks = (keys * bits_per_key).div_ceil(BLOCK_BITS).max(1);
        Filter {
            blocks: vec![[0; BLOCK_WORDS]; usize::try_from(blocks).unwrap_or(1)],
        }
    }

    pub(super) fn insert(&mut self, key: Key) {
        let place = self.place(key);
        if let Some(block) = self.blocks.get_mut(place) {
            for (word, bit) in probes(key) {
                if let Some(word) = block.get_mut(word) {
                    *word |= bit;
                }
            }
        }
    }

    /// False if the key was never inserted. True says nothing.
    pub(super) fn may_contain(&self, key: Key) -> bool {
        let Some(block) = self.blocks.get(self.place(key)) else {
            return true;
        };
        probes(key).all(|(word, bit)| block.get(word).is_none_or(|word| word & bit != 0))
    }

    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * BLOCK_WORDS * 8
    }

    /// From the upper half of the key; the probes take the lower one.
    fn place(&self, Key(key): Key) -> usize {
        let upper = key >> 64;
        usize::try_from((upper * self.blocks.len() as u128) >> 64).unwrap_or(0)
    }
}

/// Word and bit of each probe.
fn probes(Key(key): Key) -> impl Iterator<Item = (usize, u64)> {
    (0..PROBES).map(move |probe| {
        let bit = (key >> (probe * PROBE_BITS)) as u64 % BLOCK_BITS;
        ((bit / 64) as usize, 1 << (bit % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key {
        Key::of_hash(&number.to_string())
    }

    #[test]
    fn no_key_is_forgotten_and_few_are_invented() {
        let mut filter = Filter::new(10_000, 12);
        (0..10_000).for_each(|number| filter.insert(key(number)));
        assert!((0..10_000).all(|number| filter.may_contain(key(number))));
        let invented = (10_000..20_000)
            .filter(|number| filter.may_contain(key(*number)))
            .count();
        assert!(invented < 200, "{invented} of 10,000");
        assert_eq!(filter.bytes(), 15_040);
    }
}
