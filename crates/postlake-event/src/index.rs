//! Where the structure of a JSON text lies: every quote that opens or closes a string, and every
//! bracket, colon and comma outside of strings.
//!
//! Sixty-four bytes are looked at together, and each kind of byte becomes one bit mask; after that the
//! readers step from token to token and never look at the inside of a plain string. The idea is that
//! of simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019). The index knows
//! nothing of grammar: whether the tokens make sense is for its readers to say.

use std::ops::Range;

use wide::u8x16;

const BLOCK: usize = 64;

/// Bytes that are indexed at a time, so that the index of a large body never exists as a whole.
const WINDOW: usize = 256 * BLOCK;

/// Tokens of a body, found as its reader goes on.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Room for tokens; the first `found` are.
    tokens: Vec<u32>,
    found: usize,
    unusual: Unusual,
    /// Up to where the body is indexed.
    next: usize,
    /// All ones if that place is inside of a string.
    inside: u64,
    /// One if the byte there is escaped.
    escaped: u64,
}

/// Blocks in which not every string is plain: they hold a backslash or, inside of a string, a control
/// character.
#[derive(Debug, Default)]
pub(crate) struct Unusual {
    /// Where the first block begins.
    start: usize,
    blocks: usize,
    bits: Vec<u64>,
}

/// What a reader of one item needs to know of it: its tokens and where its strings are not plain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Structure<'i> {
    /// Where the item begins in what was indexed; the tokens count from the begin of that.
    pub(crate) base: usize,
    pub(crate) tokens: &'i [u32],
    pub(crate) unusual: &'i Unusual,
}

impl Index {
    /// Forgets everything and begins at `at`, outside of strings.
    pub(crate) fn restart(&mut self, at: usize) {
        self.found = 0;
        self.unusual.restart(at);
        (self.next, self.inside, self.escaped) = (at, 0, 0);
    }

    /// Indexes the next window. False if there is nothing left of the body.
    pub(crate) fn advance(&mut self, body: &[u8]) -> bool {
        let end = body.len().min(self.next.saturating_add(WINDOW));
        let Some(window) = body.get(self.next..end).filter(|bytes| !bytes.is_empty()) else {
            return false;
        };
        let (blocks, rest) = window.as_chunks::<BLOCK>();
        let mut at = self.next;
        for block in blocks {
            self.add(block, at);
            at += BLOCK;
        }
        if !rest.is_empty() {
            let mut block = [b' '; BLOCK];
            for (to, from) in block.iter_mut().zip(rest) {
                *to = *from;
            }
            self.add(&block, at);
        }
        self.next = end;
        true
    }

    /// The position of a token, if it is indexed.
    #[inline]
    pub(crate) fn token(&self, at: usize) -> Option<usize> {
        self.found().get(at).map(|position| *position as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.found
    }

    /// Forgets the first `count` tokens.
    pub(crate) fn forget(&mut self, count: usize) {
        let count = count.min(self.found);
        self.tokens.copy_within(count..self.found, 0);
        self.found -= count;
    }

    #[inline]
    fn found(&self) -> &[u32] {
        self.tokens.get(..self.found).unwrap_or_default()
    }

    pub(crate) fn structure(&self, tokens: Range<usize>, base: usize) -> Structure<'_> {
        Structure {
            base,
            tokens: self.found().get(tokens).unwrap_or_default(),
            unusual: &self.unusual,
        }
    }

    fn add(&mut self, block: &[u8; BLOCK], at: usize) {
        let masks = Masks::of(block);
        let escaped = if masks.backslash | self.escaped == 0 {
            0
        } else {
            self.escapes(masks.backslash)
        };
        let quotes = masks.quote & !escaped;
        let inside = parity(quotes) ^ self.inside;
        self.inside = 0_u64.wrapping_sub(inside >> 63);
        self.unusual
            .push(masks.backslash | (masks.control & inside) != 0);
        self.push((masks.structure & !inside) | quotes, at);
    }

    /// Which bytes follow an odd number of backslashes.
    fn escapes(&mut self, backslash: u64) -> u64 {
        let mut left = backslash & !self.escaped;
        let mut escaped = self.escaped;
        self.escaped = 0;
        while left != 0 {
            let at = left.trailing_zeros();
            if at == 63 {
                self.escaped = 1;
                break;
            }
            escaped |= 2 << at;
            left &= !(3 << at);
        }
        escaped
    }

    fn push(&mut self, mut tokens: u64, at: usize) {
        let at = at as u32;
        let count = tokens.count_ones() as usize;
        if self.tokens.len() < self.found + BLOCK {
            self.tokens.resize(self.found + WINDOW, 0);
        }
        let room = self.tokens.get_mut(self.found..).unwrap_or_default();
        let (eights, _) = room.as_chunks_mut::<8>();
        for eight in eights.iter_mut().take(count.div_ceil(8)) {
            for position in eight {
                *position = at.wrapping_add(tokens.trailing_zeros());
                tokens &= tokens.wrapping_sub(1);
            }
        }
        self.found += count;
    }
}

impl Unusual {
    fn restart(&mut self, at: usize) {
        self.bits.clear();
        (self.start, self.blocks) = (at, 0);
    }

    fn push(&mut self, unusual: bool) {
        let bit = self.blocks % 64;
        if bit == 0 {
            self.bits.push(0);
        }
        if let Some(word) = self.bits.last_mut() {
            *word |= u64::from(unusual) << bit;
        }
        self.blocks += 1;
    }

    /// True if a string that lies in `range` may be more than its plain characters.
    #[inline]
    pub(crate) fn touches(&self, range: Range<usize>) -> bool {
        let first = range.start.saturating_sub(self.start) / BLOCK;
        let last = range.end.saturating_sub(self.start) / BLOCK;
        (first..=last).any(|block| {
            let word = self.bits.get(block / 64).copied().unwrap_or(0);
            word >> (block % 64) & 1 != 0
        })
    }
}

/// One bit for each byte of a block.
struct Masks {
    quote: u64,
    backslash: u64,
    /// Brackets, colons and commas.
    structure: u64,
    /// Bytes below the space.
    control: u64,
}

impl Masks {
    fn of(block: &[u8; BLOCK]) -> Masks {
        let mut masks = Masks {
            quote: 0,
            backslash: 0,
            structure: 0,
            control: 0,
        };
        let (parts, _) = block.as_chunks::<16>();
        for (part, bytes) in parts.iter().enumerate() {
            let bytes = u8x16::from(*bytes);
            let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
            // `[` and `]` differ from `{` and `}` in this bit alone.
            let folded = bytes | u8x16::splat(0x20);
            let bracket = folded.simd_eq(u8x16::splat(b'{')) | folded.simd_eq(u8x16::splat(b'}'));
            let structure = bracket | is(b':') | is(b',');
            let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
            let shift = 16 * part;
            masks.quote |= u64::from(is(b'"').to_bitmask()) << shift;
            masks.backslash |= u64::from(is(b'\\').to_bitmask()) << shift;
            masks.structure |= u64::from(structure.to_bitmask()) << shift;
            masks.control |= u64::from(control.to_bitmask()) << shift;
        }
        masks
    }
}

/// Each bit is the parity of the bits up to and with its place: one from an opening quote on, zero
/// from the closing one on.
fn parity(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tokens and strings' oddities as a reader of single bytes finds them.
    fn plainly(body: &[u8]) -> (Vec<u32>, Vec<usize>) {
        let (mut tokens, mut unusual) = (Vec::new(), Vec::new());
        let (mut inside, mut escaped) = (false, false);
        for (at, byte) in body.iter().enumerate() {
            let token = match byte {
                b'"' => !escaped,
                b'{' | b'}' | b'[' | b']' | b':' | b',' => !inside,
                _ => false,
            };
            if token {
                tokens.push(u32::try_from(at).unwrap());
            }
            if *byte == b'"' && !escaped {
                inside = !inside;
            }
            if *byte == b'\\' || (inside && *byte < b' ') {
                unusual.push(at);
            }
            escaped = *byte == b'\\' && !escaped;
        }
        (tokens, unusual)
    }

    proptest! {
        #[test]
        fn blocks_find_what_single_bytes_find(
            body in "([\\[\\]{}:,\"\\\\a-c\\n é]|\\\\\\\\|\\\\\"){0,400}",
            start in 0_usize..70,
        ) {
            let body = body.as_bytes();
            let start = start.min(body.len());
            let mut index = Index::default();
            index.restart(start);
            while index.advance(body) {}
            let (tokens, unusual) = plainly(&body[start..]);
            let found: Vec<u32> = index.found().iter().map(|at| at - start as u32).collect();
            prop_assert_eq!(found, tokens);
            for block in 0..body.len().saturating_sub(start).div_ceil(BLOCK) {
                let range = block * BLOCK..(block + 1) * BLOCK;
                let at = start + range.start;
                prop_assert_eq!(
                    index.unusual.touches(at..at),
                    unusual.iter().any(|at| range.contains(at))
                );
            }
        }
    }
}
