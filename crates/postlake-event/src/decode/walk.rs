//! Walking over one JSON text by its tokens: the grammar is checked, values stay the text they came in.

use std::borrow::Cow;

use super::Text;
use super::reject::{Fault, RejectCode};
use super::value::{Form, Raw};
use crate::index::{Index, Structure};
use crate::split::is_space;

/// A key of an object and the text of its value.
pub(super) type Member<'a> = (Text<'a>, &'a str);

/// A place in a text and its tokens. Everything before it is well-formed.
#[derive(Debug)]
pub(super) struct Walk<'t, 'a> {
    text: &'a str,
    structure: Structure<'t>,
    /// No string of the text needs a second look.
    plain: bool,
    /// The next token.
    token: usize,
    /// Behind what was read.
    at: usize,
    /// The first escape that is half of a surrogate pair: well-formed, but no Unicode.
    half_pair: Option<usize>,
}

impl<'t, 'a> Walk<'t, 'a> {
    /// A walk over `text`, the one that `structure` speaks of.
    pub(super) fn new(text: &'a str, structure: Structure<'t>) -> Walk<'t, 'a> {
        let base = structure.base;
        Walk {
            text,
            structure,
            plain: !structure.unusual.touches(base..base + text.len()),
            token: 0,
            at: 0,
            half_pair: None,
        }
    }

    /// Steps into an object. False, and nothing is stepped over, if something else stands here.
    pub(super) fn enter_object(&mut self) -> bool {
        match self.peek() {
            Some((position, b'{')) if self.blank_upto(position) => {
                self.step(position);
                true
            }
            _ => false,
        }
    }

    /// The next key of the object that was entered, up to its colon; `None` at the object's end.
    /// `first` is true before the first one, and is put to false.
    #[inline]
    pub(super) fn next_key(&mut self, first: &mut bool) -> Result<Option<Text<'a>>, Fault> {
        if self.end_or_comma(b'}', first)? {
            return Ok(None);
        }
        let [open, close, colon] = self.three();
        let (Some(b'"'), Some(b':')) = (self.byte(open), self.byte(colon)) else {
            return Err(self.expected_at(self.after_blank(), "a key and a colon"));
        };
        self.gap(open)?;
        self.at = close + 1;
        self.gap(colon)?;
        self.at = colon + 1;
        self.token += 3;
        let form = self.form(open, close)?;
        let key = self.slice(open, close + 1);
        Ok(Some(match form {
            Form::Plain => Cow::Borrowed(self.slice(open + 1, close)),
            _ => Raw { text: key, form }.text().unwrap_or(Cow::Borrowed(key)),
        }))
    }

    /// Steps over the rest of the members of an object as long as they are written without white
    /// space and hold plain strings, which most are; `each` gets the key, and of the
    /// value its token, where it begins and the value itself.
    #[inline]
    pub(super) fn plain_members(&mut self, mut each: impl FnMut(Text<'a>, usize, usize, Raw<'a>)) {
        let bytes = self.text.as_bytes();
        let base = self.structure.base;
        while self.plain
            && let Some(&[comma, open, close, colon, quote, end]) = self
                .structure
                .tokens
                .get(self.token..)
                .and_then(|rest| rest.first_chunk())
        {
            let at = self.structure.base + self.at;
            let compact = comma as usize == at
                && open == comma + 1
                && colon == close + 1
                && quote == colon + 1;
            let [comma, open, close, colon, quote, end] =
                [comma, open, close, colon, quote, end].map(|at| (at as usize).wrapping_sub(base));
            let kinds = [comma, open, colon, quote].map(|at| bytes.get(at));
            if !compact || kinds != [Some(&b','), Some(&b'"'), Some(&b':'), Some(&b'"')] {
                return;
            }
            let key = Cow::Borrowed(self.slice(open + 1, close));
            let form = Form::Plain;
            let text = self.slice(quote, end + 1);
            each(key, self.token + 4, quote, Raw { text, form });
            self.token += 6;
            self.at = end + 1;
        }
    }

    /// Steps over one value; where it begins, and the value.
    #[inline]
    pub(super) fn value(&mut self) -> Result<(usize, Raw<'a>), Fault> {
        match self.peek() {
            Some((open, b'"')) if self.blank_upto(open) => Ok((open, self.string(open)?)),
            Some((open, b'{' | b'[')) if self.blank_upto(open) => {
                self.nested()?;
                let text = self.slice(open, self.at);
                let form = Form::Nested;
                Ok((open, Raw { text, form }))
            }
            next => self.scalar(next.map_or(self.text.len(), |(position, _)| position)),
        }
    }

    /// The end of the text.
    ///
    /// # Errors
    /// When there is more of it, or when it held half of a surrogate pair.
    pub(super) fn end(&self) -> Result<(), Fault> {
        if !self.blank_upto(self.text.len()) {
            return Err(self.expected_at(self.after_blank(), "nothing more"));
        }
        match self.half_pair {
            Some(offset) => Err(Fault {
                code: RejectCode::Utf8,
                message: "item holds half of a surrogate pair".to_owned(),
                offset,
            }),
            None => Ok(()),
        }
    }

    /// Where it stands: behind what was read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The text from `start` to here.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.slice(start, self.at)
    }

    /// Which token comes next, to come back to it with [`Walk::back_at`].
    pub(super) fn token(&self) -> usize {
        self.token
    }

    /// The same text, from an earlier token on.
    pub(super) fn back_at(&self, token: usize) -> Walk<'t, 'a> {
        let mut walk = Walk::new(self.text, self.structure);
        walk.token = token;
        walk.at = walk
            .peek()
            .map_or(self.text.len(), |(position, _)| position);
        walk
    }

    fn string(&mut self, open: usize) -> Result<Raw<'a>, Fault> {
        let Some(close) = self.position(self.token + 1) else {
            return Err(self.expected_at(self.text.len(), "the quote at a string's end"));
        };
        self.token += 2;
        self.at = close + 1;
        Ok(Raw {
            form: self.form(open, close)?,
            text: self.slice(open, close + 1),
        })
    }

    /// A number, a boolean or null: what stands between here and `end`.
    fn scalar(&mut self, end: usize) -> Result<(usize, Raw<'a>), Fault> {
        let start = self.after_blank().min(end);
        let text = self
            .slice(start, end)
            .trim_end_matches([' ', '\t', '\n', '\r']);
        let form = match text {
            "null" => Form::Null,
            "true" | "false" => Form::Bare,
            _ if is_number(text.as_bytes()) => Form::Bare,
            _ => return Err(self.expected_at(start, "a value")),
        };
        self.at = end;
        Ok((start, Raw { text, form }))
    }

    /// Steps over an object or an array. Nests as deep as the text does; the cut of the body bounds that.
    fn nested(&mut self) -> Result<(), Fault> {
        let Some((open, bracket)) = self.peek() else {
            return Err(self.expected_at(self.at, "a bracket"));
        };
        self.step(open);
        let mut first = true;
        if bracket == b'{' {
            while self.next_key(&mut first)?.is_some() {
                self.value()?;
            }
        } else {
            while !self.end_or_comma(b']', &mut first)? {
                self.value()?;
            }
        }
        Ok(())
    }

    /// Steps over the bracket that ends an object or an array (true) or over the comma before its
    /// next member; before the first one there is none.
    #[inline]
    fn end_or_comma(&mut self, bracket: u8, first: &mut bool) -> Result<bool, Fault> {
        let before_first = std::mem::replace(first, false);
        match self.peek() {
            Some((position, byte)) if byte == bracket && self.blank_upto(position) => {
                self.step(position);
                Ok(true)
            }
            _ if before_first => Ok(false),
            Some((position, b',')) if self.blank_upto(position) => {
                self.step(position);
                Ok(false)
            }
            _ => Err(self.expected_at(self.after_blank(), "a comma or a closing bracket")),
        }
    }

    /// What is known of the string between two quotes; its escapes are checked.
    #[inline]
    fn form(&mut self, open: usize, close: usize) -> Result<Form, Fault> {
        if self.plain {
            return Ok(Form::Plain);
        }
        self.form_of_unusual(open, close)
    }

    fn form_of_unusual(&mut self, open: usize, close: usize) -> Result<Form, Fault> {
        let range = self.structure.base + open..self.structure.base + close;
        if !self.structure.unusual.touches(range) {
            return Ok(Form::Plain);
        }
        let bytes = self
            .text
            .as_bytes()
            .get(open + 1..close)
            .unwrap_or_default();
        if let Some(control) = bytes.iter().position(|byte| *byte < b' ') {
            return Err(Fault {
                code: RejectCode::Json,
                message: "item is not well-formed json: a string holds a control character"
                    .to_owned(),
                offset: open + 1 + control,
            });
        }
        if memchr::memchr(b'\\', bytes).is_none() {
            return Ok(Form::Plain);
        }
        match escapes(bytes) {
            Escapes::Good => {}
            Escapes::HalfPair(at) => {
                self.half_pair.get_or_insert(open + 1 + at);
            }
            Escapes::Broken(at) => {
                return Err(Fault {
                    code: RejectCode::Json,
                    message: "item holds a broken escape".to_owned(),
                    offset: open + 1 + at,
                });
            }
        }
        Ok(Form::Escaped)
    }

    #[inline]
    fn position(&self, token: usize) -> Option<usize> {
        let position = *self.structure.tokens.get(token)? as usize;
        Some(position.wrapping_sub(self.structure.base))
    }

    /// The positions of the next three tokens; the text's length for those that are missing.
    #[inline]
    fn three(&self) -> [usize; 3] {
        let base = self.structure.base;
        match self.structure.tokens.get(self.token..self.token + 3) {
            Some([one, two, three]) => {
                [*one, *two, *three].map(|at| (at as usize).wrapping_sub(base))
            }
            _ => [self.text.len(); 3],
        }
    }

    #[inline]
    fn byte(&self, position: usize) -> Option<u8> {
        self.text.as_bytes().get(position).copied()
    }

    #[inline]
    fn peek(&self) -> Option<(usize, u8)> {
        let position = self.position(self.token)?;
        Some((position, self.byte(position)?))
    }

    #[inline]
    fn step(&mut self, position: usize) {
        self.token += 1;
        self.at = position + 1;
    }

    #[inline]
    fn slice(&self, start: usize, end: usize) -> &'a str {
        // Tokens are ASCII, so that both ends lie between characters.
        self.text.get(start..end).unwrap_or_default()
    }

    /// True if nothing but white space stands between here and `position`.
    #[inline]
    fn blank_upto(&self, position: usize) -> bool {
        self.at == position || self.after_blank() >= position
    }

    #[inline]
    fn gap(&self, position: usize) -> Result<(), Fault> {
        if self.blank_upto(position) {
            return Ok(());
        }
        Err(self.expected_at(self.after_blank(), "a quote, a colon or a comma"))
    }

    /// The next byte that is not white space.
    fn after_blank(&self) -> usize {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at + rest.iter().take_while(|byte| is_space(**byte)).count()
    }

    #[cold]
    fn expected_at(&self, offset: usize, expected: &str) -> Fault {
        Fault {
            code: RejectCode::Json,
            message: format!("item is not well-formed json: expected {expected}"),
            offset: offset.min(self.text.len()),
        }
    }
}

/// Indexes a text that is not part of a body, and walks over it.
pub(super) fn over<'a, T>(text: &'a str, read: impl FnOnce(Walk<'_, 'a>) -> T) -> T {
    let mut index = Index::default();
    while index.advance(text.as_bytes()) {}
    let all = 0..index.len();
    read(Walk::new(text, index.structure(all, 0)))
}

/// The keys of an object and the text under each, up to its end; of equal keys each is there.
pub(super) fn members<'a>(walk: &mut Walk<'_, 'a>) -> Result<Vec<Member<'a>>, Fault> {
    let (mut members, mut first) = (Vec::new(), true);
    while let Some(key) = walk.next_key(&mut first)? {
        members.push((key, walk.value()?.1.text));
    }
    Ok(members)
}

/// A number as JSON writes it.
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = digits(text);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with(b"0")) {
        return false;
    }
    let rest = match rest.strip_prefix(b".").map(digits) {
        Some(([], _)) => return false,
        Some((_, rest)) => rest,
        None => rest,
    };
    let [b'e' | b'E', exponent @ ..] = rest else {
        return rest.is_empty();
    };
    let exponent = match exponent {
        [b'+' | b'-', exponent @ ..] => exponent,
        exponent => exponent,
    };
    let (exponent, rest) = digits(exponent);
    !exponent.is_empty() && rest.is_empty()
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at_checked(count).unwrap_or((text, &[]))
}

/// What the escapes of a string are worth.
#[derive(Debug, PartialEq, Eq)]
enum Escapes {
    Good,
    /// The first one that is half of a surrogate pair.
    HalfPair(usize),
    /// One that JSON does not know, or that is cut short.
    Broken(usize),
}

fn escapes(bytes: &[u8]) -> Escapes {
    let mut half_pair = None;
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        let escape = at + found;
        at = match (
            bytes.get(escape + 1),
            unit(bytes, escape),
            unit(bytes, escape + 6),
        ) {
            (Some(b'u'), Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => escape + 12,
            (Some(b'u'), Some(0xD800..=0xDFFF), _) => {
                half_pair.get_or_insert(escape);
                escape + 6
            }
            (Some(b'u'), Some(_), _) => escape + 6,
            (Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'), _, _) => escape + 2,
            _ => return Escapes::Broken(escape),
        };
    }
    half_pair.map_or(Escapes::Good, Escapes::HalfPair)
}

/// The code unit of the `\uXXXX` escape at `at`, if one stands there.
fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(text: &str) -> Result<(), Fault> {
        over(text, |mut walk| {
            walk.value()?;
            walk.end()
        })
    }

    #[track_caller]
    fn check(text: &str, expected: Option<(RejectCode, usize)>) {
        let found = verdict(text).err().map(|fault| (fault.code, fault.offset));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn half_surrogate_pairs_and_broken_escapes_are_found() {
        check(r#""\ud83d\ude00""#, None);
        check(r#""\\ud83d""#, None);
        check(r#""\u0041 plain""#, None);
        check(r#""x\ud83d""#, Some((RejectCode::Utf8, 2)));
        check(r#""\ude00""#, Some((RejectCode::Utf8, 1)));
        check(r#""\u000""#, Some((RejectCode::Json, 1)));
        check(r#""\u+041""#, Some((RejectCode::Json, 1)));
        check(r#""\x""#, Some((RejectCode::Json, 1)));
        check(r#"["\ud83d",]"#, Some((RejectCode::Json, 10)));
    }

    #[test]
    fn a_fault_names_the_first_byte_that_does_not_belong() {
        check(r#"{"a" "b"}"#, Some((RejectCode::Json, 1)));
        check(r#"{"a":}"#, Some((RejectCode::Json, 5)));
        check(r#"{"a": nope}"#, Some((RejectCode::Json, 6)));
        check(r#"{"a":1 2}"#, Some((RejectCode::Json, 5)));
        check(r#"{"a":1,}"#, Some((RejectCode::Json, 7)));
        check(r#"{"a":1}x"#, Some((RejectCode::Json, 7)));
        check(r#"[1 "a"]"#, Some((RejectCode::Json, 3)));
        check(r#"["a"x]"#, Some((RejectCode::Json, 4)));
        check("[\"a\tb\"]", Some((RejectCode::Json, 3)));
        check(r#"["a"#, Some((RejectCode::Json, 3)));
        check("[1}", Some((RejectCode::Json, 2)));
        check("", Some((RejectCode::Json, 0)));
    }

    #[test]
    fn numbers_are_those_of_json() {
        for good in ["0", "-0", "10", "1.5", "-1.25e10", "1E+2", "0e-1"] {
            assert!(is_number(good.as_bytes()), "{good}");
        }
        for bad in [
            "", "-", "01", "1.", ".5", "+1", "1e", "1e+", "0x1", "NaN", "1 2", "1.5.2",
        ] {
            assert!(!is_number(bad.as_bytes()), "{bad}");
        }
    }

    /// Texts that are JSON or nearly so.
    fn nearly_json() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[{}\\[\\]:,\"]",
            3 => "\"[a-z\u{0}-\u{1f}é]{0,70}\"",
            2 => "-?[0-9]{1,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?",
            2 => "true|false|null|nul|\"\\\\[\"\\\\/bfnrtux]?[0-9a-dA-D]{0,4}\"",
            2 => "\"k\":",
            1 => "[ \t\n\r\u{b}\u{a0}]{1,2}",
        ];
        proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
    }

    /// Real JSON with one byte changed, or none.
    fn mutated() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<f64>().prop_map(|float| serde_json::json!(float)),
            "[\\PC\u{0}-\u{1f}\\\\\"]{0,40}".prop_map(serde_json::Value::from),
        ];
        let value = leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                proptest::collection::btree_map("[a-z\"\\\\é]{0,6}", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        });
        let edit = proptest::option::of((any::<proptest::sample::Index>(), " -~"));
        (value, any::<bool>(), edit).prop_map(|(value, pretty, edit)| {
            let text = match pretty {
                true => serde_json::to_string_pretty(&value).unwrap(),
                false => value.to_string(),
            };
            let Some((at, with)) = edit else { return text };
            let mut characters: Vec<char> = text.chars().collect();
            let at = at.index(characters.len());
            characters.splice(at..=at, with.chars());
            characters.into_iter().collect()
        })
    }

    fn agrees_with_serde_json(text: &str) -> Result<(), TestCaseError> {
        let valid = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        let ours = match verdict(text) {
            Ok(()) => true,
            Err(fault) => fault.code == RejectCode::Utf8,
        };
        prop_assert_eq!(ours, valid, "{}", text);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn well_formed_is_what_serde_json_says(text in nearly_json()) {
            agrees_with_serde_json(&text)?;
        }

        #[test]
        fn mutated_json_is_judged_as_serde_json_does(text in mutated()) {
            agrees_with_serde_json(&text)?;
        }

        #[test]
        fn members_are_those_of_serde_json(text in mutated()) {
            let expected: Option<std::collections::BTreeMap<String, Box<serde_json::value::RawValue>>> =
                serde_json::from_str(&text).ok();
            let found = over(&text, |mut walk| {
                let object = walk.enter_object();
                let found = object.then(|| members(&mut walk).ok()).flatten();
                found.filter(|_| walk.end().is_ok())
            });
            if let Some(expected) = expected {
                let found: std::collections::BTreeMap<_, _> = found.unwrap().into_iter().collect();
                prop_assert_eq!(found.len(), expected.len());
                for (key, value) in expected {
                    let raw = found.get(key.replace('\0', "\u{fffd}").as_str()).copied();
                    prop_assert_eq!(raw, Some(value.get()));
                }
            }
        }
    }
}
