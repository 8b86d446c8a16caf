//! One item of a body: is it an event, an alert or a ping, and which text stands under which key.
//!
//! A single walk over the item; values are left as the text they came in and are read when their
//! column is known. The next key is guessed from the order of the event before.

use super::Text;
use super::event::{self, Places, Slots};
use super::fields::Fields;
use super::reject::{Fault, Reject, RejectCode};
use super::value::Raw;
use super::walk::{self, Member, Walk};
use crate::index::Structure;
use crate::split::Item;

/// What an item turned out to be.
#[derive(Debug)]
pub(super) enum ItemKind<'r, 'a> {
    /// `{"msys":{}}`: the sender's test, carries nothing.
    Ping,
    /// An element of an event webhook.
    Event(RawEvent<'r, 'a>),
    /// An element of an alert webhook: its keys and the JSON text under each.
    Alert(Vec<Member<'a>>),
}

/// An event whose values are still JSON text.
#[derive(Debug)]
pub(super) struct RawEvent<'r, 'a> {
    pub(super) class: Text<'a>,
    /// The item as sent.
    pub(super) item: &'a str,
    /// The event object in it.
    pub(super) object: &'a str,
    /// Its known fields, those of documented objects among them.
    pub(super) fields: &'r Fields,
    /// Unknown keys of the event object.
    pub(super) unknown: Vec<Member<'a>>,
    /// Unknown keys of documented objects, with the object's key.
    pub(super) unknown_parts: Vec<(&'static str, Vec<Member<'a>>)>,
    /// Keys beside `msys`.
    pub(super) siblings: Vec<Member<'a>>,
}

/// Reads items; remembers the order of keys from one to the next.
#[derive(Debug)]
pub(super) struct ItemReader {
    slots: Slots,
    fields: Fields,
}

impl Default for ItemReader {
    fn default() -> ItemReader {
        ItemReader {
            slots: Slots::default(),
            fields: Fields::new(Slots::count()),
        }
    }
}

impl ItemReader {
    /// Reads one item, whose text is `text` and whose tokens are those of `structure`.
    ///
    /// # Errors
    /// A reject that says what is wrong and at which byte of the body.
    pub(super) fn read<'a>(
        &mut self,
        text: &'a str,
        item: &Item<'_>,
        structure: Structure<'_>,
    ) -> Result<ItemKind<'_, 'a>, Reject> {
        let mut walk = Walk::new(text, structure);
        let found = match self.element(&mut walk) {
            Ok(found) => walk.end().map(|()| found),
            Err(Stop::Fault(fault)) => Err(fault),
            Err(Stop::Shape) => Err(syntax_or_shape(Walk::new(text, structure))),
        };
        found
            .and_then(|found| found.kind(text, &self.fields))
            .map_err(|fault| fault.at(item))
    }

    /// The item: an object with `msys`, or one with `alert_id`.
    fn element<'a>(&mut self, walk: &mut Walk<'_, 'a>) -> Result<Found<'a>, Stop> {
        let mut found = Found::default();
        self.fields.begin();
        if !walk.enter_object() {
            return Err(Stop::Shape);
        }
        let mut first = true;
        while let Some(key) = walk.next_key(&mut first)? {
            if key == "msys" {
                found.msys = true;
                self.msys(walk, &mut found)?;
            } else {
                found.siblings.push((key, walk.value()?.1.text));
            }
        }
        last_wins(&mut found.siblings);
        last_wins(&mut found.unknown);
        Ok(found)
    }

    /// The value of `msys`: one class and its event.
    fn msys<'a>(&mut self, walk: &mut Walk<'_, 'a>, found: &mut Found<'a>) -> Result<(), Stop> {
        if !walk.enter_object() {
            return Err(Stop::Shape);
        }
        let mut first = true;
        while let Some(class) = walk.next_key(&mut first)? {
            found.classes += 1;
            if found.classes > 1 {
                walk.value()?;
                continue;
            }
            found.class = Some(class);
            self.event(walk, found)?;
        }
        Ok(())
    }

    /// The event object itself.
    fn event<'a>(&mut self, walk: &mut Walk<'_, 'a>, found: &mut Found<'a>) -> Result<(), Stop> {
        if !walk.enter_object() {
            return Err(Stop::Shape);
        }
        let begin = walk.at() - 1;
        let mut members = Members {
            before: self.slots.start(),
            slots: &mut self.slots,
            fields: &mut self.fields,
            unknown: &mut found.unknown,
            objects: [None; 2],
        };
        let mut first = true;
        while let Some(key) = walk.next_key(&mut first)? {
            let token = walk.token();
            let (start, value) = walk.value()?;
            members.put(key, token, start, value);
            walk.plain_members(|key, token, start, value| members.put(key, token, start, value));
        }
        let objects = members.objects;
        found.object = walk.since(begin);
        for (object, token) in event::OBJECTS.iter().zip(objects) {
            if let Some(token) = token {
                self.spread(walk.back_at(token), object.key, &object.places, found)?;
            }
        }
        Ok(())
    }

    /// Puts the values of a documented object into the slots of its columns; what is unknown in it
    /// is kept under the object's key.
    fn spread<'a>(
        &mut self,
        mut walk: Walk<'_, 'a>,
        key: &'static str,
        places: &Places,
        found: &mut Found<'a>,
    ) -> Result<(), Stop> {
        if !walk.enter_object() {
            return Ok(());
        }
        let mut unknown = Vec::new();
        let mut first = true;
        while let Some(name) = walk.next_key(&mut first)? {
            let (start, value) = walk.value()?;
            match places.iter().find(|(known, _)| *known == name) {
                Some((_, slot)) => self.fields.put(*slot, start, value),
                None => unknown.push((name, value.text)),
            }
        }
        last_wins(&mut unknown);
        if !unknown.is_empty() {
            found.unknown_parts.push((key, unknown));
        }
        Ok(())
    }
}

/// The members of one event on their way to their slots.
struct Members<'r, 'a> {
    slots: &'r mut Slots,
    fields: &'r mut Fields,
    unknown: &'r mut Vec<Member<'a>>,
    /// The slot of the known key before.
    before: usize,
    /// The token at which each documented object begins.
    objects: [Option<usize>; 2],
}

impl<'a> Members<'_, 'a> {
    #[inline]
    fn put(&mut self, key: Text<'a>, token: usize, start: usize, value: Raw<'a>) {
        let Some(slot) = self.slots.find(self.before, &key) else {
            self.unknown.push((key, value.text));
            return;
        };
        self.fields.put(slot, start, value);
        let object = slot.checked_sub(event::FIRST_OBJECT);
        if let Some(place) = object.and_then(|object| self.objects.get_mut(object)) {
            *place = Some(token);
        }
        self.before = slot;
    }
}

/// Why an item was not read to its end.
enum Stop {
    /// What stands there may be JSON, but it is of another shape.
    Shape,
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

/// Well-formed JSON of the wrong shape is an envelope fault, anything else a JSON fault; the walk
/// that stopped at the shape has not seen the rest, so a second one decides.
fn syntax_or_shape(mut walk: Walk<'_, '_>) -> Fault {
    match walk.value().and_then(|_| walk.end()) {
        Ok(()) => Fault::new(RejectCode::Envelope, SHAPE),
        Err(fault) => fault,
    }
}

const SHAPE: &str =
    "item is neither {\"msys\":{\"<class>\":{...}}} nor an alert object with alert_id";

#[derive(Default)]
struct Found<'a> {
    msys: bool,
    classes: usize,
    class: Option<Text<'a>>,
    object: &'a str,
    unknown: Vec<Member<'a>>,
    unknown_parts: Vec<(&'static str, Vec<Member<'a>>)>,
    siblings: Vec<Member<'a>>,
}

impl<'a> Found<'a> {
    fn kind<'r>(self, text: &'a str, fields: &'r Fields) -> Result<ItemKind<'r, 'a>, Fault> {
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
                object: self.object,
                fields,
                unknown: self.unknown,
                unknown_parts: self.unknown_parts,
                siblings: self.siblings,
            })),
            (Some(_), classes) => Err(Fault::new(
                RejectCode::Envelope,
                format!("msys holds {classes} classes instead of one"),
            )),
        }
    }
}

/// Of equal keys the last wins, at the place of the first. Linear but for the sort, however many keys
/// somebody makes up.
pub(super) fn last_wins<'a>(pairs: &mut Vec<Member<'a>>) {
    if pairs.len() < 2 {
        return;
    }
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
            .map(|(_, value)| *value);
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
pub(super) fn object_fields(json: &str) -> Option<Vec<Member<'_>>> {
    walk::over(json, |mut walk| {
        if !walk.enter_object() {
            return None;
        }
        let mut members = walk::members(&mut walk).ok()?;
        walk.end().ok()?;
        last_wins(&mut members);
        Some(members)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_keys_the_last_wins() {
        let fields = object_fields(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(fields, [("a".into(), "3"), ("b".into(), "2")]);
        let fields = object_fields(r#"{"b":1,"a":2,"b":3,"c":4,"a":5,"b":6}"#).unwrap();
        assert_eq!(
            fields,
            [("b".into(), "6"), ("a".into(), "5"), ("c".into(), "4")]
        );
        assert!(object_fields("[1]").is_none());
    }
}
