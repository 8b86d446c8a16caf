//! Rust source as text: comments, literals and test code blanked out, every offset kept.

use std::ops::Range;

/// One Rust file in three readings of equal length and equal lines.
pub(crate) struct SourceFile {
    /// Relative to the workspace root, with `/`.
    pub(crate) path: String,
    /// As it stands on disk.
    pub(crate) text: String,
    /// Comments and literals are spaces.
    pub(crate) code: String,
    /// Like `code`, with items under `#[cfg(test)]` spaces too; empty of words in a test file.
    pub(crate) product: String,
    tests: Vec<Range<usize>>,
}

/// A string literal of a file, without its quotes.
pub(crate) struct Literal<'a> {
    pub(crate) offset: usize,
    pub(crate) text: &'a str,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Text,
    Char,
}

#[derive(Clone, Copy)]
struct Span {
    kind: Kind,
    start: usize,
    end: usize,
}

impl SourceFile {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let literals = spans(text);
        let outside_code = literals.iter().filter(|span| span.kind != Kind::Code);
        let code = blank(text, outside_code.map(|span| span.start..span.end));
        let tests = if is_test_path(path) || code.contains("#![cfg(test)]") {
            std::iter::once(0..code.len()).collect()
        } else {
            test_items(&code)
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            product: blank(&code, tests.iter().cloned()),
            code,
            tests,
        }
    }

    /// The string literals of product code, in order.
    pub(crate) fn product_literals(&self) -> Vec<Literal<'_>> {
        spans(&self.text)
            .into_iter()
            .filter(|span| span.kind == Kind::Text)
            .filter(|span| !self.tests.iter().any(|range| range.contains(&span.start)))
            .map(|span| Literal {
                offset: span.start,
                text: literal_text(self.text.get(span.start..span.end).unwrap_or("")),
            })
            .collect()
    }

    /// The number, from 1, of the line that holds `offset`.
    pub(crate) fn line(&self, offset: usize) -> usize {
        line_of(&self.text, offset)
    }

    pub(crate) fn line_count(&self) -> usize {
        self.text.lines().count()
    }

    /// Lines that do not belong to an item under `#[cfg(test)]`.
    pub(crate) fn product_line_count(&self) -> usize {
        let lines_of = |range: &Range<usize>| {
            self.text
                .get(range.clone())
                .map_or(0, |item| item.lines().count())
        };
        self.line_count()
            .saturating_sub(self.tests.iter().map(lines_of).sum())
    }

    pub(crate) fn is_test(&self) -> bool {
        is_test_path(&self.path)
    }
}

/// Files that hold tests, or what only tests and measurements use.
fn is_test_path(path: &str) -> bool {
    path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.contains("/benches/")
        || path.starts_with("crates/postlake-testkit/")
}

/// The number, from 1, of the line of `text` that holds `offset`.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// Every word of `code` (letters, digits, `_`) with its offset.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.split(|character: char| !(character.is_alphanumeric() || character == '_'))
        .filter(|word| !word.is_empty())
        .map(|word| (word.as_ptr() as usize - code.as_ptr() as usize, word))
}

/// The offset just past the bracket that closes the one at `open`, or the end of `code`.
pub(crate) fn past_closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return offset + 1;
        }
    }
    code.len()
}

fn blank(text: &str, erased: impl Iterator<Item = Range<usize>>) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for range in erased {
        for byte in bytes.get_mut(range).unwrap_or_default() {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A literal without prefix, hashes and quotes.
fn literal_text(literal: &str) -> &str {
    literal
        .trim_start_matches(['r', 'b', 'c'])
        .trim_matches('#')
        .trim_matches('"')
}

fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(found) = code.get(from..).and_then(next_test_attribute) {
        let start = from + found;
        from = past_item(code, start);
        items.push(start..from);
    }
    items
}

fn next_test_attribute(code: &str) -> Option<usize> {
    ["#[cfg(test)]", "#[cfg(all(test"]
        .iter()
        .filter_map(|attribute| code.find(attribute))
        .min()
}

/// The end of the item whose first attribute starts at `start`.
fn past_item(code: &str, start: usize) -> usize {
    let mut offset = start;
    let is_space_or_attribute = |byte: u8| byte.is_ascii_whitespace() || byte == b'#';
    while let Some(byte) = code
        .as_bytes()
        .get(offset)
        .copied()
        .filter(|byte| is_space_or_attribute(*byte))
    {
        offset = if byte == b'#' {
            past_closing(code, offset + 1)
        } else {
            offset + 1
        };
    }
    let is_use = code
        .get(offset..)
        .is_some_and(|rest| rest.starts_with("use ") || rest.starts_with("pub use "));
    while let Some(byte) = code.as_bytes().get(offset).copied() {
        match byte {
            b';' => return offset + 1,
            b'{' if !is_use => return past_closing(code, offset),
            b'(' | b'[' | b'{' => offset = past_closing(code, offset),
            _ => offset += 1,
        }
    }
    code.len()
}

fn spans(text: &str) -> Vec<Span> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let (kind, end) = span_at(bytes, start);
        out.push(Span { kind, start, end });
        start = end;
    }
    out
}

fn span_at(bytes: &[u8], at: usize) -> (Kind, usize) {
    let rest = bytes.get(at..).unwrap_or(&[]);
    let after_word = at > 0 && bytes.get(at - 1).is_some_and(|byte| is_word(*byte));
    match rest {
        [b'/', b'/', ..] => (Kind::Comment, at + until(rest, b"\n")),
        [b'/', b'*', ..] => (Kind::Comment, at + block_comment(rest)),
        [b'"', ..] => (Kind::Text, at + quoted(rest)),
        [b'\'', ..] => char_or_lifetime(rest, at),
        [b'r' | b'b' | b'c', ..] if !after_word => prefixed(rest, at),
        _ => (Kind::Code, at + 1),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn until(rest: &[u8], end: &[u8]) -> usize {
    rest.windows(end.len())
        .position(|window| window == end)
        .unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match rest.get(at..at + 2) {
            Some(b"/*") => {
                depth += 1;
                at += 2;
            }
            Some(b"*/") => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a literal that starts with its quote.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn char_or_lifetime(rest: &[u8], at: usize) -> (Kind, usize) {
    if rest.get(1) == Some(&b'\\') {
        let close = rest.iter().skip(3).position(|byte| *byte == b'\'');
        return (Kind::Char, at + close.map_or(rest.len(), |found| found + 4));
    }
    let close = rest
        .iter()
        .take(6)
        .skip(2)
        .position(|byte| *byte == b'\'')
        .map(|found| found + 2);
    let is_one_character = |end: &usize| {
        rest.get(1..*end)
            .and_then(|inner| std::str::from_utf8(inner).ok())
            .is_some_and(|inner| inner.chars().count() == 1)
    };
    match close.filter(is_one_character) {
        Some(end) => (Kind::Char, at + end + 1),
        None => (Kind::Code, at + 1),
    }
}

/// `r"..."`, `r#"..."#`, `b"..."`, `br"..."`, `c"..."`, `b'x'`, or a word that only starts like them.
fn prefixed(rest: &[u8], at: usize) -> (Kind, usize) {
    let letters = rest
        .iter()
        .take(2)
        .take_while(|byte| matches!(byte, b'r' | b'b' | b'c'))
        .count();
    let hashes = rest
        .iter()
        .skip(letters)
        .take_while(|byte| **byte == b'#')
        .count();
    let raw = rest.iter().take(letters).any(|byte| *byte == b'r');
    let quote = letters + hashes;
    match rest.get(quote) {
        Some(b'"') if raw => {
            let close: Vec<u8> = std::iter::once(b'"')
                .chain(std::iter::repeat_n(b'#', hashes))
                .collect();
            let inner = rest.get(quote + 1..).unwrap_or(&[]);
            (
                Kind::Text,
                at + (quote + 1 + until(inner, &close) + close.len()).min(rest.len()),
            )
        }
        Some(b'"') if hashes == 0 => (
            Kind::Text,
            at + letters + quoted(rest.get(letters..).unwrap_or(&[])),
        ),
        _ => (Kind::Code, at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: &str) {
        let file = SourceFile::new("crates/a/src/a.rs", text);
        assert_eq!(
            file.code.split_whitespace().collect::<Vec<_>>().join(" "),
            code,
            "{text}"
        );
        assert_eq!(file.code.len(), text.len(), "offsets are kept: {text}");
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        check("a // b\nc", "a c");
        check("a /* b /* c */ d */ e", "a e");
        check(r#"f("x // \" y", z)"#, "f( , z)");
        check(r##"f(r#"x " y"#, z)"##, "f( , z)");
        check("f(b\"x\", br\"y\", c\"z\")", "f( , , )");
        check("f('\"', '\\'', 'é', b'x')", "f( , , , b )");
        check("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
        check("let number = bar; // b", "let number = bar;");
    }

    #[test]
    fn items_under_cfg_test_are_not_product() {
        let cases = [
            ("a; #[cfg(test)] mod tests { fn b() {} } c;", "a; c;"),
            ("a; #[cfg(test)] mod tests; c;", "a; c;"),
            ("a; #[cfg(test)] use b::{c, d}; e;", "a; e;"),
            (
                "a; #[cfg(test)] #[allow(x)] fn b(c: [u8; 2]) -> u8 { 1 } e;",
                "a; e;",
            ),
            ("#[cfg(not(test))] fn a() {}", "#[cfg(not(test))] fn a() {}"),
        ];
        for (text, product) in cases {
            let file = SourceFile::new("crates/a/src/a.rs", text);
            assert_eq!(
                file.product
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" "),
                product
            );
        }
    }

    #[test]
    fn literals_of_tests_are_not_product_literals() {
        let text = "const A: &str = \"one\";\n#[cfg(test)]\nmod tests { const B: &str = \"two\"; }\nconst C: &str = \"three\";";
        let file = SourceFile::new("crates/a/src/a.rs", text);
        let found: Vec<_> = file
            .product_literals()
            .iter()
            .map(|literal| literal.text)
            .collect();
        assert_eq!(found, ["one", "three"]);
        let test = SourceFile::new("crates/a/tests/it/a.rs", text);
        assert!(test.product_literals().is_empty());
    }

    #[test]
    fn lines_of_tests_are_counted_apart() {
        let file = SourceFile::new(
            "crates/a/src/a.rs",
            "a;\n#[cfg(test)]\nmod tests {\nb;\n}\n",
        );
        assert_eq!((file.line_count(), file.product_line_count()), (5, 1));
        assert_eq!(file.line(4), 2);
    }
}
