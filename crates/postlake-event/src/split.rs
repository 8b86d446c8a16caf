//! Cutting a body into the items of its array, so that one bad item never costs its neighbours.
//!
//! The cut looks at structure alone (quotes, brackets, commas), not at whether each item is JSON:
//! that is the decoder's business. What cannot be cut any further (an unbalanced tail) becomes one
//! last item, so that no byte of a body is left out of the accounts.

use memchr::memchr2;

/// Deepest nesting of an item that is decoded; deeper ones are rejects. `serde_json` stops at 128.
pub(crate) const MAX_DEPTH: u32 = 127;

/// A piece of the array, without the surrounding white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    /// The item's bytes.
    pub(crate) bytes: &'a [u8],
    /// Where they begin in the body.
    pub(crate) offset: usize,
    /// How deep its brackets nest; 0 for a scalar.
    pub(crate) depth: u32,
}

/// What a body is, seen from its brackets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shape<'a> {
    /// Nothing but white space.
    Empty,
    /// Not an array: the whole of it, to be rejected as one item.
    NotAnArray(Item<'a>),
    /// An array and its items, perhaps none; `closed` tells whether its last bracket was there.
    Array { items: Vec<Item<'a>>, closed: bool },
}

/// The items of a stream of arrays as far as they lie whole in `buffer`, and how many bytes of it they
/// take up. `inside` tells whether the buffer begins within an array, and is kept up to date. At the
/// end of the stream what is left over is an item, whatever it is.
///
/// Bodies may follow one another, with or without white space; outside arrays a line is an item.
pub(crate) fn split_part<'a>(
    buffer: &'a [u8],
    inside: &mut bool,
    at_end: bool,
) -> (Vec<Item<'a>>, usize) {
    let mut items = Vec::new();
    let mut at = 0;
    loop {
        if *inside {
            let cut = cut_array(buffer, at, &mut items);
            if let Some(end) = cut.closed {
                (at, *inside) = (end, false);
                continue;
            }
            if at_end {
                push(buffer, &mut items, cut.item_start, buffer.len(), cut.depth);
                return (items, buffer.len());
            }
            return (items, cut.item_start);
        }
        let blank = buffer.get(at..).unwrap_or_default();
        let lead = blank.iter().take_while(|byte| is_space(**byte)).count();
        at += lead;
        match buffer.get(at) {
            None => return (items, buffer.len()),
            Some(b'[') => (at, *inside) = (at + 1, true),
            Some(_) => match line_end(buffer, at) {
                Some(end) => {
                    items.push(trimmed(buffer, at, end, depth_of(buffer, at, end)));
                    at = end;
                }
                None if at_end => {
                    let depth = depth_of(buffer, at, buffer.len());
                    items.push(trimmed(buffer, at, buffer.len(), depth));
                    return (items, buffer.len());
                }
                None => return (items, at),
            },
        }
    }
}

/// The next line feed outside of strings, from `at` on.
fn line_end(buffer: &[u8], mut at: usize) -> Option<usize> {
    while let Some(byte) = buffer.get(at) {
        match byte {
            b'"' => at = string_end(buffer, at + 1),
            b'\n' => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

fn depth_of(buffer: &[u8], mut at: usize, end: usize) -> u32 {
    let (mut depth, mut deepest) = (0_u32, 0_u32);
    while at < end {
        match buffer.get(at) {
            Some(b'"') => at = string_end(buffer, at + 1),
            Some(b'{' | b'[') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            Some(b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// Cuts `body` into items. Linear in its length; allocates only the list of items.
pub(crate) fn split(body: &[u8]) -> Shape<'_> {
    let Some(start) = body.iter().position(|byte| !is_space(*byte)) else {
        return Shape::Empty;
    };
    let whole = trimmed(body, start, body.len(), 0);
    if body.get(start) != Some(&b'[') {
        return Shape::NotAnArray(whole);
    }
    let mut items = Vec::new();
    let cut = cut_array(body, start + 1, &mut items);
    match cut.closed {
        Some(end) => {
            // Bytes after the array's end are an item of their own.
            push(body, &mut items, end, body.len(), 0);
        }
        None => push(body, &mut items, cut.item_start, body.len(), cut.depth),
    }
    Shape::Array {
        items,
        closed: cut.closed.is_some(),
    }
}

/// Where the cutting of an array stopped.
struct Cut {
    /// Behind the array's last bracket, if it was there.
    closed: Option<usize>,
    /// Begin of the item that is not complete.
    item_start: usize,
    /// How deep that item nests so far.
    depth: u32,
}

/// Adds the items of the array that `at` lies in, up to its end or the end of the bytes.
fn cut_array<'a>(body: &'a [u8], mut at: usize, items: &mut Vec<Item<'a>>) -> Cut {
    let mut item_start = at;
    let (mut depth, mut deepest) = (0_u32, 0_u32);
    let mut after_comma = false;
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => at = string_end(body, at + 1),
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if depth > 0 => depth -= 1,
            b']' => {
                if after_comma {
                    items.push(trimmed(body, item_start, at, deepest));
                } else {
                    push(body, items, item_start, at, deepest);
                }
                return Cut {
                    closed: Some(at + 1),
                    item_start: at + 1,
                    depth: 0,
                };
            }
            b',' if depth == 0 => {
                items.push(trimmed(body, item_start, at, deepest));
                (item_start, deepest, after_comma) = (at + 1, 0, true);
            }
            _ => {}
        }
        at += 1;
    }
    Cut {
        closed: None,
        item_start,
        depth: deepest,
    }
}

/// Adds a piece unless it is blank: no comma says that there should have been an item.
fn push<'a>(body: &'a [u8], items: &mut Vec<Item<'a>>, start: usize, end: usize, depth: u32) {
    let item = trimmed(body, start, end, depth);
    if !item.bytes.is_empty() {
        items.push(item);
    }
}

/// The position of the string's closing quote, or the last byte where there is none.
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

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn trimmed(body: &[u8], start: usize, end: usize, depth: u32) -> Item<'_> {
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
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &[&str]) {
        let Shape::Array { items, .. } = split(body.as_bytes()) else {
            panic!("{body} is not an array");
        };
        let texts: Vec<_> = items
            .iter()
            .map(|item| std::str::from_utf8(item.bytes).unwrap())
            .collect();
        assert_eq!(texts, expected, "{body}");
        for item in items {
            assert!(body.as_bytes()[item.offset..].starts_with(item.bytes));
        }
    }

    #[test]
    fn arrays_are_cut_at_their_commas() {
        check("[]", &[]);
        check(" [ ] ", &[]);
        check("[1]", &["1"]);
        check(
            " [ {\"a\":[1,2]} , \"x,]\\\"\" ,3 ]\n",
            &["{\"a\":[1,2]}", "\"x,]\\\"\"", "3"],
        );
    }

    #[test]
    fn missing_and_surplus_pieces_are_items_of_their_own() {
        check("[1,,2]", &["1", "", "2"]);
        check("[1,]", &["1", ""]);
        check("[1,", &["1"]);
        check("[1] tail", &["1", "tail"]);
        check("[{\"a\":1},{\"b\":", &["{\"a\":1}", "{\"b\":"]);
        check("[{\"a\":1},\"open", &["{\"a\":1}", "\"open"]);
        check("[\"\\", &["\"\\"]);
    }

    #[test]
    fn other_bodies_are_one_item_or_none() {
        assert_eq!(split(b" \n"), Shape::Empty);
        let Shape::NotAnArray(item) = split(b" {\"a\":1} ") else {
            panic!("an object is not an array");
        };
        assert_eq!(item.bytes, b"{\"a\":1}");
        assert_eq!(item.offset, 1);
    }

    #[test]
    fn depth_is_that_of_the_item() {
        let Shape::Array { items, closed } = split(b"[1,[[]],{\"a\":{\"b\":[]}}]") else {
            panic!("array");
        };
        assert!(closed);
        let depths: Vec<_> = items.iter().map(|item| item.depth).collect();
        assert_eq!(depths, [0, 2, 3]);
    }

    /// The items of a stream that arrives in pieces of `size` bytes.
    fn in_pieces(stream: &str, size: usize) -> Vec<String> {
        let (mut buffer, mut inside, mut found) = (Vec::new(), false, Vec::new());
        let mut pieces = stream.as_bytes().chunks(size).peekable();
        while let Some(piece) = pieces.next() {
            buffer.extend_from_slice(piece);
            let (items, consumed) = split_part(&buffer, &mut inside, pieces.peek().is_none());
            found.extend(
                items
                    .iter()
                    .map(|item| String::from_utf8_lossy(item.bytes).into_owned()),
            );
            buffer.drain(..consumed);
        }
        found
    }

    #[test]
    fn a_stream_has_the_same_items_however_it_is_cut() {
        let cases: [(&str, &[&str]); 6] = [
            (
                "[1, {\"a\":[2]} ,\"x,]\"]",
                &["1", "{\"a\":[2]}", "\"x,]\""],
            ),
            ("[1]\n[2] [3,4]", &["1", "2", "3", "4"]),
            ("{\"a\":1}\n{\"b\":2}\n", &["{\"a\":1}", "{\"b\":2}"]),
            ("[1,{\"open\":", &["1", "{\"open\":"]),
            ("not json", &["not json"]),
            (" \n ", &[]),
        ];
        for (stream, expected) in cases {
            for size in 1..=stream.len() {
                assert_eq!(
                    in_pieces(stream, size),
                    expected,
                    "{stream} in pieces of {size}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_without_loss(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let array = [b"[".as_slice(), &body].concat();
            if let Shape::Array { items, closed } = split(&array) {
                for pair in items.windows(2) {
                    prop_assert!(pair[0].offset + pair[0].bytes.len() <= pair[1].offset);
                }
                let last = items.last().map_or(1, |item| item.offset + item.bytes.len());
                // Behind it are at most the array's end or, where that is missing, one comma.
                let rest = array[last..].iter().copied();
                let rest: Vec<u8> = rest.filter(|byte| !is_space(*byte)).collect();
                let ends: [&[u8]; 2] = if closed { [b"]", b""] } else { [b",", b""] };
                prop_assert!(ends.contains(&rest.as_slice()), "{rest:?}");
            }
        }

        #[test]
        fn the_items_of_valid_json_are_those_of_a_json_parser(
            values in proptest::collection::vec("[ -~]{0,12}", 0..6)
        ) {
            let body = serde_json::to_string_pretty(&values).unwrap();
            let expected: Vec<&serde_json::value::RawValue> = serde_json::from_str(&body).unwrap();
            let Shape::Array { items, .. } = split(body.as_bytes()) else { panic!("array") };
            let found: Vec<_> = items.iter().map(|item| item.bytes).collect();
            let expected: Vec<_> = expected.iter().map(|raw| raw.get().as_bytes()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
