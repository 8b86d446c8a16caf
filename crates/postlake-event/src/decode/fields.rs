//! The fields of one event: the text of each known one, by its slot.

use super::value::{Form, Raw};

/// A value in the text of an item.
#[derive(Clone, Copy, Debug)]
struct Found {
    slot: u16,
    form: Form,
    start: u32,
    end: u32,
}

/// Where a slot's value was last put.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// The event it was put for.
    event: u32,
    at: u32,
}

/// Known fields, in the order in which they came; of equal keys the last wins. Used for one event
/// after the other, so that none of them allocates.
#[derive(Debug)]
pub(super) struct Fields {
    found: Vec<Found>,
    last: Vec<Last>,
    event: u32,
}

impl Fields {
    pub(super) fn new(slots: usize) -> Fields {
        Fields {
            found: Vec::new(),
            last: vec![Last::default(); slots],
            event: 0,
        }
    }

    /// Forgets the event before.
    pub(super) fn begin(&mut self) {
        self.found.clear();
        self.event = self.event.wrapping_add(1);
        if self.event == 0 {
            self.last.fill(Last::default());
            self.event = 1;
        }
    }

    /// Puts the value at `start` of the item into `slot`.
    #[inline]
    pub(super) fn put(&mut self, slot: usize, start: usize, raw: Raw<'_>) {
        let found = Found {
            slot: slot as u16,
            form: raw.form,
            start: start as u32,
            end: (start + raw.text.len()) as u32,
        };
        let Some(last) = self.last.get_mut(slot) else {
            return;
        };
        if last.event == self.event {
            if let Some(place) = self.found.get_mut(last.at as usize) {
                *place = found;
            }
            return;
        }
        *last = Last {
            event: self.event,
            at: self.found.len() as u32,
        };
        self.found.push(found);
    }

    /// The value in `slot`, out of the text of the item.
    pub(super) fn get<'a>(&self, slot: usize, item: &'a str) -> Option<Raw<'a>> {
        let last = self.last.get(slot)?;
        if last.event != self.event {
            return None;
        }
        self.found.get(last.at as usize)?.raw(item)
    }

    /// Slots and values, in the order in which they came.
    #[inline]
    pub(super) fn iter<'a>(&self, item: &'a str) -> impl Iterator<Item = (usize, Raw<'a>)> {
        self.found
            .iter()
            .filter_map(move |found| Some((usize::from(found.slot), found.raw(item)?)))
    }
}

impl Found {
    #[inline]
    fn raw<'a>(&self, item: &'a str) -> Option<Raw<'a>> {
        let text = item.get(self.start as usize..self.end as usize)?;
        Some(Raw {
            text,
            form: self.form,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_slots_the_last_wins_at_the_place_of_the_first() {
        let item = r#"{"a":1,"b":2,"a":3}"#;
        let mut fields = Fields::new(4);
        fields.begin();
        let raw = |at: usize| (at, Raw::of(&item[at..=at]));
        for (slot, (at, raw)) in [(1, raw(5)), (2, raw(11)), (1, raw(17))] {
            fields.put(slot, at, raw);
        }
        let found: Vec<_> = fields
            .iter(item)
            .map(|(slot, raw)| (slot, raw.text))
            .collect();
        assert_eq!(found, [(1, "3"), (2, "2")]);
        fields.begin();
        assert!(fields.get(1, item).is_none());
    }
}
