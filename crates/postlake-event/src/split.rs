//! Cutting a body into the items of its array, so that one bad item never costs its neighbours.
//!
//! The cut looks at structure alone (quotes, brackets, commas), not at whether each item is JSON:
//! that is the decoder's business. What cannot be cut any further (an unbalanced tail) becomes one
//! last item, so that no byte of a body is left out of the accounts.

use std::ops::Range;

use memchr::memchr2;

use crate::index::{Index, Structure};

/// Deepest nesting of an item that is decoded; deeper ones are rejects. `serde_json` stops at 128.
pub(crate) const MAX_DEPTH: u32 = 127;

/// Most quotes, brackets, colons and commas of an item that is decoded; it bounds what reading one
/// can cost in memory. An event of the sender has about 200.
pub(crate) const MAX_TOKENS: usize = 4 << 20;

/// A piece of the array, without the surrounding white space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    /// The item's bytes.
    pub(crate) bytes: &'a [u8],
    /// Where they begin in the body.
    pub(crate) offset: usize,
    /// How deep its brackets nest; 0 for a scalar.
    pub(crate) depth: u32,
    /// Which tokens of the index are the item's; `None` if there are more than [`MAX_TOKENS`].
    pub(crate) tokens: Option<Range<usize>>,
}

/// What stands outside of the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outside {
    /// A request's body: everything behind the array is one more item.
    Body,
    /// A stream of bodies: another array, or a line that is an item.
    Stream,
}

/// Where in a stream of bodies the next piece begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    inside: bool,
    after_comma: bool,
}

/// The items of a body or of a piece of a stream, one after the other.
#[derive(Debug)]
pub(crate) struct Items<'a, 'i> {
    body: &'a [u8],
    index: &'i mut Index,
    outside: Outside,
    /// No more bytes will come.
    at_end: bool,
    place: Place,
    /// Where the next item begins, or what stands outside of an array.
    start: usize,
    /// The next token of the index.
    token: usize,
}

/// How far an item of an array was found.
struct Cut {
    /// Where it ends, and what stands there; `None` if its end is missing.
    end: Option<(usize, u8)>,
    depth: u32,
    /// More tokens than an item may have.
    flood: bool,
    /// The first of its tokens.
    first: usize,
}

impl<'a, 'i> Items<'a, 'i> {
    /// The items of a request's body; `None` if it is not an array.
    pub(crate) fn of_body(body: &'a [u8], index: &'i mut Index) -> Option<Items<'a, 'i>> {
        let start = body.iter().position(|byte| !is_space(*byte))?;
        if body.get(start) != Some(&b'[') {
            return None;
        }
        let place = Place {
            inside: true,
            after_comma: false,
        };
        Some(Items::new(
            body,
            index,
            Outside::Body,
            true,
            start + 1,
            place,
        ))
    }

    /// A body that is no array, as one item.
    pub(crate) fn of_lone(body: &'a [u8], index: &'i mut Index) -> Items<'a, 'i> {
        Items::new(body, index, Outside::Body, true, 0, Place::default())
    }

    /// The items of a stream of arrays as far as they lie whole in `buffer`; `place` tells how the
    /// buffer begins. At the end of the stream what is left over is an item, whatever it is.
    ///
    /// Bodies may follow one another, with or without white space; outside arrays a line is an item.
    pub(crate) fn of_stream(
        buffer: &'a [u8],
        index: &'i mut Index,
        place: Place,
        at_end: bool,
    ) -> Items<'a, 'i> {
        Items::new(buffer, index, Outside::Stream, at_end, 0, place)
    }

    fn new(
        body: &'a [u8],
        index: &'i mut Index,
        outside: Outside,
        at_end: bool,
        start: usize,
        place: Place,
    ) -> Items<'a, 'i> {
        index.restart(start);
        Items {
            body,
            index,
            outside,
            at_end,
            place,
            start,
            token: 0,
        }
    }

    /// The next item that lies whole in the body.
    pub(crate) fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let item = match (self.place.inside, self.outside) {
                (true, _) => self.next_inside()?,
                (false, Outside::Body) => self.rest_of_body(),
                (false, Outside::Stream) => self.next_outside()?,
            };
            match item {
                Some(item) => return Some(item),
                None if self.start >= self.body.len() => return None,
                None => {}
            }
        }
    }

    /// How many bytes the items so far take up.
    pub(crate) fn consumed(&self) -> usize {
        self.start
    }

    /// How the bytes behind those begin: inside of an array or not.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// False if the body ended within the array.
    pub(crate) fn closed(&self) -> bool {
        !self.place.inside
    }

    /// The tokens of `item`, the one that came last.
    pub(crate) fn structure(&self, item: &Item<'_>) -> Structure<'_> {
        let tokens = item.tokens.clone().unwrap_or(0..0);
        self.index.structure(tokens, item.offset)
    }

    /// An item of the array; `Some(None)` at its end. `None` if it is not here whole.
    fn next_inside(&mut self) -> Option<Option<Item<'a>>> {
        let cut = self.cut(self.body);
        let Some((end, byte)) = cut.end else {
            if !self.at_end {
                return None;
            }
            let item = self.piece(self.body.len(), &cut);
            self.start = self.body.len();
            return Some(Some(item).filter(|item| !item.bytes.is_empty()));
        };
        let item = self.piece(end, &cut);
        let missing = item.bytes.is_empty() && byte == b']' && !self.place.after_comma;
        self.place = Place {
            inside: byte == b',',
            after_comma: byte == b',',
        };
        self.start = end + 1;
        Some((!missing).then_some(item))
    }

    /// Steps over the tokens of one item and, inside of an array, the comma or bracket behind it.
    fn cut(&mut self, body: &[u8]) -> Cut {
        let mut cut = Cut {
            end: None,
            depth: 0,
            flood: false,
            first: self.token,
        };
        let mut depth = 0_u32;
        loop {
            let Some(position) = self.index.token(self.token) else {
                if !self.more(body, &mut cut) {
                    return cut;
                }
                continue;
            };
            self.token += 1;
            match body.get(position) {
                // What follows is the quote at the string's end.
                Some(b'"') => self.token += 1,
                Some(b'{' | b'[') => {
                    depth += 1;
                    cut.depth = cut.depth.max(depth);
                }
                Some(b'}' | b']') if depth > 0 => depth -= 1,
                Some(byte @ (b']' | b',')) if depth == 0 && self.place.inside => {
                    cut.end = Some((position, *byte));
                    return cut;
                }
                _ => {}
            }
        }
    }

    /// Indexes more of the body while an item is being cut. False at the body's end.
    fn more(&mut self, body: &[u8], cut: &mut Cut) -> bool {
        if self.index.len() - cut.first.min(self.index.len()) > MAX_TOKENS {
            cut.flood = true;
        }
        let forget = if cut.flood {
            self.index.len()
        } else {
            cut.first
        };
        self.index.forget(forget);
        self.token -= forget;
        cut.first = 0;
        self.index.advance(body)
    }

    fn piece(&self, end: usize, cut: &Cut) -> Item<'a> {
        let last = match cut.end {
            Some(_) => self.token.saturating_sub(1),
            None => self.index.len(),
        };
        let tokens = (!cut.flood).then_some(cut.first..last);
        trimmed(self.body, self.start, end, cut.depth, tokens)
    }

    /// Bytes behind the array are an item of their own.
    fn rest_of_body(&mut self) -> Option<Item<'a>> {
        let item = self.range(self.start, self.body.len());
        self.start = self.body.len();
        Some(item).filter(|item| !item.bytes.is_empty())
    }

    /// The begin of the next array, or a line. `None` if the line is not here whole.
    fn next_outside(&mut self) -> Option<Option<Item<'a>>> {
        let rest = self.body.get(self.start..).unwrap_or_default();
        self.start += rest.iter().take_while(|byte| is_space(**byte)).count();
        match self.body.get(self.start) {
            None => Some(None),
            Some(b'[') => {
                self.place.inside = true;
                if self.index.token(self.token) == Some(self.start) {
                    self.token += 1;
                } else {
                    self.index.restart(self.start + 1);
                    self.token = 0;
                }
                self.start += 1;
                Some(None)
            }
            Some(_) => {
                let end = line_end(self.body, self.start)
                    .or_else(|| self.at_end.then_some(self.body.len()))?;
                let item = self.range(self.start, end);
                self.start = end;
                Some(Some(item))
            }
        }
    }

    /// An item outside of arrays, whose end is known; the index holds it alone afterwards.
    fn range(&mut self, start: usize, end: usize) -> Item<'a> {
        self.index.restart(start);
        (self.start, self.token) = (start, 0);
        let cut = self.cut(self.body.get(..end).unwrap_or_default());
        self.token = self.index.len();
        self.piece(end, &cut)
    }
}

/// The next line feed outside of strings, from `at` on.
fn line_end(buffer: &[u8], mut at: usize) -> Option<usize> {
    while let Some(found) = buffer.get(at..).and_then(|rest| memchr2(b'"', b'\n', rest)) {
        at += found;
        if buffer.get(at) == Some(&b'\n') {
            return Some(at);
        }
        at = string_end(buffer, at + 1) + 1;
    }
    None
}

/// The position of the string's closing quote, or the body's end where there is none.
fn string_end(body: &[u8], mut at: usize) -> usize {
    while let Some(rest) = body.get(at..) {
        match memchr2(b'"', b'\\', rest) {
            Some(found) if rest.get(found) == Some(&b'"') => return at + found,
            Some(found) => at += found + 2,
            None => break,
        }
    }
    body.len()
}

/// White space as JSON has it.
#[inline]
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// A whole body as one item.
pub(crate) fn whole(body: &[u8]) -> Item<'_> {
    trimmed(body, 0, body.len(), 0, None)
}

fn trimmed(
    body: &[u8],
    start: usize,
    end: usize,
    depth: u32,
    tokens: Option<Range<usize>>,
) -> Item<'_> {
    let piece = body.get(start..end.min(body.len())).unwrap_or_default();
    let lead = piece.iter().take_while(|byte| is_space(**byte)).count();
    let piece = piece.get(lead..).unwrap_or_default();
    let trail = piece
        .iter()
        .rev()
        .take_while(|byte| is_space(**byte))
        .count();
    Item {
        bytes: piece.get(..piece.len() - trail).unwrap_or_default(),
        offset: start + lead,
        depth,
        tokens,
    }
}

#[cfg(test)]
mod tests;
