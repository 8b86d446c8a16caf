//! Cutting as a table of bodies and their items.

use proptest::prelude::*;

use super::*;

/// Offset, text and depth of each item, and whether the array was closed.
type Cuts = (Vec<(usize, String, u32)>, bool);

fn cut(body: &[u8]) -> Option<Cuts> {
    let mut index = Index::default();
    let mut items = Items::of_body(body, &mut index)?;
    let mut cuts = Vec::new();
    while let Some(item) = items.next() {
        assert!(body[item.offset..].starts_with(item.bytes));
        let structure = items.structure(&item);
        for token in structure.tokens {
            let at = *token as usize - structure.base;
            assert!(b"\"{}[]:,".contains(&item.bytes[at]), "{item:?}");
        }
        let text = String::from_utf8_lossy(item.bytes).into_owned();
        cuts.push((item.offset, text, item.depth));
    }
    Some((cuts, items.closed()))
}

#[track_caller]
fn check(body: &str, expected: &[&str]) {
    let (cuts, _) = cut(body.as_bytes()).unwrap();
    let texts: Vec<_> = cuts.iter().map(|(_, text, _)| text.as_str()).collect();
    assert_eq!(texts, expected, "{body}");
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
    check("[1] {\"a\":[]}", &["1", "{\"a\":[]}"]);
    check("[{\"a\":1},{\"b\":", &["{\"a\":1}", "{\"b\":"]);
    check("[{\"a\":1},\"open", &["{\"a\":1}", "\"open"]);
    check("[\"\\", &["\"\\"]);
    check("[}1]", &["}1"]);
}

#[test]
fn other_bodies_are_no_arrays() {
    assert_eq!(cut(b" \n"), None);
    assert_eq!(cut(b" {\"a\":1} "), None);
    let item = whole(b" {\"a\":1} ");
    assert_eq!((item.bytes, item.offset), (b"{\"a\":1}".as_slice(), 1));
}

#[test]
fn depth_is_that_of_the_item() {
    let (cuts, closed) = cut(b"[1,[[]],{\"a\":{\"b\":[]}}] [[]]").unwrap();
    assert!(closed);
    let depths: Vec<_> = cuts.iter().map(|(_, _, depth)| *depth).collect();
    assert_eq!(depths, [0, 2, 3, 2]);
}

#[test]
fn an_item_of_too_many_tokens_is_told_and_its_neighbours_are_cut() {
    let flood = "1,".repeat(MAX_TOKENS + 20_000);
    let body = format!("[[1],[{flood}1],[2,3]] {{\"a\":1}}");
    let mut index = Index::default();
    let mut items = Items::of_body(body.as_bytes(), &mut index).unwrap();
    let mut found = Vec::new();
    while let Some(item) = items.next() {
        found.push((
            item.bytes.len(),
            items.structure(&item).tokens.len(),
            item.tokens.is_some(),
        ));
    }
    let flooded = (flood.len() + 3, 0, false);
    assert_eq!(found, [(3, 2, true), flooded, (5, 3, true), (7, 5, true)]);
    assert!(items.index.len() < 2 * 16_384, "the flood is not kept");
}

/// The items of a stream that arrives in pieces of `size` bytes.
fn in_pieces(stream: &str, size: usize) -> Vec<String> {
    let (mut buffer, mut place, mut found) = (Vec::new(), Place::default(), Vec::new());
    let mut index = Index::default();
    let mut pieces = stream.as_bytes().chunks(size).peekable();
    while let Some(piece) = pieces.next() {
        buffer.extend_from_slice(piece);
        let mut items = Items::of_stream(&buffer, &mut index, place, pieces.peek().is_none());
        while let Some(item) = items.next() {
            found.push(String::from_utf8_lossy(item.bytes).into_owned());
        }
        place = items.place();
        let consumed = items.consumed();
        buffer.drain(..consumed);
    }
    found
}

#[test]
fn a_stream_has_the_same_items_however_it_is_cut() {
    let cases: [(&str, &[&str]); 8] = [
        (
            "[1, {\"a\":[2]} ,\"x,]\"]",
            &["1", "{\"a\":[2]}", "\"x,]\""],
        ),
        ("[1]\n[2] [3,4]", &["1", "2", "3", "4"]),
        (
            "{\"a\":1}\n{\"b\":\"\n\"}\n",
            &["{\"a\":1}", "{\"b\":\"\n\"}"],
        ),
        ("[1,{\"open\":", &["1", "{\"open\":"]),
        ("[1,][2]", &["1", "", "2"]),
        ("[1]\n{\"a\":\"[\"}\n[2]", &["1", "{\"a\":\"[\"}", "2"]),
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
        let (cuts, closed) = cut(&array).unwrap();
        for pair in cuts.windows(2) {
            prop_assert!(pair[0].0 <= pair[1].0);
        }
        let mut index = Index::default();
        let mut items = Items::of_body(&array, &mut index).unwrap();
        let mut last = 1;
        while let Some(item) = items.next() {
            prop_assert!(last <= item.offset);
            last = item.offset + item.bytes.len();
        }
        // Behind it are at most the array's end or, where that is missing, one comma.
        let rest = array[last..].iter().copied();
        let rest: Vec<u8> = rest.filter(|byte| !is_space(*byte)).collect();
        let ends: [&[u8]; 2] = if closed { [b"]", b""] } else { [b",", b""] };
        prop_assert!(ends.contains(&rest.as_slice()), "{rest:?}");
    }

    #[test]
    fn the_items_of_valid_json_are_those_of_a_json_parser(
        values in proptest::collection::vec("[ -~]{0,12}", 0..40)
    ) {
        let body = serde_json::to_string_pretty(&values).unwrap();
        let expected: Vec<&serde_json::value::RawValue> = serde_json::from_str(&body).unwrap();
        let (cuts, _) = cut(body.as_bytes()).unwrap();
        let found: Vec<_> = cuts.iter().map(|(_, text, _)| text.as_str()).collect();
        let expected: Vec<_> = expected.iter().map(|raw| raw.get()).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_stream_of_anything_is_cut_alike_in_pieces_of_any_size(
        stream in "([\\[\\]{}:,\"\\\\ a-c\n]){0,60}",
        size in 1_usize..20,
    ) {
        prop_assert_eq!(in_pieces(&stream, size), in_pieces(&stream, stream.len().max(1)));
    }
}
