//! The only source of randomness here: SplitMix64 (Steele, Lea, Flood 2014).
//!
//! Own code of a dozen lines instead of a crate's generator, because the bytes of the committed fixtures
//! must not change when that crate does.

/// A seeded stream of random numbers. Not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.state)
    }

    /// A number from zero up to, not including, `limit` (zero for a limit of zero).
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `per_mille` of a thousand cases.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// A number from -1 to 1, symmetric, most often near zero.
    pub(crate) fn wobble(&mut self) -> f64 {
        let grain = 1_000_000_u64;
        let sum: u64 = (0..3).map(|_| self.below(grain)).sum();
        (sum as f64 / grain as f64 - 1.5) / 1.5
    }

    /// One of the items, each as likely as the others.
    #[expect(
        clippy::indexing_slicing,
        reason = "below(N) is less than N, and N is not zero"
    )]
    pub(crate) fn pick<'a, T, const N: usize>(&mut self, items: &'a [T; N]) -> &'a T {
        const { assert!(N > 0) };
        &items[self.below(N as u64) as usize]
    }

    /// One of the items by weight; the last one when all weights are zero.
    pub(crate) fn pick_weighted<'a, T, const N: usize>(
        &mut self,
        items: &'a [T; N],
        weight: impl Fn(&T) -> u32,
    ) -> &'a T {
        const { assert!(N > 0) };
        let total: u64 = items.iter().map(|item| u64::from(weight(item))).sum();
        let mut left = self.below(total);
        for item in items {
            let weight = u64::from(weight(item));
            if left < weight {
                return item;
            }
            left -= weight;
        }
        let [.., last] = items.as_slice() else {
            return self.pick(items);
        };
        last
    }

    /// A random (version 4) UUID.
    pub(crate) fn uuid(&mut self) -> u128 {
        uuid_of((u128::from(self.bits()) << 64) | u128::from(self.bits()))
    }
}

/// Random bits with the marks of a version 4 UUID.
pub(crate) fn uuid_of(random: u128) -> u128 {
    let version = (random & !(0xf << 76)) | (0x4 << 76);
    (version & !(0x3 << 62)) | (0x2 << 62)
}

/// Spreads the bits of a number: the output function of SplitMix64, one to one.
pub(crate) fn scramble(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64() {
        // First outputs for seed 1234567 as published with the reference code.
        let mut dice = Dice::new(1_234_567);
        assert_eq!(dice.bits(), 6_457_827_717_110_365_317);
        assert_eq!(dice.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn picks_follow_the_weights() {
        let mut dice = Dice::new(7);
        let mut seen = [0_u32; 3];
        for _ in 0..3000 {
            seen[*dice.pick_weighted(&[0_usize, 1, 2], |item| [0, 1, 2][*item])] += 1;
        }
        assert_eq!(seen[0], 0);
        assert!((900..1100).contains(&seen[1]), "{seen:?}");
    }

    #[test]
    fn bounds_hold() {
        let mut dice = Dice::new(1);
        for _ in 0..1000 {
            assert!((3..=5).contains(&dice.between(3, 5)));
            assert!((-1.0..=1.0).contains(&dice.wobble()));
        }
        assert_eq!(dice.below(0), 0);
    }
}
