//! One item of a body: is it an event, an alert or a ping, and which text stands under which key.
//!
//! A single pass of the JSON parser over the item; values are left as the text they came in and are
//! read when their column is known. The next key is guessed from the order of the event before.

use std::borrow::Cow;
use std::fmt;

use memchr::memmem;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use sonic_rs::LazyValue;

use super::Text;
use super::event::Slots;
use super::reject::{Fault, Reject, RejectCode};
use crate::split::Item;

/// What an item turned out to be.
#[derive(Debug)]
pub(super) enum ItemKind<'a> {
    /// `{"msys":{}}`: the sender's test, carries nothing.
    Ping,
    /// An element of an event webhook.
    Event(RawEvent<'a>),
    /// An element of an alert webhook: its keys and the JSON text under each.
    Alert(Vec<(Text<'a>, Text<'a>)>),
}

/// An event whose values are still JSON text.
#[derive(Debug)]
pub(super) struct RawEvent<'a> {
    pub(super) class: Text<'a>,
    /// The item as sent.
    pub(super) item: &'a str,
    /// Text of each known field by slot; of equal keys the last wins.
    pub(super) slots: Vec<Option<Text<'a>>>,
    /// Unknown keys of the event object.
    pub(super) unknown: Vec<(Text<'a>, Text<'a>)>,
    /// Keys beside `msys`.
    pub(super) siblings: Vec<(Text<'a>, Text<'a>)>,
}

/// Reads items; remembers the order of keys from one to the next.
#[derive(Debug, Default)]
pub(super) struct ItemReader {
    pub(super) slots: Slots,
}

impl ItemReader {
    /// Reads one item.
    ///
    /// # Errors
    /// A reject that says what is wrong and at which byte of the body.
    pub(super) fn read<'a>(
        &mut self,
        text: &'a str,
        item: &Item<'_>,
    ) -> Result<ItemKind<'a>, Reject> {
        if let Some(fault) = bad_escape(text) {
            return Err(fault.at(item));
        }
        let mut found = Found::default();
        let mut parser = sonic_rs::Deserializer::from_str(text);
        let seed = ItemSeed {
            found: &mut found,
            slots: &mut self.slots,
        };
        let parsed = seed.deserialize(&mut parser).and_then(|()| parser.end());
        if let Err(error) = parsed {
            return Err(syntax_or_envelope(text, &error).at(item));
        }
        last_wins(&mut found.siblings);
        last_wins(&mut found.unknown);
        found.kind(text).map_err(|fault| fault.at(item))
    }
}

/// Well-formed JSON of the wrong shape is an envelope fault, anything else a JSON fault; the parser
/// that stopped at the shape has not seen the rest, so a second one decides.
fn syntax_or_envelope(text: &str, error: &sonic_rs::Error) -> Fault {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Fault::new(RejectCode::Envelope, SHAPE),
        Err(_) => Fault {
            code: RejectCode::Json,
            message: "item is not well-formed json".to_owned(),
            offset: error.offset().min(text.len()),
        },
    }
}

const SHAPE: &str =
    "item is neither {\"msys\":{\"<class>\":{...}}} nor an alert object with alert_id";

#[derive(Default)]
struct Found<'a> {
    msys: bool,
    classes: usize,
    class: Option<Text<'a>>,
    slots: Vec<Option<Text<'a>>>,
    unknown: Vec<(Text<'a>, Text<'a>)>,
    siblings: Vec<(Text<'a>, Text<'a>)>,
}

impl<'a> Found<'a> {
    fn kind(self, text: &'a str) -> Result<ItemKind<'a>, Fault> {
        if !self.msys {
            let alert = self.siblings.iter().any(|(key, _)| key == "alert_id");
            return if alert {
                Ok(ItemKind::Alert(self.siblings))
            } else {
                Err(Fault::new(RejectCode::Envelope, SHAPE))
            };
        }
        match (self.class, self.classes) {
            (None, _) if self.siblings.is_empty() => Ok(ItemKind::Ping),
            (None, _) => Err(Fault::new(RejectCode::Envelope, SHAPE)),
            (Some(class), 1) => Ok(ItemKind::Event(RawEvent {
                class,
                item: text,
                slots: self.slots,
                unknown: self.unknown,
                siblings: self.siblings,
            })),
            (Some(_), classes) => Err(Fault::new(
                RejectCode::Envelope,
                format!("msys holds {classes} classes instead of one"),
            )),
        }
    }
}

/// The item: an object with `msys`, or one with `alert_id`.
struct ItemSeed<'f, 'a> {
    found: &'f mut Found<'a>,
    slots: &'f mut Slots,
}

impl<'a> DeserializeSeed<'a> for ItemSeed<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for ItemSeed<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(KeySeed)? {
            if key == "msys" {
                self.found.msys = true;
                map.next_value_seed(MsysSeed {
                    found: &mut *self.found,
                    slots: &mut *self.slots,
                })?;
            } else {
                let value = map.next_value_seed(RawSeed)?;
                self.found.siblings.push((key, value));
            }
        }
        Ok(())
    }
}

/// The value of `msys`: one class and its event.
struct MsysSeed<'f, 'a> {
    found: &'f mut Found<'a>,
    slots: &'f mut Slots,
}

impl<'a> DeserializeSeed<'a> for MsysSeed<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for MsysSeed<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with one class")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(class) = map.next_key_seed(KeySeed)? {
            self.found.classes += 1;
            if self.found.classes > 1 {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            self.found.class = Some(class);
            map.next_value_seed(EventSeed {
                found: &mut *self.found,
                slots: &mut *self.slots,
            })?;
        }
        Ok(())
    }
}

/// The event object itself.
struct EventSeed<'f, 'a> {
    found: &'f mut Found<'a>,
    slots: &'f mut Slots,
}

impl<'a> DeserializeSeed<'a> for EventSeed<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for EventSeed<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an event object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        self.found.slots.resize(Slots::count(), None);
        let mut before = self.slots.start();
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let value = map.next_value_seed(RawSeed)?;
            match self.slots.find(before, &key) {
                Some(slot) => {
                    if let Some(place) = self.found.slots.get_mut(slot) {
                        *place = Some(value);
                    }
                    before = slot;
                }
                None => self.found.unknown.push((key, value)),
            }
        }
        Ok(())
    }
}

/// Of equal keys the last wins, at the place of the first. Linear but for the sort, however many keys
/// somebody makes up.
pub(super) fn last_wins<'a>(pairs: &mut Vec<(Text<'a>, Text<'a>)>) {
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    let key = |at: usize| pairs.get(at).map(|(key, _)| key);
    order.sort_by(|one, two| key(*one).cmp(&key(*two)).then(one.cmp(two)));
    let mut moves = Vec::new();
    let mut first = 0;
    for (at, index) in order.iter().enumerate() {
        let next = order.get(at + 1).copied();
        if at == first && next.and_then(key) != key(*index) {
            first = at + 1;
        } else if next.and_then(key) != key(*index) {
            let of_run = order.get(first..=at).unwrap_or_default();
            moves.extend(
                of_run
                    .split_first()
                    .map(|(keep, rest)| (*keep, rest.to_vec())),
            );
            first = at + 1;
        }
    }
    if moves.is_empty() {
        return;
    }
    let mut dropped = vec![false; pairs.len()];
    for (keep, rest) in &moves {
        let last = rest
            .last()
            .and_then(|last| pairs.get(*last))
            .map(|(_, value)| value.clone());
        if let (Some((_, place)), Some(last)) = (pairs.get_mut(*keep), last) {
            *place = last;
        }
        for at in rest {
            if let Some(drop) = dropped.get_mut(*at) {
                *drop = true;
            }
        }
    }
    let mut dropped = dropped.into_iter();
    pairs.retain(|_| !dropped.next().unwrap_or(false));
}

/// The keys of a JSON object and the text under each; `None` if it is not an object.
pub(super) fn object_fields(json: &str) -> Option<Vec<(Text<'_>, Text<'_>)>> {
    struct Fields;
    impl<'a> Visitor<'a> for Fields {
        type Value = Vec<(Text<'a>, Text<'a>)>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(key) = map.next_key_seed(KeySeed)? {
                let value = map.next_value_seed(RawSeed)?;
                pairs.push((key, value));
            }
            last_wins(&mut pairs);
            Ok(pairs)
        }
    }
    sonic_rs::Deserializer::from_str(json)
        .deserialize_map(Fields)
        .ok()
}

/// A key, borrowed unless it holds an escape.
struct KeySeed;

impl<'a> DeserializeSeed<'a> for KeySeed {
    type Value = Text<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Text<'a>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for KeySeed {
    type Value = Text<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_borrowed_str<E: de::Error>(self, key: &'a str) -> Result<Text<'a>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Text<'a>, E> {
        Ok(Cow::Owned(key.replace('\0', "\u{fffd}")))
    }
}

/// The text of any JSON value, checked but not read.
struct RawSeed;

impl<'a> DeserializeSeed<'a> for RawSeed {
    type Value = Text<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Text<'a>, D::Error> {
        let value: LazyValue<'a> = de::Deserialize::deserialize(deserializer)?;
        Ok(value.as_raw_cow())
    }
}

/// The first `\u` escape that is cut short or half of a surrogate pair: the parser lets both pass
/// in values that it only skips.
fn bad_escape(text: &str) -> Option<Fault> {
    let bytes = text.as_bytes();
    memmem::find(bytes, b"\\u")?;
    let fault = |code, message, offset| {
        let mut fault = Fault::new(code, message);
        fault.offset = offset;
        Some(fault)
    };
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        let escape = at + found;
        if bytes.get(escape + 1) != Some(&b'u') {
            at = escape + 2;
            continue;
        }
        at = escape + 6;
        match (unit(bytes, escape), unit(bytes, escape + 6)) {
            (None, _) => return fault(RejectCode::Json, "item holds a broken escape", escape),
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => at = escape + 12,
            (Some(0xD800..=0xDFFF), _) => {
                let message = "item holds half of a surrogate pair";
                return fault(RejectCode::Utf8, message, escape);
            }
            (Some(_), _) => {}
        }
    }
    None
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
    use super::*;

    #[track_caller]
    fn check_escape(text: &str, expected: Option<(RejectCode, usize)>) {
        let found = bad_escape(text).map(|fault| (fault.code, fault.offset));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn half_surrogate_pairs_and_broken_escapes_are_found() {
        check_escape(r#""\ud83d\ude00""#, None);
        check_escape(r#""\\ud83d""#, None);
        check_escape(r#""\u0041 plain""#, None);
        check_escape(r#""x\ud83d""#, Some((RejectCode::Utf8, 2)));
        check_escape(r#""\ude00""#, Some((RejectCode::Utf8, 1)));
        check_escape(r#""\u000""#, Some((RejectCode::Json, 1)));
        check_escape(r#""\u+041""#, Some((RejectCode::Json, 1)));
    }

    #[test]
    fn of_equal_keys_the_last_wins() {
        let fields = object_fields(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(fields, [("a".into(), "3".into()), ("b".into(), "2".into())]);
        let fields = object_fields(r#"{"b":1,"a":2,"b":3,"c":4,"a":5,"b":6}"#).unwrap();
        assert_eq!(
            fields,
            [
                ("b".into(), "6".into()),
                ("a".into(), "5".into()),
                ("c".into(), "4".into())
            ]
        );
        assert!(object_fields("[1]").is_none());
    }
}
